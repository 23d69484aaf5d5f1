"""Loads labelled proteins as a `DatasetDict`: from FASTA, a table or a Hub dataset."""

import os
from collections.abc import Sequence
from typing import Any

from datasets import DatasetDict

from ..errors import OptionError
from ..homology.neighbours import COVERAGE, IDENTITY
from ..model.tasks import MULTI_LABEL, REGRESSION, Task
from ..tasks.columns import infer_task
from .column_names import ColumnNames
from .deeploc import check_ambiguous, read_deeploc
from .labelled_dataset import to_datasets
from .reader import read_labelled_records
from .sources import SourceType, source_type
from .split_strategies import IDENTICAL
from .splitting import add_validation, report_copies, without_unknown

DEEPLOC_COLUMNS = ("location", "membrane")


def load_proteins(
    source: str | os.PathLike[str] | None = None,
    *,
    label_column: str | Sequence[str] = "location",
    auxiliary_tasks: Sequence[str] = (),
    problem_type: str | None = None,
    id_column: str = "id",
    sequence_column: str = "sequence",
    split_column: str = "split",
    validation: float = 0.1,
    split: str = IDENTICAL,
    split_identity: float = IDENTITY,
    split_coverage: float = COVERAGE,
    seed: int = 42,
    ambiguous: str = "drop",
    header_pattern: str | None = None,
) -> DatasetDict:
    """Load labelled proteins.

    Args:
        source: A FASTA file with DeepLoc's headers, or with others and a `header_pattern`; a .csv, .tsv, .parquet,
            .jsonl or .json table (plain or .gz); the id of a Hub dataset; DeepLoc's official file if None.
        label_column: Column with what is to be predicted; or several columns, each a label: 0 and 1, or numbers.
        auxiliary_tasks: Columns with answers to auxiliary tasks, such as DeepLoc's `membrane`; cells may be empty.
        problem_type: `single_label_classification`, `multi_label_classification` (texts such as `A;B`, lists, or
            columns of 0 and 1) or `regression`. If None, it is found from the values of the label column: texts with
            `;` are one class each, and whole numbers are classes.
        id_column: Column with the accessions; it may be missing.
        sequence_column: Column with the residues.
        split_column: Column with train, validation or test; it may be missing.
        validation: Share of the training proteins for `validation`, about the same of each class, if the data has no
            such split; 0..1.
        split: How they are chosen: `identical` (equal sequences stay together), `random`, or `homology` (none has a
            neighbour in training; the default of `train`, which takes a search of a minute or so).
        split_identity: For `homology`, minimum identity of neighbours; see [`find_neighbours`].
        split_coverage: For `homology`, minimum share of the shorter of two neighbours that is aligned.
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
    columns = ColumnNames(id_column, sequence_column, label_column, split_column, auxiliary_tasks, problem_type)
    splits = read_proteins(source, ambiguous=ambiguous, header_pattern=header_pattern, columns=columns)
    task = main_task(splits, columns)
    limits = {"identity": split_identity, "coverage": split_coverage}
    splits = add_validation(splits, validation, seed, task, split, **limits)
    report_copies(splits, task)
    return splits


def main_task(splits: DatasetDict, columns: ColumnNames | None = None) -> Task:
    """The task of the label columns."""
    columns = columns or ColumnNames()
    return infer_task(splits, columns.labels, problem_type=columns.problem_type)


def read_proteins(
    source: str | os.PathLike[str] | None = None,
    *,
    ambiguous: str = "drop",
    header_pattern: str | None = None,
    columns: ColumnNames | None = None,
) -> DatasetDict:
    """[`load_proteins`], with only the splits that the data has."""
    columns = columns or ColumnNames()
    columns.check()
    splits = _read(None if source is None else os.fspath(source), ambiguous, header_pattern, columns)
    return without_unknown(splits, main_task(splits, columns))


def reading_options(options: Any) -> dict[str, Any]:
    """How options of `train` say that proteins are read, as keywords of [`read_proteins`].

    Args:
        options: `ambiguous`, `header_pattern`, `id_column`, `label_column`, ..., as attributes.
    """
    return {
        "ambiguous": options.ambiguous,
        "header_pattern": options.header_pattern,
        "columns": ColumnNames.from_options(options),
    }


def has_deeploc_headers(source: str | None, header_pattern: str | None) -> bool:
    """Whether a source is FASTA with DeepLoc's headers; None is DeepLoc's own file."""
    return source is None or (header_pattern is None and source_type(source) is SourceType.FASTA)


def location_column(columns: ColumnNames) -> str:
    """The column with the locations of proteins with DeepLoc's headers: the label column, unless that is `membrane`."""
    label = columns.labels[0]
    return DEEPLOC_COLUMNS[0] if label in DEEPLOC_COLUMNS else label


def _read(source: str | None, ambiguous: str, header_pattern: str | None, columns: ColumnNames) -> DatasetDict:
    check_ambiguous(ambiguous)
    if source is None or has_deeploc_headers(source, header_pattern):
        return _read_deeploc(source, ambiguous, columns)
    if header_pattern is not None and source_type(source) is not SourceType.FASTA:
        raise OptionError(f"header_pattern: {source} is a table, which has columns; expected label_column")
    return to_datasets(read_labelled_records(source, columns, header_pattern), columns, source)


def _read_deeploc(source: str | None, ambiguous: str, columns: ColumnNames) -> DatasetDict:
    """Proteins with DeepLoc's headers; a label column of any other name gets their `location`."""
    _, *others = columns.answers
    wrong = [name for name in others if name not in DEEPLOC_COLUMNS]
    if len(columns.labels) > 1 or wrong or columns.problem_type == REGRESSION:
        found = ", ".join(columns.answers)
        asked = f"problem_type={REGRESSION!r}" if columns.problem_type == REGRESSION else f"columns {found}"
        raise OptionError(
            f"{source or 'DeepLoc'}: {asked}: DeepLoc's headers have {' and '.join(DEEPLOC_COLUMNS)}, which are "
            "classes; expected these, a table, or a header_pattern"
        )
    splits = read_deeploc(source, ambiguous=ambiguous, multi_label=columns.problem_type == MULTI_LABEL)
    location = location_column(columns)
    return splits if location in DEEPLOC_COLUMNS else splits.rename_column(DEEPLOC_COLUMNS[0], location)
