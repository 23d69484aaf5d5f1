"""From labelled records, with their answers as written, to datasets with one type for each column."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict

from ..errors import DataError, first_line
from ..model.tasks import LABEL_SEPARATOR, SINGLE_LABEL
from ..tasks.cells import EMPTY
from ..tasks.columns import read_columns, usual_problem_type
from ..tasks.problem_type import ProblemType
from ..tasks.problem_type_registry import PROBLEM_TYPE_CLASSES
from ..tasks.regression import Regression
from .alphabet import space
from .column_names import ColumnNames
from .records import Accessions, LabelledRecord, protein_features

logger = logging.getLogger(__name__)

FEW_NUMBERS = 10  # different whole numbers that are classes beyond doubt, such as the EC classes 1 to 7


def to_datasets(records: Iterable[LabelledRecord], columns: ColumnNames, source: str) -> DatasetDict:
    """The datasets of labelled records, one for each split; copies of a record are dropped.

    Args:
        records: With the answers of all `columns.answers`.
        columns: Which of them are labels, and of which problem type.
        source: For messages.

    Raises:
        DataError: No records, a label that is missing or of another type, or one accession for two proteins.
    """
    accessions = Accessions()
    kept = [row for row in records if not accessions.is_copy(row.place, row.residues, repr(row.answers), row.split)]
    if not kept:
        raise DataError(f"{source}: no proteins")
    features, cells = _answers(kept, columns.labels, columns.problem_type, source, required=True)
    for name in columns.answers[len(columns.labels) :]:
        feature, found = _answers(kept, [name], None, source, required=False)
        features, cells = {**features, **feature}, {**cells, **found}
    splits = {}
    for split in ("train", "validation", "test"):
        members = [index for index, row in enumerate(kept) if row.split == split]
        if members:
            splits[split] = Dataset.from_dict(
                {
                    "id": [kept[index].place.accession for index in members],
                    "sequence": [space(kept[index].residues) for index in members],
                    "sequence_length": [len(kept[index].residues) for index in members],
                    **{name: [values[index] for index in members] for name, values in cells.items()},
                    "is_train": [split != "test"] * len(members),
                },
                features=protein_features(features),
            )
    return DatasetDict(splits)


def _answers(
    rows: Sequence[LabelledRecord], names: Sequence[str], problem_type: str | None, source: str, required: bool
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The columns of one task: their features and their values.

    Args:
        rows: N records.
        names: The columns.
        problem_type: Found from the values if None.
        source: For messages.
        required: Whether a cell without a value is an error.
    """
    kind_name = problem_type or _inferred_problem_type(rows, names, source, required)
    if problem_type is None and kind_name != SINGLE_LABEL:
        logger.info("%s: %s: read as %s", source, ", ".join(names), kind_name)
    kind = PROBLEM_TYPE_CLASSES[kind_name]()
    several = len(names) > 1
    plain = {name: _parsed_values(rows, name, kind, several, required) for name in names}
    labels = list(names)
    if not several:
        found = {part for cell in plain[names[0]] for part in (cell if isinstance(cell, list) else [cell])}
        labels = sorted(label for label in found if isinstance(label, str))
        _warn_of_similar_names(labels, source, kind_name)
        if problem_type is None and required:
            _warn_of_numbers(labels, names[0], source)
    features = {name: kind.feature(labels, several) for name in names}
    return features, plain


def _inferred_problem_type(rows: Sequence[LabelledRecord], names: Sequence[str], source: str, required: bool) -> str:
    """The problem type that the values of the columns suggest."""
    for name in names:
        _check_missing(rows, name, "a value for each protein", required)
    try:
        table = Dataset.from_dict({name: [row.answers[name] for row in rows] for name in names})
        return usual_problem_type(read_columns(table, names))
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:  # text in one row, a number in another
        raise DataError(
            f"{source}: column {', '.join(names)} has values of several types ({first_line(error)})"
        ) from None


def _check_missing(rows: Sequence[LabelledRecord], name: str, wants: str, required: bool) -> None:
    missing = [row for row in rows if row.answers[name] in EMPTY]
    if missing and required:
        raise DataError(f"{missing[0].place}: no label in column {name!r}; expected {wants}")
    if len(missing) == len(rows):
        raise DataError(f"{rows[0].place.file}: column {name!r} is empty; expected {wants}")


def _parsed_values(
    rows: Sequence[LabelledRecord], name: str, kind: ProblemType, several: bool, required: bool
) -> list[Any]:
    """The values of a column, None where there is none."""
    _check_missing(rows, name, kind.wants, required)
    parse = kind.parse_part if several else kind.parse
    values = []
    for row in rows:
        cell = row.answers[name]
        try:
            values.append(None if cell in EMPTY else parse(cell))
        except ValueError as error:
            raise DataError(f"{row.place}: column {name!r}: {error}") from None
    return values


def _warn_of_numbers(classes: Sequence[str], column: str, source: str) -> None:
    """Warn if a column has many classes and all of them are numbers: it may be a measurement to predict."""
    if len(classes) <= FEW_NUMBERS:
        return
    try:
        [Regression().parse(name) for name in classes]
    except ValueError:
        return
    logger.warning(
        "%s: the numbers in column %r are read as %d classes; --problem_type regression (in Python, "
        'problem_type="regression") predicts them as numbers',
        source,
        column,
        len(classes),
    )


def _warn_of_similar_names(names: Sequence[str], source: str, problem_type: str) -> None:
    """Warn of classes that differ only in case or in blanks around them: they are probably typos."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.strip().casefold(), []).append(name)
    groups = [", ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if groups:
        logger.warning("%s: classes that differ in case or blanks only, kept apart: %s", source, "; ".join(groups))
    joined = next((name for name in names if LABEL_SEPARATOR in name), None)
    if joined and problem_type == SINGLE_LABEL:
        logger.info("%s: %r is one class; problem_type=multi_label_classification reads it as several", source, joined)
