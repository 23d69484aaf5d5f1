"""Proteins to classify, from a FASTA file, a table, standard input or the Hub: one at a time, as they stand."""

import gzip
import json
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq

from ..errors import DataError
from .columns import Columns
from .records import GZIP, Place, Record, fasta_errors, open_plain_or_gzip, parse_fasta
from .tables import SEPARATORS, SPREADSHEETS, ending_of, no_column, table_errors

STANDARD_INPUT = "-"
DESCRIPTION = "description"
ROWS = 1000  # of a table, held at once
BLOCK = 1 << 20  # bytes read at once to count records


def read_unlabelled(source: str, columns: Columns | None = None) -> Iterator[Record]:
    """The records of a source, in its order; nothing is checked but that they can be read.

    Args:
        source: FASTA (plain or .gz), `-` for FASTA on standard input, a .csv, .tsv, .jsonl (plain or .gz) or .parquet
            table, or the id of a Hub dataset, all of whose splits are read.
        columns: Names of a table's columns; `id` may be missing, and `description` is taken where there is one.

    Raises:
        DataError: No such source, or one that cannot be read to its end.
    """
    columns = columns or Columns()
    if source == STANDARD_INPUT:
        return parse_fasta(source, "standard input", _open_standard_input)
    ending = ending_of(source)
    if os.path.isdir(source):
        raise DataError(f"{source}: is a folder; expected a file of proteins")
    if ending in SPREADSHEETS:
        raise DataError(f"{source}: a spreadsheet; export it as CSV")
    if ending == ".json":
        raise DataError(f"{source}: a .json file cannot be read a protein at a time; expected .jsonl, a line a protein")
    if os.path.isfile(source):
        if ending in SEPARATORS or ending in (".jsonl", ".parquet"):
            return _table_records(_table_rows(source, ending), os.path.basename(source), columns)
        return parse_fasta(source)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source) or os.path.isdir(os.path.dirname(source)):
        raise DataError(
            f"{source}: no such file; expected FASTA, .csv, .tsv, .jsonl, .parquet, - or the id of a Hub dataset"
        )
    return _table_records(_hub_rows(source), source, columns)


def count_records(source: str) -> int | None:
    """About how many records a source has, quickly: for a progress bar. None where only reading it would tell."""
    if not os.path.isfile(source):
        return None
    ending = ending_of(source)
    if ending not in SEPARATORS and ending not in (".jsonl", ".parquet"):
        with fasta_errors(source), open_plain_or_gzip(source) as file:
            return _count(file, b"\n>") + 1
    with table_errors(source):
        if ending == ".parquet":
            return int(pq.ParquetFile(source).metadata.num_rows)
        with open_plain_or_gzip(source) as file:
            return max(_count(file, b"\n") - (ending != ".jsonl"), 0)


def _count(file: Any, mark: bytes) -> int:
    found, before = 0, b""
    while block := file.read(BLOCK):
        found += (before + block).count(mark)
        before = block[-len(mark) + 1 :] if len(mark) > 1 else b""
    return found


def _open_standard_input(path: str, mode: str) -> Any:
    stream: Any = sys.stdin.buffer
    return gzip.open(stream) if stream.peek(2)[:2] == GZIP else stream


def _table_rows(source: str, ending: str) -> Iterator[Mapping[str, Any]]:
    with table_errors(source):
        if ending == ".parquet":
            for batch in pq.ParquetFile(source).iter_batches(batch_size=ROWS):
                yield from batch.to_pylist()
            return
        with open_plain_or_gzip(source) as file:
            if ending == ".jsonl":
                yield from (_parsed(line, source, number) for number, line in enumerate(file, 1) if line.strip())
                return
            yield from _csv_rows(file, source, SEPARATORS[ending])


def _csv_rows(file: Any, source: str, separator: str) -> Iterator[Mapping[str, Any]]:
    import pandas as pd  # a quarter of a second, and only these tables need it

    # every cell as written: the protein NA; no first column as an index
    options = {"sep": separator, "dtype": str, "na_filter": False, "index_col": False}
    with pd.read_csv(file, chunksize=ROWS, **options) as tables:
        while (table := _next_table(tables, source, pd.errors.ParserWarning)) is not None:
            yield from table.to_dict("records")


def _next_table(tables: Any, source: str, cut_row: type[Warning]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error", cut_row)
        try:
            return next(tables, None)
        except cut_row:  # pandas would cut the row
            raise DataError(f"{source}: a row has more cells than the header; expected as many") from None


def _parsed(line: bytes, source: str, number: int) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{source}, line {number}: no JSON ({error}); expected an object a line") from None
    if not isinstance(row, dict):
        raise DataError(f"{source}, line {number}: found {type(row).__name__}; expected an object a line")
    return row


def _hub_rows(source: str) -> Iterator[Mapping[str, Any]]:
    import datasets  # half a second, and files need it not

    with table_errors(source):
        for split in datasets.load_dataset(source, streaming=True).values():
            yield from split


def _table_records(rows: Iterable[Mapping[str, Any]], name: str, columns: Columns) -> Iterator[Record]:
    from ..tasks.cells import EMPTY  # with it comes `datasets`; FASTA needs neither

    number = 0
    for number, row in enumerate(rows, 1):
        if columns.sequence not in row:
            raise DataError(
                f"{name}, row {number}: {no_column(columns.sequence, [*map(str, row)], '--sequence_column')}"
            )
        accession = row.get(columns.id)
        place = Place(name, number, f"row_{number}" if accession in EMPTY else str(accession))
        description, sequence = row.get(DESCRIPTION), row[columns.sequence]
        yield Record(place, str(description or ""), str(sequence or ""))
    if not number:
        raise DataError(f"{name}: no records")
