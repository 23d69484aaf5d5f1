"""Any labelled proteins, FASTA, table or Hub dataset, to the columns that DeepLoc has."""

import gzip
import logging
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape

import datasets
import pandas as pd
from datasets import Dataset, DatasetDict

from ..errors import DataError, OptionError
from .alphabet import space
from .deeploc import read_deeploc
from .homology import add_validation, report_copies
from .records import (
    UNDECODED,
    Accessions,
    Place,
    checked_residues,
    open_plain_or_gzip,
    plain_errors,
    protein_features,
    read_fasta,
)

logger = logging.getLogger(__name__)

FASTA_ENDINGS = (".fasta", ".fa", ".faa", ".fas", ".seq")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}
TABLE_ENDINGS = (*SEPARATORS, *BUILDERS)
SPREADSHEETS = (".xlsx", ".xls", ".ods")
EMPTY = (None, "")  # a cell without a value
FIELDS = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")  # what pandas says of a row that is too long
# what a split is called in headers, columns and Hub datasets
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "true": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "new_test_set": "test",
    "false": "test",
}


@dataclass
class Columns:
    """Names of a table's columns."""

    id: str = "id"
    sequence: str = "sequence"
    label: str = "location"
    split: str = "split"


def load_proteins(
    source: str | os.PathLike[str] | None = None,
    *,
    validation: float = 0.1,
    seed: int = 42,
    ambiguous: str = "drop",
    header_pattern: str | None = None,
    columns: Columns | None = None,
) -> DatasetDict:
    """Load labelled proteins from anywhere.

    Args:
        source: A FASTA file with DeepLoc's headers, or with others and a `header_pattern`; a .csv, .tsv, .parquet,
            .jsonl or .json table (plain or .gz); the id of a Hub dataset; DeepLoc's official file if None.
        validation: Share of the training proteins, stratified, for `validation`, if the data has no such split; 0..1.
        seed: Of the validation split.
        ambiguous: For DeepLoc's headers; see [`DeepLocConfig`].
        header_pattern: Regular expression searched in what follows the accession, with a group `label` and, optionally,
            `split` (a record without one is for training).
        columns: Names of a table's columns. `id` and `split` may be missing.

    Returns:
        The columns of DeepLoc in `train`, `validation` and `test`, as far as the data has them. Labels are the strings
        that the data has, in alphabetical order; `membrane` is U.

    Raises:
        InputError: What was found, where, and what was expected.
    """
    splits = read_proteins(source, ambiguous=ambiguous, header_pattern=header_pattern, columns=columns)
    splits = add_validation(splits, validation, seed)
    report_copies(splits)
    return splits


def read_proteins(
    source: str | os.PathLike[str] | None = None,
    *,
    ambiguous: str = "drop",
    header_pattern: str | None = None,
    columns: Columns | None = None,
) -> DatasetDict:
    """[`load_proteins`] with the splits as the data has them."""
    if source is None:
        return read_deeploc(ambiguous=ambiguous)
    source = os.fspath(source)
    check_readable(source)
    columns = columns or Columns()
    ending = ending_of(source)
    if ending in TABLE_ENDINGS:
        return _collect(_table_rows(_load_table(source, ending), source, columns), source)
    if header_pattern is not None:
        return _collect(_header_rows(source, header_pattern), source)
    if os.path.isfile(source) or "://" in source or ending in FASTA_ENDINGS:
        return read_deeploc(source, ambiguous=ambiguous)
    if os.path.isdir(source) or re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        return _collect(_table_rows(_load_hub(source), source, columns), source)
    raise DataError(
        f"{source}: no such file; expected FASTA, {', '.join(TABLE_ENDINGS)} or the id of a Hub dataset (owner/name)"
    )


def check_there(source: str | None) -> None:
    """Refuse the name of a file that is not there or that cannot be proteins, before anything is downloaded or read.

    Raises:
        DataError: No such file, or [`check_readable`] refuses it.
    """
    if source is None or "://" in source:
        return
    check_readable(source)
    if not os.path.exists(source) and ending_of(source) in (*FASTA_ENDINGS, *TABLE_ENDINGS):
        raise DataError(f"{source}: no such file; expected FASTA, {', '.join(TABLE_ENDINGS)} or a Hub dataset's id")


def ending_of(source: str) -> str:
    """The ending that tells the format, lower case: `.csv` of `T.CSV.gz`."""
    return os.path.splitext(source.removesuffix(".gz"))[1].lower()


def check_readable(source: str) -> None:
    """Refuse a folder that is no dataset, and a spreadsheet.

    Raises:
        DataError: It is one of these.
    """
    if os.path.isdir(source) and not is_dataset_folder(source):
        raise DataError(
            f"{source}: is a folder; expected a file of proteins, or a dataset with train.csv, test.parquet or the like"
        )
    if ending_of(source) in SPREADSHEETS:
        raise DataError(f"{source}: a spreadsheet; export it as CSV")


def is_dataset_folder(folder: str) -> bool:
    """Whether a folder is laid out as a dataset of the Hub: tables whose path names a split; and it is no run's."""
    if os.path.isfile(os.path.join(folder, "run.json")) or os.path.isfile(os.path.join(folder, "config.json")):
        return False
    tables = (
        os.path.relpath(os.path.join(place, name), folder).lower()
        for place, _, names in os.walk(folder)
        for name in names
        if ending_of(name) in TABLE_ENDINGS and name != "test_predictions.csv"  # which a training writes
    )
    return any(word in SPLIT_NAMES for path in tables for word in re.split("[^a-z]+", path))


@dataclass
class _Row:
    place: Place
    residues: str
    label: str
    split: str


def _collect(rows: Iterable[_Row], source: str) -> DatasetDict:
    """Rows to datasets, one a split; copies of a record are dropped."""
    accessions = Accessions()
    kept = [row for row in rows if not accessions.is_copy(row.place, row.residues, row.label, row.split)]
    if not kept:
        raise DataError(f"{source}: no proteins")
    names = sorted({row.label for row in kept})
    _warn_of_lookalikes(names, source)
    splits = {}
    for split in ("train", "validation", "test"):
        members = [row for row in kept if row.split == split]
        if members:
            splits[split] = Dataset.from_dict(
                {
                    "id": [row.place.accession for row in members],
                    "sequence": [space(row.residues) for row in members],
                    "sequence_length": [len(row.residues) for row in members],
                    "location": [names.index(row.label) for row in members],
                    "membrane": ["U"] * len(members),
                    "is_train": [split != "test"] * len(members),
                },
                features=protein_features(names),
            )
    return DatasetDict(splits)


def _warn_of_lookalikes(names: list[str], source: str) -> None:
    """Tell of classes that differ in upper and lower case or in blanks around them only: they will be a typo."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.strip().casefold(), []).append(name)
    groups = [", ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if groups:
        logger.warning("%s: classes that differ in case or blanks only, kept apart: %s", source, "; ".join(groups))


def _header_rows(source: str, header_pattern: str) -> Iterator[_Row]:
    try:
        pattern = re.compile(header_pattern)
    except re.error as error:
        raise OptionError(f"header_pattern {header_pattern!r} is no regular expression: {error}") from None
    if "label" not in pattern.groupindex:
        raise OptionError(f"header_pattern {header_pattern!r} has no group 'label'; expected (?P<label>...)")
    for place, description, residues in read_fasta(_local(source), os.path.basename(source)):
        match = pattern.search(description)
        if match is None or not match["label"]:
            raise DataError(f"{place}: found {description[:60]!r}; expected a header that {header_pattern!r} matches")
        if UNDECODED in match["label"]:  # two classes might become one
            raise DataError(f"{place}: its class {match['label']!r} is not UTF-8; expected a file in UTF-8")
        split = match.groupdict().get("split") or "train"
        yield _Row(place, residues, match["label"], _split_name(split, place))


def _local(source: str) -> str:
    """The path of a local copy, as it is or downloaded."""
    if "://" in source:
        with plain_errors(source):
            return datasets.DownloadManager().download(source)
    if not os.path.isfile(source):
        raise DataError(f"{source}: no such file")
    return source


def _table_rows(splits: DatasetDict, source: str, columns: Columns) -> Iterator[_Row]:
    name = os.path.basename(source.rstrip("/"))
    for split, table in splits.items():
        for needed, option in ((columns.sequence, "--sequence_column"), (columns.label, "--label_column")):
            if needed not in table.column_names:
                raise DataError(f"{name}: {no_column(needed, table.column_names, option)}")
        label_feature = table.features[columns.label]
        for number, row in enumerate(table, 1):
            accession = row.get(columns.id)
            place = Place(name, number, f"{split}_{number}" if accession in EMPTY else str(accession))
            label = row[columns.label]
            if isinstance(label_feature, datasets.ClassLabel) and label is not None:
                label = label_feature.int2str(label)
            if label in EMPTY:
                raise DataError(f"{place}: no label in column {columns.label!r}; expected the name of a class")
            residues = checked_residues(str(row[columns.sequence] or ""), place)
            own_split = row.get(columns.split)
            yield _Row(place, residues, str(label), _split_name(split if own_split in EMPTY else str(own_split), place))


def no_column(needed: str, found: Sequence[str], option: str) -> str:
    """What is wrong with a table that lacks a column, and what to do."""
    for separator, name in ((";", "';'"), ("\t", "tabs"), (",", "commas")):
        if len(found) == 1 and separator in found[0]:
            return (
                f"no column {needed!r}, but one called {found[0]!r}: is it separated by {name}? expected commas (.csv) "
                "or tabs (.tsv)"
            )
    return f"no column {needed!r}; found {', '.join(found)}: name it with {option}"


def _split_name(found: str, place: Place) -> str:
    name = SPLIT_NAMES.get(found.lower())
    if name is None:
        raise DataError(f"{place}: unknown split {found!r}; expected train, validation or test")
    return name


def _load_table(source: str, ending: str) -> DatasetDict:
    path = _local(source)
    with table_errors(source):
        if ending in BUILDERS:
            return datasets.load_dataset(BUILDERS[ending], data_files={"train": [escape(path)]})
        with open_plain_or_gzip(path) as file:
            # every cell as written: a label 01, the protein NA; no first column as an index
            table = pd.read_csv(file, sep=SEPARATORS[ending], dtype=str, na_filter=False, index_col=False)
        return DatasetDict(train=Dataset.from_pandas(table))


def _load_hub(source: str) -> DatasetDict:
    with table_errors(source):
        return datasets.load_dataset(source)


@contextmanager
def table_errors(source: str) -> Iterator[None]:
    """What readers raise for a file that is no table, in one line."""
    try:
        with plain_errors(source):
            yield
    except DataError:
        raise
    except UnicodeDecodeError as error:
        found = f"found the byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{source}: no text in UTF-8 ({found}); save it as UTF-8, in Excel as 'CSV UTF-8'") from None
    except (ValueError, EOFError, StopIteration, gzip.BadGzipFile, zlib.error) as error:
        if cells := FIELDS.search(str(error)):
            expected, line, found = cells.groups()
            raise DataError(f"{source}, line {line}: found {found} fields, expected {expected}") from None
        cause = (str(error).strip() or "it is empty").splitlines()[0]
        raise DataError(f"{source}: cannot be read as a table: {cause}") from error


def whole(splits: DatasetDict) -> Dataset:
    """All proteins of a file that is one split, whatever its records say."""
    return datasets.concatenate_datasets(list(splits.values()))


def merge_splits(splits: DatasetDict, name: str, proteins: Dataset) -> DatasetDict:
    """`splits` with `proteins` as the split `name`, all with one set of classes."""
    parts = {**splits, name: proteins}
    names: list[str] = []
    for part in parts.values():
        names += [label for label in part.features["location"].names if label not in names]
    if any(part.features["location"].names != names for part in parts.values()):
        names = sorted(names)
        parts = {key: _relabel(part, names) for key, part in parts.items()}
    return DatasetDict(parts)


def _relabel(proteins: Dataset, names: list[str]) -> Dataset:
    old = proteins.features["location"].names
    relabelled = [names.index(old[label]) for label in proteins["location"][:]]
    columns = {column: proteins[column][:] for column in proteins.column_names}
    return Dataset.from_dict({**columns, "location": relabelled}, features=protein_features(names))
