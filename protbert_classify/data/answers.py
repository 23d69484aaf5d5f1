"""Rows of any source, with their answers as they stand, to datasets with one type a column."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset, DatasetDict

from ..errors import DataError
from ..model.tasks import LABEL_SEPARATOR, SINGLE_LABEL
from ..tasks.cells import EMPTY
from ..tasks.columns import read_columns, usual_problem_type
from ..tasks.problem_type import ProblemType
from ..tasks.problem_type_registry import PROBLEM_TYPE_CLASSES
from .alphabet import space
from .columns import Columns
from .records import Accessions, Place, protein_features

logger = logging.getLogger(__name__)


@dataclass
class Row:
    """A labelled protein: where it stands, its residues, column -> answer as written, and its split."""

    place: Place
    residues: str
    answers: dict[str, Any]
    split: str


def collect(rows: Iterable[Row], columns: Columns, source: str) -> DatasetDict:
    """Rows to datasets, one a split; copies of a record are dropped.

    Args:
        rows: With the answers of all `columns.answers`.
        columns: Which of them are labels, and of which problem type.
        source: For messages.

    Raises:
        DataError: No rows, a label that is missing or of another type, or one accession for two proteins.
    """
    accessions = Accessions()
    kept = [row for row in rows if not accessions.is_copy(row.place, row.residues, repr(row.answers), row.split)]
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
    rows: Sequence[Row], names: Sequence[str], problem_type: str | None, source: str, required: bool
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The columns of one task: their features and their values.

    Args:
        rows: N of them.
        names: The columns.
        problem_type: What they look like if None.
        source: For messages.
        required: Whether a cell without a value is an error.
    """
    kind_name = problem_type or _usual(rows, names, source, required)
    if problem_type is None and kind_name != SINGLE_LABEL:
        logger.info("%s: %s: read as %s", source, ", ".join(names), kind_name)
    kind = PROBLEM_TYPE_CLASSES[kind_name]()
    several = len(names) > 1
    plain = {name: _plain(rows, name, kind, several, required) for name in names}
    labels = list(names)
    if not several:
        found = {part for cell in plain[names[0]] for part in (cell if isinstance(cell, list) else [cell])}
        labels = sorted(label for label in found if isinstance(label, str))
        _tell_of_names(labels, source, kind_name)
    features = {name: kind.feature(labels, several) for name in names}
    return features, plain


def _usual(rows: Sequence[Row], names: Sequence[str], source: str, required: bool) -> str:
    """The problem type that columns look like."""
    for name in names:
        _check_missing(rows, name, "a value for each protein", required)
    table = Dataset.from_dict({name: [row.answers[name] for row in rows] for name in names})
    try:
        return usual_problem_type(read_columns(table, names))
    except DataError as error:
        raise DataError(f"{source}: {error}") from None


def _check_missing(rows: Sequence[Row], name: str, wants: str, required: bool) -> None:
    missing = [row for row in rows if row.answers[name] in EMPTY]
    if missing and required:
        raise DataError(f"{missing[0].place}: no label in column {name!r}; expected {wants}")
    if len(missing) == len(rows):
        raise DataError(f"{rows[0].place.file}: column {name!r} is empty; expected {wants}")


def _plain(rows: Sequence[Row], name: str, kind: ProblemType, several: bool, required: bool) -> list[Any]:
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


def _tell_of_names(names: Sequence[str], source: str, problem_type: str) -> None:
    """Tell of classes that differ in upper and lower case or in blanks around them only: they will be a typo."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.strip().casefold(), []).append(name)
    groups = [", ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if groups:
        logger.warning("%s: classes that differ in case or blanks only, kept apart: %s", source, "; ".join(groups))
    joined = next((name for name in names if LABEL_SEPARATOR in name), None)
    if joined and problem_type == SINGLE_LABEL:
        logger.info("%s: %r is one class; problem_type=multi_label_classification reads it as several", source, joined)
