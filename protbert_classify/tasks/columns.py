"""From a dataset to a task: which columns hold the answers, of which problem type they are, and their labels."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset, Value

from ..errors import DataError, OptionError
from ..model.tasks import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, Task
from .cells import EMPTY, Column
from .label_table import unknown_labels
from .multi_label import FLAGS
from .problem_type import ProblemType
from .problem_type_registry import PROBLEM_TYPE_CLASSES
from .regression import Regression

# the default name of a task of several columns
NAMES_OF_SEVERAL = {MULTI_LABEL: "labels", REGRESSION: "values"}


def infer_task(
    dataset: Dataset | Mapping[str, Dataset],
    column: str | Sequence[str],
    *,
    problem_type: str | None = None,
    name: str | None = None,
    unknown: Sequence[str] = (),
) -> Task:
    """The task of a column, or of several.

    A `ClassLabel`, texts, integers and bools are one class a protein; lists of classes are several; floats, and texts
    that are numbers with fractions, are a regression. Of several columns, each is a label: 0 and 1 are classes, other
    numbers a regression.

    Args:
        dataset: A split or several; the labels of texts are those of all of them, in alphabetical order.
        column: The column, or columns, with the answers.
        problem_type: One of `PROBLEM_TYPES`; found from the columns if None.
        name: What a task of several columns is called; `labels` or `values` if None. A single column names its task.
        unknown: Labels that mean that the answer is not known; DeepLoc's membrane `U` is always one.

    Raises:
        OptionError: An unknown problem type, a name that does not fit, or columns that do not suit the problem type.
        DataError: No such column, or no label in it.
    """
    splits = dict(dataset) if isinstance(dataset, Mapping) else {"": dataset}
    names = [column] if isinstance(column, str) else list(column)
    columns = {split: read_columns(part, names) for split, part in splits.items()}
    merged = [_joined([found[index] for found in columns.values()]) for index in range(len(names))]
    if problem_type is None:
        problem_type = usual_problem_type(merged)
    kind = _checked_problem_type(problem_type, merged)
    try:
        labels = kind.labels(merged)
    except ValueError as error:
        raise OptionError(f"column {', '.join(names)}: {error} (problem_type={problem_type!r})") from None
    found_unknown = [label for label in (*unknown, *unknown_labels(names[0], labels)) if label in labels]
    labels = [label for label in labels if label not in found_unknown]
    if not labels:
        raise DataError(f"column {', '.join(names)}: no label; expected {kind.wants}")
    return Task(
        name=_task_name(name, names, problem_type, splits),
        problem_type=problem_type,
        labels=labels,
        unknown=tuple(dict.fromkeys(found_unknown)),
    )


def label_columns(task: Task) -> list[str]:
    """The columns to read the answers to a task from: the one of its name or, of a task of several, one per label."""
    return list(task.labels) if task.name in NAMES_OF_SEVERAL.values() else [task.name]


def answer_columns(column_names: Iterable[str], task: Task) -> list[str] | None:
    """The columns with the answers to a task: the one of its name or, without that, one for each label.

    Returns:
        None if there are none.

    Raises:
        DataError: Columns for some of the labels only.
    """
    there = set(column_names)
    if task.name in there:
        return [task.name]
    if not PROBLEM_TYPE_CLASSES[task.problem_type].several:
        return None
    found = [label for label in task.labels if label in there]
    if found and len(found) < len(task.labels):
        missing = ", ".join(label for label in task.labels if label not in there)
        raise DataError(f"no column for {missing} of {task.name!r}; expected one for each of {', '.join(task.labels)}")
    return found or None


def read_columns(dataset: Dataset, names: Sequence[str]) -> list[Column]:
    """Columns of a dataset, whatever its format.

    Raises:
        DataError: One is missing.
    """
    for name in names:
        if name not in dataset.column_names:
            raise DataError(f"no column {name!r}; found {', '.join(dataset.column_names)}")
    table = dataset.select_columns(list(names)).with_format("arrow")[:]
    return [Column(name, table[name], dataset.features[name]) for name in names]


def _joined(columns: Sequence[Column]) -> Column:
    """One column of all splits."""
    first = columns[0]
    if any(column.feature != first.feature for column in columns):
        raise DataError(f"column {first.name!r} differs between the splits; expected the same classes or type in all")
    return Column(first.name, pa.chunked_array([column.cells for column in columns]), first.feature)


def usual_problem_type(columns: Sequence[Column]) -> str:
    """The problem type that columns suggest, for [`infer_task`].

    Raises:
        DataError: They suit no problem type.
    """
    if len(columns) > 1:
        return MULTI_LABEL if all(map(_is_flag, columns)) else REGRESSION
    if _has_fractions(columns[0]):
        return REGRESSION
    for problem_type, kind in PROBLEM_TYPE_CLASSES.items():
        if kind().suits(columns[0].feature):
            return problem_type
    wanted = "; ".join(f"{kind.wants} ({name})" for name, kind in PROBLEM_TYPE_CLASSES.items())
    raise DataError(f"column {columns[0].name!r} holds {columns[0].feature}; expected one of: {wanted}")


def _is_flag(column: Column) -> bool:
    """Whether a column has nothing but 0 and 1."""
    return all(cell in EMPTY or str(cell).strip().lower() in FLAGS for cell in column.distinct()[0])


def _has_fractions(column: Column) -> bool:
    """Whether a column of texts is one of numbers: a table of texts has no other. Whole numbers may be classes."""
    if not isinstance(column.feature, Value) or "string" not in column.feature.dtype:
        return False
    try:
        numbers = [Regression().parse(cell) for cell in column.distinct()[0] if cell not in EMPTY]
    except ValueError:
        return False
    return any(number != int(number) for number in numbers)


def _checked_problem_type(problem_type: str, columns: Sequence[Column]) -> ProblemType:
    """The class of a problem type, if the columns suit it.

    Raises:
        OptionError: They do not.
    """
    if problem_type not in PROBLEM_TYPE_CLASSES:
        raise OptionError(f"problem_type={problem_type!r}: expected one of {', '.join(PROBLEM_TYPES)}")
    kind = PROBLEM_TYPE_CLASSES[problem_type]()
    names = ", ".join(column.name for column in columns)
    if len(columns) > 1 and not kind.several:
        raise OptionError(f"columns {names}: problem_type={problem_type!r} reads a single column; expected one")
    try:
        kind.check(columns)
    except ValueError as error:
        raise OptionError(f"problem_type={problem_type!r}: {error}; expected {kind.wants}") from None
    return kind


def _task_name(name: str | None, columns: Sequence[str], problem_type: str, splits: Mapping[str, Any]) -> str:
    if len(columns) == 1:
        if name not in (None, columns[0]):
            raise OptionError(f"name={name!r}: a task of the single column {columns[0]!r} has its name")
        return columns[0]
    name = name or NAMES_OF_SEVERAL.get(problem_type, problem_type)
    if any(name in part.column_names for part in splits.values()):
        raise OptionError(f"name={name!r}: there is a column of this name; expected another name for the task")
    return name
