"""A whole file through an endpoint, to the table that `predict` writes: in parts that survive a Ctrl-C."""

import os
from functools import partial
from typing import TYPE_CHECKING

from ..data.records import Place, Record
from ..data.sources import Columns
from ..data.unlabelled import read_unlabelled
from ..inference.parts import Parts
from ..inference.tables import table_for
from ..inference.whole_file import (
    FORMAT,
    Prediction,
    Rejects,
    begun,
    check_paths,
    kept_if_any,
    parts_of,
    progress_bar,
    publish,
    skip,
)
from .payloads import sized

if TYPE_CHECKING:
    from .predictor import Predictor

PART = 1024  # proteins; a kill loses no more, and a queue has so many at once
PROBE = Record(Place("probe", 1, "probe"), "", "M")


def predict_whole_file(
    predictor: "Predictor",
    source: str,
    output: str,
    *,
    columns: Columns | None,
    strict: bool,
    resume: bool,
    overwrite: bool,
) -> Prediction:
    """[`Predictor.predict_file`]."""
    parts, rejected = Parts(output), f"{output}.rejected.csv"
    table_for(output, [])  # the ending first
    check_paths(source, output)
    parts.check(resume, overwrite)
    records = sized(begun(read_unlabelled(source, columns)))
    _, labels = predictor.table([PROBE])  # names the classes, and tells at once of an endpoint that does not answer
    table = table_for(output, labels)
    settings = {
        "format": FORMAT,
        "endpoint": predictor.endpoint_name,
        "endpoint_config": predictor.config["EndpointConfigName"],  # another one, another model
        "part_size": PART,
    }
    os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    parts.begin(settings, resume)
    with kept_if_any(parts, True):
        rejects = Rejects(os.path.join(parts.folder, "rejected.csv"), strict)
        count = classified = 0
        with rejects, progress_bar(source, True) as bar:
            for part in parts_of(records, PART, rejects):
                count, classified = count + 1, classified + len(part.records)
                if parts.has(part.number, part.digest):
                    skip(bar, len(part.records))
                    continue
                calls, _ = predictor.table(part.records)
                parts.write(part.number, part.digest, partial(table.write_part, calls=calls))
                bar.update(len(part.records))
        publish(parts, table, count, rejects, rejected)
    return Prediction(classified, rejects.count, rejected, True)
