"""Tables of calls: CSV, TSV, JSON Lines and Parquet, each written in parts that are joined in the end."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.records import Record
from ..errors import OptionError

BEFORE = ("id", "description", "length", "location", "score")
AFTER = ("truncated",)
ROW_GROUP = 1 << 16  # rows of a Parquet file that are written, and later read, at once


class Call(NamedTuple):
    """What a model makes of one protein.

    Args:
        id: Accession.
        description: The rest of its header.
        length: Residues.
        location: The called class.
        score: Its probability.
        scores: (C,), the probabilities of all classes.
        truncated: Whether the protein is longer than the model reads.
    """

    id: str
    description: str
    length: int
    location: str
    score: float
    scores: Sequence[float]
    truncated: bool


class Table(Protocol):
    """A format of tables; its class names are the model's."""

    def write_part(self, path: str, calls: Iterable[Call]) -> None:
        """Write some calls to a file of their own, down to the disk."""

    def join(self, parts: Sequence[str], path: str) -> None:
        """Write one table of all parts, in their order."""


def table_for(output: str, labels: Sequence[str]) -> Table:
    """The format that a name's ending asks for.

    Args:
        output: Of the table.
        labels: (C,), names of the classes.

    Raises:
        OptionError: Another ending.
    """
    ending = os.path.splitext(output)[1].lower()
    if ending not in FORMATS:
        raise OptionError(f"output {output}: expected a name that ends in {', '.join(FORMATS)}")
    return FORMATS[ending](columns_for(labels))


def columns_for(labels: Sequence[str]) -> list[str]:
    """The columns of a table; a class of the name of another column is told apart."""
    taken = (*BEFORE, *AFTER)
    return [*BEFORE, *(f"{label} (class)" if label in taken else label for label in labels), *AFTER]


class DelimitedTable:
    """A line a protein, cells between `delimiter`; probabilities with six digits, truncated yes or no."""

    delimiter = ","

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def write_part(self, path: str, calls: Iterable[Call]) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            self._writer(file).writerows(map(row_cells, calls))
            _to_disk(file)

    def join(self, parts: Sequence[str], path: str) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            self._writer(file).writerow(self.columns)
        _append(parts, path)

    def _writer(self, file: Any) -> Any:
        return csv.writer(file, delimiter=self.delimiter, lineterminator="\n")


class TabTable(DelimitedTable):
    """As [`DelimitedTable`], with tabulators."""

    delimiter = "\t"


class JsonLinesTable:
    """A JSON object a line and protein; probabilities with six digits."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def write_part(self, path: str, calls: Iterable[Call]) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            for call in calls:
                row = dict(zip(self.columns, row_values(call, digits=6), strict=True))
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            _to_disk(file)

    def join(self, parts: Sequence[str], path: str) -> None:
        with open(path, "wb"):
            pass
        _append(parts, path)


class ParquetTable:
    """Typed columns: length int32, probabilities float32, truncated bool."""

    def __init__(self, columns: Sequence[str]) -> None:
        kinds = {"length": pa.int32(), "truncated": pa.bool_(), "id": pa.string()}
        kinds |= {"description": pa.string(), "location": pa.string()}
        self.schema = pa.schema([(name, kinds.get(name, pa.float32())) for name in columns])

    def write_part(self, path: str, calls: Iterable[Call]) -> None:
        columns = zip(*map(row_values, calls), strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self.schema, strict=True)]
        with open(path, "wb") as file:
            pq.write_table(pa.table(arrays, schema=self.schema), file)
            _to_disk(file)

    def join(self, parts: Sequence[str], path: str) -> None:
        with pq.ParquetWriter(path, self.schema) as writer:
            waiting: list[pa.Table] = []
            for part in parts:
                waiting.append(pq.read_table(part))
                if sum(table.num_rows for table in waiting) >= ROW_GROUP:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting))


FORMATS: dict[str, Any] = {
    ".csv": DelimitedTable,
    ".tsv": TabTable,
    ".jsonl": JsonLinesTable,
    ".parquet": ParquetTable,
}


def call_of(record: Record, scores: np.ndarray, labels: Sequence[str], truncated: bool) -> Call:
    """What a model makes of a record, from the probabilities of its classes, (C,)."""
    best = int(scores.argmax())
    return Call(
        id=record.place.accession,
        description=record.description,
        length=len(record.residues),
        location=labels[best],
        score=float(scores[best]),
        scores=scores.tolist(),
        truncated=truncated,
    )


def row_values(call: Call, digits: int | None = None) -> list[Any]:
    """The cells of a row with their types; probabilities rounded to `digits`."""
    scores = [float(score) if digits is None else round(float(score), digits) for score in (call.score, *call.scores)]
    return [call.id, call.description, call.length, call.location, *scores, call.truncated]


def row_cells(call: Call) -> list[str]:
    """The cells of a row as text."""
    scores = [f"{score:.6f}" for score in (call.score, *call.scores)]
    return [call.id, call.description, str(call.length), call.location, *scores, "yes" if call.truncated else "no"]


def _append(parts: Sequence[str], path: str) -> None:
    with open(path, "ab") as file:
        for part in parts:
            with open(part, "rb") as piece:
                shutil.copyfileobj(piece, file)


def _to_disk(file: Any) -> None:
    """A part that has its name must have its content, even after a power cut."""
    file.flush()
    os.fsync(file.fileno())
