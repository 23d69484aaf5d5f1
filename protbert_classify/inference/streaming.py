"""Proteins on their way to a table of predictions or embeddings: checked, split into parts, and joined again."""

import csv
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from tqdm.auto import tqdm

from ..data.column_names import ColumnNames
from ..data.reader import count_records, read_records
from ..data.records import Record, checked
from ..data.sources import STANDARD_INPUT
from ..data.tables import read_file
from ..errors import InputError, OptionError, ProteinClassifierError
from ..evaluation.decision import UNANSWERED
from .parts_folder import PartsFolder
from .writers import Prediction, Table, table_for

FORMAT = 2  # of the parts: another number, and none of a former version is continued


class PredictionSummary(NamedTuple):
    """How a prediction ended.

    Args:
        classified: Proteins in the output; None if it was whole already.
        rejected: Records that could not be classified, as far as this process tells of them.
        rejected_file: Has these.
        main: Whether this is the process, of several, that tells.
        unanswered: Proteins in the output without a label; None if every protein has one.
        unlike: Proteins in the output that are unlike the training proteins; None if these are not known.
    """

    classified: int | None
    rejected: int
    rejected_file: str
    main: bool
    unanswered: int | None = None
    unlike: int | None = None


class Part(NamedTuple):
    """Some records of the input, in its order, without the rejected ones."""

    number: int
    records: list[Record]
    digest: str


class Rejects:
    """The records that cannot be classified, written as they come.

    Args:
        path: Of the CSV.
        strict: Raise instead.
    """

    def __init__(self, path: str, strict: bool) -> None:
        self.path = path
        self.strict = strict
        self.count = 0

    def __enter__(self) -> "Rejects":
        self.file = open(self.path, "w", newline="", encoding="utf-8", errors="backslashreplace")
        self.writer = csv.writer(self.file, lineterminator="\n")
        self.writer.writerow(["record", "id", "description", "reason"])
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def keep(self, records: Iterator[Record]) -> Iterator[Record]:
        """Those of the records that can be classified."""
        for record in records:
            try:
                yield checked(record)
            except InputError as error:
                if self.strict:
                    raise
                self.count += 1
                place = record.place
                reason = str(error).removeprefix(f"{place}: ")
                self.writer.writerow([place.number, place.accession, record.description, reason])


def finished_before(parts: PartsFolder, main: bool) -> PredictionSummary | None:
    """What is to be told of an output that is whole already; None if it is not."""
    rejected = f"{parts.output}.rejected.csv"
    if os.path.isdir(parts.folder) or not os.path.isfile(parts.output):
        return None
    return PredictionSummary(None, count_rejected(rejected), rejected, main)


def records_from(source: str, columns: ColumnNames | None, strict: bool) -> Iterator[Record]:
    """The records of a source, which is refused here if it is bad, and if `strict` for one bad record."""
    records = begun(read_records(source, columns))
    if strict and source != STANDARD_INPUT:
        for record in read_records(source, columns):
            checked(record)
    return records


def begun(records: Iterator[Record]) -> Iterator[Record]:
    """Read the first record, so that a bad source is refused before a model is loaded."""
    return chain([next(records)], records)


def parts_of(records: Iterator[Record], size: int, rejects: Rejects) -> Iterator[Part]:
    """Parts of `size` records that can be classified; the others are written down."""
    good = rejects.keep(records)
    number = 0
    while some := list(islice(good, size)):
        yield Part(number, some, _digest(some))
        number += 1


def _digest(records: list[Record]) -> str:
    """What a part was made of, to tell whether it is still the same."""
    digest = hashlib.blake2b(digest_size=12)
    for place, description, residues in records:
        digest.update(f"{place.accession}\t{description}\t{residues}\n".encode())
    return digest.hexdigest()


def check_paths(source: str, output: str) -> None:
    """Refuse an output that cannot be written, or that would replace its input."""
    if os.path.isdir(output):
        raise OptionError(f"output {output} is a folder; expected the name of a file")
    folder = os.path.dirname(os.path.abspath(output))
    while not os.path.lexists(folder):  # it will be made
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ProteinClassifierError(f"output {output}: {folder} is not a folder that can be written to")
    if source == STANDARD_INPUT:
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise OptionError("input -: several processes cannot share standard input; expected a file")
    elif os.path.exists(output) and os.path.exists(source) and os.path.samefile(source, output):
        raise OptionError(f"output {output} is the input; expected another name")


def check_table(source: str, output: str) -> None:
    """Refuse a table that `check_paths` refuses, or whose ending is not that of a table."""
    table_for(output, [])
    check_paths(source, output)


@contextmanager
def kept_if_any(parts: PartsFolder, main: bool) -> Iterator[None]:
    """What a failure leaves: the parts that are done, and how to continue with them."""
    try:
        yield
    except BaseException as error:
        done = parts.count
        if main and not done:
            parts.discard()
        if isinstance(error, KeyboardInterrupt):
            hint = f"run it again with resume to continue after part {done}" if done else "no part was done yet"
            raise KeyboardInterrupt(hint) from None
        raise


def publish(parts: PartsFolder, table: Table, count: int, rejects: Rejects, rejected: str) -> None:
    """Join the parts, move the output and the rejected records into place, and remove what they came from."""
    whole = os.path.join(parts.folder, "whole")
    table.join(parts.await_all(count), whole)
    if rejects.count:
        os.replace(rejects.path, rejected)
    elif os.path.exists(rejected):
        os.remove(rejected)  # of a former input
    os.replace(whole, parts.output)
    parts.discard()


def count_rejected(path: str) -> int:
    """How many records a former prediction rejected."""
    if not os.path.isfile(path):
        return 0
    with open(path, newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def count_unanswered(output: str, column: str) -> int:
    """Proteins of a table of predictions without a label in a column."""
    return sum(row[column] == UNANSWERED for row in read_file(output).rows)


def count_unlike(output: str, identity: float) -> int:
    """Proteins of a table of predictions without a training protein of at least this identity, 0..1."""
    # a CSV has text, other tables numbers, and both have nothing where no training protein is similar
    return sum(float(row["identity"] or 0) < identity for row in read_file(output).rows)


def predict_parts(
    parts: PartsFolder,
    records: Iterator[Record],
    table: Table,
    classify: Callable[[list[Record], tqdm], list[Prediction]],
    *,
    size: int,
    source: str,
    strict: bool,
    main: bool = True,
    is_mine: Callable[[int], bool] = lambda number: True,
) -> PredictionSummary:
    """Classify records a part at a time, keep what is done if that fails, and publish the table at the end.

    Args:
        parts: The folder of the parts, perhaps with those of an interrupted prediction.
        records: The records of the source.
        table: The format of the output.
        classify: Returns the predictions for the records of a part, and moves the bar.
        size: Records of a part.
        source: Where the records come from, for the progress bar.
        strict: Stop at the first record that cannot be classified.
        main: Whether this is the main process, which publishes the table.
        is_mine: Whether this process classifies the part with a number.
    """
    rejected = f"{parts.output}.rejected.csv"
    with kept_if_any(parts, main):
        rejects = Rejects(os.path.join(parts.folder, "rejected.csv") if main else os.devnull, strict)
        count = classified = 0
        with rejects, progress_bar(source, main) as bar:
            for part in parts_of(records, size, rejects):
                count, classified = count + 1, classified + len(part.records)
                if not is_mine(part.number):
                    bar.update(len(part.records))  # others are as fast
                elif parts.has(part.number, part.digest):
                    skip(bar, len(part.records))
                else:
                    found = classify(part.records, bar)
                    parts.write(part.number, part.digest, partial(table.write_part, predictions=found))
            bar.update(rejects.count)
        if main:
            publish(parts, table, count, rejects, rejected)
    return PredictionSummary(classified, rejects.count if main else 0, rejected, main)


def progress_bar(source: str, main: bool) -> tqdm:
    """Of proteins, with their number where that is quickly known."""
    total = count_records(source) if main else None
    return tqdm(total=total, unit="protein", disable=not main, smoothing=0.05, dynamic_ncols=True)


def skip(bar: tqdm, proteins: int) -> None:
    """Count proteins of a former run without taking them for speed."""
    if bar.disable:  # of several processes one shows it
        return
    bar.initial += proteins
    bar.n += proteins
    bar.refresh()
