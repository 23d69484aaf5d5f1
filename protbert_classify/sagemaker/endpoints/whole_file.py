"""A whole file through an endpoint, to the table that `predict` writes: in parts that survive a Ctrl-C."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from ...data.column_names import ColumnNames
from ...data.reader import read_records
from ...data.records import Place, Record
from ...inference.parts_folder import PartsFolder
from ...inference.streaming import (
    FORMAT,
    PredictionSummary,
    Rejects,
    begun,
    check_paths,
    kept_if_any,
    parts_of,
    progress_bar,
    publish,
    skip,
)
from ...inference.writers import Column, Prediction, table_for
from ..payloads import sized

PART = 1024  # proteins; a kill loses no more, and a queue has so many at once
PROBE = Record(Place("probe", 1, "probe"), "", "M")


class Classify(Protocol):
    """Checked records to their calls, and to the columns of the table."""

    def __call__(self, records: Sequence[Record]) -> tuple[list[Prediction], list[Column]]: ...


def predict_whole_file(
    classify: Classify,
    answering: Mapping[str, str],
    source: str,
    output: str,
    *,
    columns: ColumnNames | None,
    strict: bool,
    resume: bool,
    overwrite: bool,
) -> PredictionSummary:
    """Classify the proteins of a source, a part at a time.

    Args:
        classify: Asks the endpoint.
        answering: What tells this endpoint, and its model, from others: a prediction is resumed with the same alone.
        source: As [`Predictor.predict_file`] takes it, and so on.
    """
    parts, rejected = PartsFolder(output), f"{output}.rejected.csv"
    table_for(output, [])  # the ending first
    check_paths(source, output)
    parts.check(resume, overwrite)
    records = sized(begun(read_records(source, columns)))
    _, names = classify([PROBE])  # names the columns, and tells at once of an endpoint that does not answer
    table = table_for(output, names)
    settings = {"format": FORMAT, **answering, "part_size": PART}
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
                calls, _ = classify(part.records)
                parts.write(part.number, part.digest, partial(table.write_part, predictions=calls))
                bar.update(len(part.records))
        publish(parts, table, count, rejects, rejected)
    return PredictionSummary(classified, rejects.count, rejected, True)
