"""The one door for proteins: records from FASTA, a table, standard input or a Hub dataset, labelled or not."""

import gzip
import os
import re
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

from ..errors import DataError, OptionError
from .column_names import ColumnNames
from .fasta import DEEPLOC_HEADER, fasta_errors, parse_fasta, read_fasta
from .records import UNDECODED, LabelledRecord, Place, Record, checked_residues
from .sources import (
    GZIP,
    SPLIT_NAMES,
    STANDARD_INPUT,
    SourceType,
    ending_of,
    local_path,
    open_plain_or_gzip,
    source_type,
)
from .tables import Row, Table, no_columns, read_dataset, read_file, table_errors

DESCRIPTION = "description"
BLOCK = 1 << 20  # bytes read at once to count records


def read_records(source: str, columns: ColumnNames | None = None, *, without_test: bool = False) -> Iterator[Record]:
    """The records of a source, in its order, unchecked; one at a time, so that memory does not grow with the source.

    Args:
        source: FASTA (plain or .gz), `-` for FASTA on standard input, a .csv, .tsv, .jsonl (plain or .gz) or .parquet
            table, or a Hub dataset, of which all splits are read.
        columns: Names of a table's columns; `id` may be missing, and `description` is read if it is there.
        without_test: Leave out what DeepLoc's headers, or the split column of a table, mark as test proteins.

    Raises:
        DataError: No such source, or one that cannot be read to its end.
    """
    columns = columns or ColumnNames()
    if source == STANDARD_INPUT:
        return parse_fasta(source, "standard input", _open_standard_input)
    if ending_of(source) == ".json":
        raise DataError(f"{source}: a .json file cannot be read a protein at a time; expected .jsonl, a line a protein")
    kind = source_type(source)
    if kind is SourceType.FASTA:
        records = parse_fasta(local_path(source), _name(source))
        return (record for record in records if not (without_test and _is_deeplocs_test(record)))
    tables = iter([read_file(source)]) if kind is SourceType.TABLE else read_dataset(source, streaming=True)
    rows = chain.from_iterable(
        table.rows for table in tables if not (without_test and SPLIT_NAMES.get(table.split) == "test")
    )
    return _table_records(rows, _name(source), columns, without_test)


def read_labelled_records(
    source: str, columns: ColumnNames, header_pattern: str | None = None
) -> Iterator[LabelledRecord]:
    """The records of a source with their labels, checked.

    Args:
        source: FASTA whose headers match `header_pattern`, a table, or a Hub dataset.
        columns: Names of a table's columns, or of the pattern's groups.
        header_pattern: For FASTA: see `load_proteins`.

    Raises:
        DataError: No such source, or a record with no residues, no label or an unknown split.
        OptionError: A `header_pattern` that cannot work.
    """
    kind = source_type(source)
    if kind is SourceType.FASTA:
        return _labelled_fasta(source, header_pattern or "", columns)
    tables = iter([read_file(source)]) if kind is SourceType.TABLE else read_dataset(source, streaming=False)
    return chain.from_iterable(_labelled_rows(table, _name(source), columns) for table in tables)


def count_records(source: str) -> int | None:
    """About how many records a source has, quickly: for a progress bar. None where only reading it would tell."""
    if not os.path.isfile(source):
        return None
    ending = ending_of(source)
    if ending not in (".csv", ".tsv", ".jsonl", ".parquet"):
        with fasta_errors(source), open_plain_or_gzip(source) as file:
            return _count(file, b"\n>") + 1
    with table_errors(source):
        if ending == ".parquet":
            import pyarrow.parquet as pq

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


def _name(source: str) -> str:
    """What a source is called in messages: the name of its file, or the id of a Hub dataset."""
    return os.path.basename(source) if os.path.exists(source) or "://" in source else source


def _is_deeplocs_test(record: Record) -> bool:
    found = DEEPLOC_HEADER.fullmatch(record.description)
    return found is not None and found["test"] is not None


def _table_records(
    rows: Iterator[Row], name: str, columns: ColumnNames, without_test: bool = False
) -> Iterator[Record]:
    number = 0
    for number, row in enumerate(rows, 1):
        if columns.sequence not in row:
            reason = no_columns({columns.sequence: "sequence_column"}, [*map(str, row)])
            raise DataError(f"{name}, row {number}: {reason}")
        if without_test and SPLIT_NAMES.get(str(row.get(columns.split)).lower()) == "test":
            continue
        place = _place(row, number, name, columns, "row")
        yield Record(place, str(row.get(DESCRIPTION) or ""), str(row[columns.sequence] or ""))
    if not number:
        raise DataError(f"{name}: no records")


def _place(row: Row, number: int, name: str, columns: ColumnNames, prefix: str) -> Place:
    """The place of a row; one without an accession is called by its number."""
    accession = row.get(columns.id)
    return Place(name, number, f"{prefix}_{number}" if accession in (None, "") else str(accession))


def _labelled_rows(table: Table, name: str, columns: ColumnNames) -> Iterator[LabelledRecord]:
    from ..tasks.cells import EMPTY, by_name, names_of  # with it comes `datasets`

    required = {columns.sequence: "sequence_column", **dict.fromkeys(columns.labels, "label_column")}
    auxiliary = dict.fromkeys(columns.answers[len(columns.labels) :], "auxiliary_tasks")
    names = {column: names_of(table.features.get(column)) for column in columns.answers}
    found: dict[str, None] = {}  # the columns, in order; a line of JSON may lack some
    for number, row in enumerate(table.rows, 1):
        found.update(dict.fromkeys(row))
        if number == 1 and any(column not in found for column in required):
            _check_columns({**required, **auxiliary}, found, name)
        place = _place(row, number, name, columns, table.split)
        answers = {column: by_name(row.get(column), classes) for column, classes in names.items()}
        residues = checked_residues(str(row.get(columns.sequence) or ""), place)
        split = row.get(columns.split)
        yield LabelledRecord(
            place, residues, answers, _split_name(table.split if split in EMPTY else str(split), place)
        )
    if found:
        _check_columns(auxiliary, found, name)


def _check_columns(needed: dict[str, str], found: dict[str, None], name: str) -> None:
    """Raise DataError for the columns that are missing; `needed` has the option that names each."""
    missing = {column: option for column, option in needed.items() if column not in found}
    if missing:
        raise DataError(f"{name}: {no_columns(missing, [*map(str, found)])}")


def _split_name(found: str, place: Place) -> str:
    name = SPLIT_NAMES.get(found.lower())
    if name is None:
        raise DataError(f"{place}: unknown split {found!r}; expected train, validation or test")
    return name


def _labelled_fasta(source: str, header_pattern: str, columns: ColumnNames) -> Iterator[LabelledRecord]:
    groups = {name: name for name in columns.answers}
    if len(columns.labels) == 1:
        groups[columns.labels[0]] = "label"
    pattern = _compiled(header_pattern, groups)
    for place, description, residues in read_fasta(local_path(source), _name(source)):
        match = pattern.search(description)
        if match is None or not all(match[groups[name]] for name in columns.labels):
            raise DataError(f"{place}: found {description[:60]!r}; expected a header that '{header_pattern}' matches")
        answers = {name: match[group] for name, group in groups.items()}
        for answer in answers.values():
            if UNDECODED in (answer or ""):  # two different classes might become one
                raise DataError(f"{place}: its class {answer!r} is not UTF-8; expected a file in UTF-8")
        split = match.groupdict().get("split") or "train"
        yield LabelledRecord(place, residues, answers, _split_name(split, place))


def _compiled(header_pattern: str, groups: dict[str, str]) -> re.Pattern[str]:
    """The pattern, if it has a group for each answer."""
    try:
        pattern = re.compile(header_pattern)
    except re.error as error:
        raise OptionError(f"header_pattern '{header_pattern}' is not a valid regular expression: {error}") from None
    for group in groups.values():
        if group not in pattern.groupindex:
            raise OptionError(f"header_pattern '{header_pattern}' has no group {group!r}; expected (?P<{group}>...)")
    return pattern
