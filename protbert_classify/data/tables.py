"""Rows of tables, one at a time: CSV, TSV, JSON Lines, JSON and Parquet files, and Hub datasets."""

import codecs
import json
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from ..errors import DataError
from .sources import dataset_errors, ending_of, local_path, open_plain_or_gzip

SEPARATORS = {".csv": ",", ".tsv": "\t"}
ROWS = 1000  # held at once
FIELDS = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")  # pandas' error for a row that is too long

Row = Mapping[str, Any]  # column -> cell


class Table(NamedTuple):
    """The rows of one split.

    Args:
        split: Its name; `train` for a file.
        rows: Read while they are iterated.
        features: Column -> feature, where the source has types; the cells of a `ClassLabel` are indices.
    """

    split: str
    rows: Iterator[Row]
    features: Mapping[str, Any]


def read_file(source: str) -> Table:
    """The table in a file or at a URL.

    Raises:
        DataError: There is no such file; while the rows are read, something that is not a table.
    """
    path = local_path(source)
    ending = ending_of(source)
    if ending == ".parquet":
        return Table("train", _parquet_rows(path, source), _parquet_features(path, source))
    readers = {".jsonl": _json_lines, ".json": _json_rows}
    return Table("train", _text_rows(path, source, readers.get(ending, _csv_rows)), {})


def read_dataset(source: str, streaming: bool) -> Iterator[Table]:
    """The splits of a Hub dataset, or of a folder laid out like one.

    Args:
        source: Its id, or the folder.
        streaming: Read the rows over the network instead of downloading everything first.
    """
    import datasets  # half a second, and files do without

    with table_errors(source):
        for split, rows in datasets.load_dataset(source, streaming=streaming).items():
            yield Table(str(split), _dataset_rows(rows, source), rows.features or {})


def _dataset_rows(rows: Iterable[Row], source: str) -> Iterator[Row]:
    with table_errors(source):
        yield from rows


def _parquet_rows(path: str, source: str) -> Iterator[Row]:
    with table_errors(source):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=ROWS):
            yield from batch.to_pylist()


def _parquet_features(path: str, source: str) -> Mapping[str, Any]:
    """The features that `datasets` wrote beside the columns; none if the file comes from elsewhere."""
    with table_errors(source):
        schema = pq.read_schema(path)
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    from datasets import Features

    return Features.from_arrow_schema(schema)


def _text_rows(path: str, source: str, read: Any) -> Iterator[Row]:
    with table_errors(source), open_plain_or_gzip(path) as file:
        yield from read(file, source)


def _csv_rows(file: Any, source: str) -> Iterator[Row]:
    import pandas as pd  # a quarter of a second, and only these tables need it

    # every cell as written: a label 01, the protein NA; no first column as an index
    options: dict[str, Any] = {"dtype": str, "na_filter": False, "index_col": False}
    with pd.read_csv(file, sep=SEPARATORS[ending_of(source)], chunksize=ROWS, **options) as tables:
        while (table := _next_table(tables, source, pd.errors.ParserWarning)) is not None:
            yield from table.to_dict("records")


def _next_table(tables: Any, source: str, cut_row: type[Warning]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error", cut_row)
        try:
            return next(tables, None)
        except cut_row:  # pandas would cut the row
            raise DataError(f"{source}: a row has more cells than the header; expected as many") from None


def _json_lines(lines: Iterable[bytes], source: str) -> Iterator[Row]:
    number = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _json_object(line, f"{source}, line {number}")
    if not number:
        raise ValueError("it is empty")


def _json_object(line: bytes, place: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not valid JSON ({error}); expected an object a line") from None
    if not isinstance(row, dict):
        raise DataError(f"{place}: found {type(row).__name__}; expected an object a line")
    return row


def _json_rows(file: Any, source: str) -> Iterator[Row]:
    """A list of objects; or an object a line, as some tools write into .json files."""
    content = file.read().removeprefix(codecs.BOM_UTF8)
    if not content.lstrip().startswith(b"["):
        yield from _json_lines(content.splitlines(), source)
        return
    for number, row in enumerate(json.loads(content), 1):
        if not isinstance(row, dict):
            raise DataError(f"{source}, row {number}: found {type(row).__name__}; expected an object")
        yield row


def no_columns(missing: Mapping[str, str], found: Sequence[str]) -> str:
    """What is wrong with a table that lacks columns, and what to do.

    Args:
        missing: Column -> the option that names it.
        found: The columns that are there.
    """
    names = ", ".join(map(repr, missing))
    for separator, name in ((";", "';'"), ("\t", "tabs"), (",", "commas")):
        if len(found) == 1 and separator in found[0]:
            return (
                f"no column {names}, but one called {found[0]!r}: is it separated by {name}? expected commas (.csv) "
                "or tabs (.tsv)"
            )
    plural, pronoun = ("", "it") if len(missing) == 1 else ("s", "them")
    options = ", ".join(dict.fromkeys(missing.values()))
    return f"no column{plural} {names}; found {', '.join(found)}: name {pronoun} with {options}"


@contextmanager
def table_errors(source: str) -> Iterator[None]:
    """Raise the errors of readers for a file that is not a table as one line."""
    try:
        with dataset_errors(source):
            yield
    except DataError:
        raise
    except UnicodeDecodeError as error:
        found = f"found the byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{source}: no text in UTF-8 ({found}); save it as UTF-8, in Excel as 'CSV UTF-8'") from None
    except (ValueError, EOFError, StopIteration, RecursionError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the machine; pyarrow's and gzip's have none
            raise
        if cells := FIELDS.search(str(error)):
            expected, line, found = cells.groups()
            raise DataError(f"{source}, line {line}: found {found} fields, expected {expected}") from None
        cause = (str(error).strip() or "it is empty").splitlines()[0]
        raise DataError(f"{source}: cannot be read as a table: {cause}") from error
