"""Any labelled proteins: FASTA, a table or a Hub dataset."""

import os
import re
from collections.abc import Iterator, Sequence
from glob import escape

import datasets
import pandas as pd
from datasets import Dataset, DatasetDict

from ..errors import DataError, OptionError
from ..model.tasks import MULTI_LABEL, REGRESSION, Task
from ..tasks.cells import EMPTY, by_name, names_of
from ..tasks.columns import infer_task
from .answers import Row, collect
from .columns import Columns
from .deeploc import read_deeploc
from .records import UNDECODED, Place, checked_residues, open_plain_or_gzip, plain_errors, read_fasta
from .splitting import add_validation, report_copies, without_unknown
from .tables import BUILDERS, SEPARATORS, SPREADSHEETS, TABLE_ENDINGS, ending_of, no_column, table_errors

DEEPLOC_COLUMNS = ("location", "membrane")
FASTA_ENDINGS = (".fasta", ".fa", ".faa", ".fas", ".seq")
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


def load_proteins(
    source: str | os.PathLike[str] | None = None,
    *,
    label_column: str | Sequence[str] = "location",
    auxiliary_columns: Sequence[str] = (),
    problem_type: str | None = None,
    id_column: str = "id",
    sequence_column: str = "sequence",
    split_column: str = "split",
    validation: float = 0.1,
    seed: int = 42,
    ambiguous: str = "drop",
    header_pattern: str | None = None,
) -> DatasetDict:
    """Load labelled proteins from anywhere.

    Args:
        source: A FASTA file with DeepLoc's headers, or with others and a `header_pattern`; a .csv, .tsv, .parquet,
            .jsonl or .json table (plain or .gz); the id of a Hub dataset; DeepLoc's official file if None.
        label_column: Column with what is to be predicted; or several columns, each a label: 0 and 1, or numbers.
        auxiliary_columns: Columns with answers to auxiliary tasks, such as DeepLoc's `membrane`; cells may be empty.
        problem_type: `single_label_classification`, `multi_label_classification` (texts such as `A;B`, lists, or
            columns of 0 and 1) or `regression`; what the label column looks like if None. Texts with `;` are then one
            class each, and whole numbers are classes.
        id_column: Column with the accessions; it may be missing.
        sequence_column: Column with the residues.
        split_column: Column with train, validation or test; it may be missing.
        validation: Share of the training proteins, stratified, for `validation`, if the data has no such split; 0..1.
        seed: Of the validation split.
        ambiguous: For DeepLoc's headers; see [`DeepLocConfig`].
        header_pattern: Regular expression searched in what follows the accession, with a group `label` and, optionally,
            `split` (a record without one is for training). Auxiliary columns, and several label columns, are groups of
            their names.

    Returns:
        `train`, `validation` and `test`, as far as the data has them, with the columns `id`, `sequence` (upper case,
        spaced), `sequence_length`, the label column or columns, the auxiliary columns and `is_train`. A class is a
        `ClassLabel` with the names in alphabetical order, several are a list of these, numbers are floats. DeepLoc's
        headers give `location` and `membrane`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from protbert_classify import load_proteins
        >>> path = Path(tempfile.mkdtemp()) / "proteins.csv"
        >>> _ = path.write_text("id,sequence,fold\\nP1,MKTAYI,alpha\\nP2,MRRKSK,beta\\n")
        >>> proteins = load_proteins(path, label_column="fold", validation=0)
        >>> proteins["train"].features["fold"].names
        ['alpha', 'beta']

    Raises:
        InputError: What was found, where, and what was expected.
    """
    columns = Columns(id_column, sequence_column, label_column, split_column, auxiliary_columns, problem_type)
    splits = read_proteins(source, ambiguous=ambiguous, header_pattern=header_pattern, columns=columns)
    task = main_task(splits, columns)
    splits = add_validation(splits, validation, seed, task)
    report_copies(splits, task)
    return splits


def main_task(splits: DatasetDict, columns: Columns | None = None) -> Task:
    """The task that the label columns of proteins ask."""
    columns = columns or Columns()
    return infer_task(splits, columns.labels, problem_type=columns.problem_type)


def read_proteins(
    source: str | os.PathLike[str] | None = None,
    *,
    ambiguous: str = "drop",
    header_pattern: str | None = None,
    columns: Columns | None = None,
) -> DatasetDict:
    """[`load_proteins`] with the splits as the data has them."""
    columns = columns or Columns()
    columns.check()
    splits = _read(None if source is None else os.fspath(source), ambiguous, header_pattern, columns)
    return without_unknown(splits, main_task(splits, columns))


def _read(source: str | None, ambiguous: str, header_pattern: str | None, columns: Columns) -> DatasetDict:
    if source is None:
        return _read_deeploc(None, ambiguous, columns)
    check_readable(source)
    ending = ending_of(source)
    if ending in TABLE_ENDINGS:
        return collect(_table_rows(_load_table(source, ending), source, columns), columns, source)
    if header_pattern is not None:
        return collect(_header_rows(source, header_pattern, columns), columns, source)
    if os.path.isfile(source) or "://" in source or ending in FASTA_ENDINGS:
        return _read_deeploc(source, ambiguous, columns)
    if os.path.isdir(source) or re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        return collect(_table_rows(_load_hub(source), source, columns), columns, source)
    raise DataError(
        f"{source}: no such file; expected FASTA, {', '.join(TABLE_ENDINGS)} or the id of a Hub dataset (owner/name)"
    )


def _read_deeploc(source: str | None, ambiguous: str, columns: Columns) -> DatasetDict:
    """Proteins with DeepLoc's headers; a label column of another name is its `location`."""
    label, *others = columns.answers
    wrong = [name for name in others if name not in DEEPLOC_COLUMNS]
    if len(columns.labels) > 1 or wrong or columns.problem_type == REGRESSION:
        found = ", ".join(columns.answers)
        asked = f"problem_type={REGRESSION!r}" if columns.problem_type == REGRESSION else f"columns {found}"
        raise OptionError(
            f"{source or 'DeepLoc'}: {asked}: DeepLoc's headers have {' and '.join(DEEPLOC_COLUMNS)}, which are "
            "classes; expected these, a table, or a --header_pattern"
        )
    splits = read_deeploc(source, ambiguous=ambiguous, multi_label=columns.problem_type == MULTI_LABEL)
    return splits if label in DEEPLOC_COLUMNS else splits.rename_column(DEEPLOC_COLUMNS[0], label)


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


def _header_rows(source: str, header_pattern: str, columns: Columns) -> Iterator[Row]:
    try:
        pattern = re.compile(header_pattern)
    except re.error as error:
        raise OptionError(f"header_pattern {header_pattern!r} is no regular expression: {error}") from None
    groups = {name: name for name in columns.answers}
    if len(columns.labels) == 1:
        groups[columns.labels[0]] = "label"
    for group in groups.values():
        if group not in pattern.groupindex:
            raise OptionError(f"header_pattern {header_pattern!r} has no group {group!r}; expected (?P<{group}>...)")
    for place, description, residues in read_fasta(_local(source), os.path.basename(source)):
        match = pattern.search(description)
        if match is None or not all(match[groups[name]] for name in columns.labels):
            raise DataError(f"{place}: found {description[:60]!r}; expected a header that {header_pattern!r} matches")
        answers = {name: match[group] for name, group in groups.items()}
        for answer in answers.values():
            if UNDECODED in (answer or ""):  # two classes might become one
                raise DataError(f"{place}: its class {answer!r} is not UTF-8; expected a file in UTF-8")
        split = match.groupdict().get("split") or "train"
        yield Row(place, residues, answers, _split_name(split, place))


def _local(source: str) -> str:
    """The path of a local copy, as it is or downloaded."""
    if "://" in source:
        with plain_errors(source):
            return datasets.DownloadManager().download(source)
    if not os.path.isfile(source):
        raise DataError(f"{source}: no such file")
    return source


def _table_rows(splits: DatasetDict, source: str, columns: Columns) -> Iterator[Row]:
    name = os.path.basename(source.rstrip("/"))
    needed = {columns.sequence: "--sequence_column", **dict.fromkeys(columns.answers, "--auxiliary_tasks")}
    needed |= dict.fromkeys(columns.labels, "--label_column")
    for split, table in splits.items():
        for column, option in needed.items():
            if column not in table.column_names:
                raise DataError(f"{name}: {no_column(column, table.column_names, option)}")
        names = {column: names_of(table.features[column]) for column in columns.answers}
        for number, row in enumerate(table, 1):
            accession = row.get(columns.id)
            place = Place(name, number, f"{split}_{number}" if accession in EMPTY else str(accession))
            answers = {column: by_name(row[column], classes) for column, classes in names.items()}
            residues = checked_residues(str(row[columns.sequence] or ""), place)
            own_split = row.get(columns.split)
            yield Row(place, residues, answers, _split_name(split if own_split in EMPTY else str(own_split), place))


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
