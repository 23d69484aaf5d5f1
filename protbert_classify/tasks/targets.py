"""From the answers in a dataset to the numbers that are learned and compared.

Shapes: N proteins, C labels of a task, A' numbers of the answers to all auxiliary tasks.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from ..errors import DataError, OptionError
from ..model.tasks import IGNORED, LABEL_SEPARATOR, REGRESSION, SINGLE_LABEL, Task
from .cells import Unfit
from .columns import answer_columns, read_columns
from .problem_type_registry import problem_type_of


def targets(dataset: Dataset, task: Task, *, lenient: bool = False) -> np.ndarray:
    """The answers to a task.

    Args:
        dataset: N proteins.
        task: Its column is the one of its name or, without that, one for each of its labels.
        lenient: As auxiliary tasks have it: a cell without a value and a label that the task lacks are unknown answers.
            They are errors otherwise.

    Returns:
        (N,) int64, the index of the class, -100 where unknown, for a single label; else (N, C) float32, 0 or 1, or the
        numbers in the units of the data, NaN where unknown.

    Raises:
        DataError: No such column, or an answer that the task cannot use: names the protein.
    """
    columns = answer_columns(dataset.column_names, task)
    if columns is None:
        raise DataError(f"no column {task.name!r}; found {', '.join(dataset.column_names)}")
    try:
        return problem_type_of(task).read(read_columns(dataset, columns), task, lenient)
    except Unfit as error:
        raise DataError(f"{accession(dataset, error.row)}: {error}") from None


def answer_matrix(dataset: Dataset, task: Task) -> np.ndarray:
    """(N, C), float32: 1 for each label that a protein has and 0 for the others, or its numbers; NaN where unknown."""
    values = targets(dataset, task, lenient=True)
    if task.problem_type != SINGLE_LABEL:
        return values
    has = values[:, None] == np.arange(len(task.labels))
    return np.where(values[:, None] == IGNORED, np.nan, has).astype(np.float32)


def has_targets(dataset: Dataset, task: Task) -> bool:
    """Whether a dataset has the column, or columns, of a task."""
    return answer_columns(dataset.column_names, task) is not None


def auxiliary_targets(dataset: Dataset, tasks: Sequence[Task]) -> np.ndarray | None:
    """The answers to all auxiliary tasks side by side, as a batch has them.

    Returns:
        (N, A'), float32, NaN where unknown; None if the dataset has a column of none of the tasks.

    Raises:
        DataError: An answer that a task cannot use: names the protein.
    """
    if not any(has_targets(dataset, task) for task in tasks):
        return None
    return np.concatenate([_beside(dataset, task) for task in tasks], axis=1)


def _beside(dataset: Dataset, task: Task) -> np.ndarray:
    """(N, targets), float32."""
    if not has_targets(dataset, task):
        return np.full((len(dataset), task.num_targets), np.nan, dtype=np.float32)
    values = targets(dataset, task, lenient=True)
    if task.problem_type != SINGLE_LABEL:
        return values
    return np.where(values == IGNORED, np.nan, values).astype(np.float32)[:, None]


def label_counts(dataset: Dataset, task: Task) -> np.ndarray:
    """(C,), ints: the proteins that have each label; of numbers, those whose number is known."""
    return problem_type_of(task).present(targets(dataset, task, lenient=True), task).sum(0)


def label_texts(dataset: Dataset, task: Task) -> list[str] | None:
    """The labels of each protein as text, several joined by `;`; "" where unknown, None for a regression."""
    if task.problem_type == REGRESSION:
        return None
    present = problem_type_of(task).present(targets(dataset, task, lenient=True), task)
    return [LABEL_SEPARATOR.join(itertools.compress(task.labels, row)) for row in present]


def strata(dataset: Dataset, task: Task) -> np.ndarray:
    """(N,), ints, what to stratify a choice of proteins by: proteins with the same one are alike.

    The class; the combination of labels, where a rare combination counts as the rarest of its labels; or the quantile
    of the number.
    """
    return problem_type_of(task).strata(targets(dataset, task, lenient=True), task)


def fit_targets(dataset: Dataset, task: Task) -> Task:
    """The task with what it learns from the training proteins: mean and standard deviation for a regression.

    Raises:
        OptionError: A number that is the same for all of them, or known for none.
    """
    if task.problem_type != REGRESSION:
        return task
    values = targets(dataset, task, lenient=True).astype(np.float64)
    for label, column in zip(task.labels, values.T, strict=True):
        known = column[np.isfinite(column)]
        if not len(known) or known.std() == 0:
            found = f"is {known[0]:g} for all" if len(known) else "is known for none"
            raise OptionError(f"{label!r} {found} of the training proteins; expected numbers that differ")
    mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    return dataclasses.replace(task, mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def accession(dataset: Dataset, row: int) -> str:
    """The protein of a row, for messages."""
    return str(dataset[row]["id"]) if "id" in dataset.column_names else f"row {row + 1}"
