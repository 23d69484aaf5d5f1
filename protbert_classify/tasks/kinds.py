"""How the answers of each problem type stand in a column, and the numbers that they become.

A new problem type is one class here, registered under its name.

Shapes: N proteins, C labels of a task.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel
from datasets import List as ListOf
from datasets import Value

from ..model.registry import Registry
from ..model.tasks import IGNORED, MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task

SEPARATOR = ";"  # between the labels of one protein in a text
EMPTY = (None, "")  # a cell without a value
FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
LARGEST = float(np.finfo(np.float32).max)  # number that a target can be
DEEPLOC_MEMBRANE = {"M", "S", "U"}  # membrane-bound, soluble, unknown
NO_CLASS = -1  # a cell without a value in a ClassLabel column, as `datasets` has it


class Unfit(ValueError):
    """An answer that a task cannot use.

    Args:
        row: Of the protein, from 0.
        message: What was found and what was expected.
    """

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


class Column:
    """A column with answers: `cells`, (N,), and `feature`, what `datasets` knows of them."""

    def __init__(self, name: str, cells: pa.Array | pa.ChunkedArray, feature: Any) -> None:
        self.name, self.feature = name, feature
        self.cells: pa.Array = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells

    def __len__(self) -> int:
        return len(self.cells)

    def distinct(self) -> tuple[list[Any], np.ndarray]:
        """The different cells as Python objects, those of a ClassLabel by name, and (N,) the index of each cell's.

        A cell without a value is None.
        """
        names = names_of(self.feature)
        if pa.types.is_nested(self.cells.type):
            return _distinct([by_name(cell, names) for cell in self.cells.to_pylist()])
        encoded = pc.dictionary_encode(self.cells, null_encoding="encode")
        values = [by_name(cell, names) for cell in encoded.dictionary.to_pylist()]
        return values, encoded.indices.to_numpy(zero_copy_only=False)


def _distinct(cells: list[Any]) -> tuple[list[Any], np.ndarray]:
    index: dict[Any, int] = {}
    keys = (tuple(cell) if isinstance(cell, list) else cell for cell in cells)
    indices = np.array([index.setdefault(key, len(index)) for key in keys], dtype=np.int64)
    return [list(key) if isinstance(key, tuple) else key for key in index], indices


def by_name(cell: Any, names: list[str] | None) -> Any:
    """A cell with the names of its classes, `names`, in place of their indices; None for one without a value."""
    if isinstance(cell, list):
        return [by_name(part, names) for part in cell]
    if names is None or cell is None:
        return cell
    return None if cell == NO_CLASS else names[cell]


def names_of(feature: Any) -> list[str] | None:
    """Names of the classes of a `ClassLabel` or a list of these; None for other features."""
    feature = getattr(feature, "feature", feature)
    return list(feature.names) if isinstance(feature, ClassLabel) else None


class Kind(ABC):
    """One problem type."""

    wants: ClassVar[str]  # what a column has to hold, for messages
    several: ClassVar[bool]  # whether a task may read several columns

    @abstractmethod
    def suits(self, feature: Any) -> bool:
        """Whether a column of this feature is of this type if nobody says so."""

    @abstractmethod
    def check(self, columns: Sequence[Column]) -> None:
        """Raise ValueError if the columns cannot be of this type."""

    @abstractmethod
    def parse(self, cell: Any) -> Any:
        """The plain form of a cell that has a value: a name, a list of names, a number.

        Raises:
            ValueError: It is something else.
        """

    def parse_part(self, cell: Any) -> Any:
        """[`parse`] for a cell of one of several columns."""
        return self.parse(cell)

    @abstractmethod
    def feature(self, names: Sequence[str], several: bool = False) -> Any:
        """The feature of a column of plain answers; `several` if it is one of several columns of its task."""

    @abstractmethod
    def read(self, columns: Sequence[Column], task: Task, lenient: bool) -> np.ndarray:
        """The answers of N proteins as numbers.

        Args:
            columns: One, or one for each label.
            task: Whose they are.
            lenient: Whether a cell without a value, or a label that the task lacks, is an unknown answer and not an
                error.

        Returns:
            (N,) int64, -100 where unknown; or (N, C) float32, NaN where unknown.

        Raises:
            Unfit: A cell that is no answer.
        """

    def read_part(self, column: Column, lenient: bool) -> np.ndarray:
        """One of several columns as numbers, (N,) float32, NaN where unknown."""
        cells, indices = column.distinct()
        numbers = np.full(max(len(cells), 1), np.nan, dtype=np.float32)
        missing = np.zeros(max(len(cells), 1), dtype=bool)
        for number, cell in enumerate(cells):
            missing[number] = cell in EMPTY or cell != cell
            try:
                numbers[number] = np.nan if missing[number] else self.parse_part(cell)
            except ValueError as error:
                raise Unfit(int((indices == number).argmax()), f"column {column.name!r}: {error}") from None
        if not lenient and missing[indices].any():
            raise _missing(column, int(missing[indices].argmax()))
        return numbers[indices]

    @abstractmethod
    def labels(self, columns: Sequence[Column]) -> list[str]:
        """Names of the labels that the columns have."""

    @abstractmethod
    def present(self, values: np.ndarray, task: Task) -> np.ndarray:
        """(N, C), bool: the proteins that have each label; of numbers, those whose number is known."""

    @abstractmethod
    def strata(self, values: np.ndarray, task: Task) -> np.ndarray:
        """(N,), ints: proteins with the same one are alike, for stratified choices."""


KINDS: Registry[type[Kind]] = Registry("problem_type")


def kind_of(task: Task) -> Kind:
    """The kind of a task."""
    return KINDS[task.problem_type]()


def unknown_labels(column: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of a column's names that say that the answer is not known: DeepLoc's membrane has M, S and U."""
    found = set(names)
    deeploc = found <= DEEPLOC_MEMBRANE if column == "membrane" else found == DEEPLOC_MEMBRANE
    return ("U",) if "U" in found and deeploc else ()


@KINDS.register(SINGLE_LABEL)
class SingleLabel(Kind):
    """One class a protein: a ClassLabel, a text, an integer or a bool."""

    wants = "one class a protein"
    several = False

    def suits(self, feature: Any) -> bool:
        return isinstance(feature, ClassLabel) or (isinstance(feature, Value) and "float" not in feature.dtype)

    def check(self, columns: Sequence[Column]) -> None:
        if not isinstance(columns[0].feature, (ClassLabel, Value)):
            raise ValueError(f"found {_described(columns[0])}")

    def parse(self, cell: Any) -> str:
        if isinstance(cell, (list, tuple, dict)):
            raise ValueError(f"found {_shown(cell)}; expected one class")
        return str(cell)

    def feature(self, names: Sequence[str], several: bool = False) -> Any:
        return ClassLabel(names=list(names))

    def labels(self, columns: Sequence[Column]) -> list[str]:
        (column,) = columns
        names = names_of(column.feature)
        return names if names is not None else sorted({self.parse(c) for c in column.distinct()[0] if c not in EMPTY})

    def read(self, columns: Sequence[Column], task: Task, lenient: bool) -> np.ndarray:
        (column,) = columns
        cells, indices = column.distinct()
        table = _LabelTable(column, task, lenient)
        codes = [table.code(parsed[0]) if parsed else table.empty for parsed in _parsed(self, column, cells, indices)]
        values = np.array(codes, dtype=np.int64)[indices] if len(indices) else np.zeros(0, np.int64)
        table.check(values, lambda row: self.parse(cells[indices[row]]))
        return values

    def present(self, values: np.ndarray, task: Task) -> np.ndarray:
        return values[:, None] == np.arange(task.num_logits)

    def strata(self, values: np.ndarray, task: Task) -> np.ndarray:
        return values


@KINDS.register(MULTI_LABEL)
class MultiLabel(Kind):
    """Several classes a protein: lists of names, texts like `A;B`, or a column of 0 and 1 for each class."""

    wants = "lists of classes, texts like 'A;B', or columns of 0 and 1"
    several = True
    common = 10  # proteins from which on a combination of labels is a stratum of its own

    def suits(self, feature: Any) -> bool:
        return isinstance(feature, ListOf) and SingleLabel().suits(feature.feature)

    def check(self, columns: Sequence[Column]) -> None:
        if len(columns) > 1:
            for column in columns:
                self.read_part(column, lenient=True)
        elif not self.suits(columns[0].feature) and not SingleLabel().suits(columns[0].feature):
            raise ValueError(f"found {_described(columns[0])}")

    def parse(self, cell: Any) -> list[str]:
        if isinstance(cell, dict):
            raise ValueError(f"found {_shown(cell)}; expected classes")
        parts = cell.split(SEPARATOR) if isinstance(cell, str) else cell if isinstance(cell, (list, tuple)) else [cell]
        if any(isinstance(part, (list, tuple, dict)) for part in parts):
            raise ValueError(f"found {_shown(cell)}; expected classes")
        names = [part.strip() if isinstance(part, str) else str(part) for part in parts if part not in EMPTY]
        found = list(dict.fromkeys(name for name in names if name))
        if isinstance(cell, str) and not found:  # blanks and separators; an empty list says that there is no label
            raise ValueError(f"found {_shown(cell)}; expected classes")
        return found

    def parse_part(self, cell: Any) -> int:
        """0 or 1."""
        known = FLAGS.get(str(cell).strip().lower())
        if known is None:
            raise ValueError(f"found {_shown(cell)}; expected 0 or 1")
        return known

    def feature(self, names: Sequence[str], several: bool = False) -> Any:
        return Value("int8") if several else ListOf(ClassLabel(names=list(names)))

    def labels(self, columns: Sequence[Column]) -> list[str]:
        if len(columns) > 1:
            return [column.name for column in columns]
        names = names_of(columns[0].feature)
        if names is not None:
            return names
        return sorted({name for cell in columns[0].distinct()[0] if cell not in EMPTY for name in self.parse(cell)})

    def read(self, columns: Sequence[Column], task: Task, lenient: bool) -> np.ndarray:
        if len(columns) > 1 or columns[0].name != task.name:
            return np.stack([self.read_part(column, lenient) for column in columns], axis=1)
        (column,) = columns
        cells, indices = column.distinct()
        table = _LabelTable(column, task, lenient)
        rows = np.zeros((max(len(cells), 1), task.num_logits), dtype=np.float32)
        codes = np.zeros(len(cells), dtype=np.int64)
        for number, names in enumerate(_parsed(self, column, cells, indices)):
            found = [table.empty] if names is None else [table.code(name) for name in names]
            codes[number] = min(found, default=0)
            rows[number, [code for code in found if code >= 0]] = 1
            if any(code < 0 for code in found) and not any(code >= 0 for code in found):
                rows[number] = np.nan
        table.check(codes[indices], lambda row: next(n for n in self.parse(cells[indices[row]]) if table.code(n) < 0))
        return rows[indices]

    def present(self, values: np.ndarray, task: Task) -> np.ndarray:
        return values == 1

    def strata(self, values: np.ndarray, task: Task) -> np.ndarray:
        """The combination of labels; a rare one counts as the rarest of its labels."""
        has = self.present(values, task)
        _, combination, counts = np.unique(has, axis=0, return_inverse=True, return_counts=True)
        combination = combination.reshape(-1)
        frequency = np.where(has, has.sum(0), len(has) + 1)
        rarest = np.where(has.any(1), frequency.argmin(1), task.num_logits)
        return np.where(counts[combination] >= self.common, rarest.max(initial=0) + 1 + combination, rarest)


@KINDS.register(REGRESSION)
class Regression(Kind):
    """Numbers: one column, or one for each of several."""

    wants = "finite numbers"
    several = True
    bins = 10  # of as many proteins each, as strata

    def suits(self, feature: Any) -> bool:
        return isinstance(feature, Value) and "float" in feature.dtype

    def check(self, columns: Sequence[Column]) -> None:
        for column in columns:
            if not isinstance(column.feature, Value):
                raise ValueError(f"found {_described(column)}")
            self.read_part(column, lenient=True)

    def parse(self, cell: Any) -> float:
        try:
            number = float(cell)
        except (TypeError, ValueError):
            raise ValueError(f"found {_shown(cell)}; expected a number") from None
        if not math.isfinite(number) or abs(number) > LARGEST:
            raise ValueError(f"found {_shown(cell)}; expected a finite number")
        return number

    def feature(self, names: Sequence[str], several: bool = False) -> Any:
        return Value("float64")

    def labels(self, columns: Sequence[Column]) -> list[str]:
        return [column.name for column in columns]

    def read(self, columns: Sequence[Column], task: Task, lenient: bool) -> np.ndarray:
        return np.stack([self.read_part(column, lenient) for column in columns], axis=1)

    def present(self, values: np.ndarray, task: Task) -> np.ndarray:
        return np.isfinite(values)

    def strata(self, values: np.ndarray, task: Task) -> np.ndarray:
        """Quantiles; of several numbers, those of their mean once each is standardised."""
        known = np.isfinite(values)
        if not known.any():
            return np.zeros(len(values), dtype=np.int64)
        numbers = np.where(known, values, np.nan).astype(np.float64)
        numbers = numbers[:, known.any(0)]
        scale = np.nanstd(numbers, axis=0)
        numbers = (numbers - np.nanmean(numbers, axis=0)) / np.where(scale > 0, scale, 1)
        score = np.where(np.isfinite(numbers), numbers, 0).mean(1)
        inner = np.quantile(score, np.arange(1, self.bins) / self.bins)
        return np.searchsorted(np.unique(inner), score, side="right")


class _LabelTable:
    """From a name to the index of its label: -100 for an unknown answer, below that for what is an error."""

    FOREIGN, MISSING = -101, -102

    def __init__(self, column: Column, task: Task, lenient: bool) -> None:
        self.column, self.task = column, task
        self.indices = {name: index for index, name in enumerate(task.labels)}
        names = names_of(column.feature) or [str(cell) for cell in column.distinct()[0] if cell not in EMPTY]
        self.unknown = {*task.unknown, *unknown_labels(column.name, names)}
        self.foreign = IGNORED if lenient else self.FOREIGN
        self.empty = IGNORED if lenient else self.MISSING

    def code(self, name: str) -> int:
        return self.indices.get(name, IGNORED if name in self.unknown else self.foreign)

    def check(self, codes: np.ndarray, name_at: Any) -> None:
        """Raise Unfit for the first protein whose answer is an error."""
        wrong = np.flatnonzero(codes < IGNORED)
        if not len(wrong):
            return
        row = int(wrong[0])
        if codes[row] == self.MISSING:
            raise _missing(self.column, row)
        labels = ", ".join(self.task.labels)
        raise Unfit(
            row, f"{self.task.name} {name_at(row)!r} is not a class of the model; expected one of {labels}"
        )


def _missing(column: Column, row: int) -> Unfit:
    return Unfit(row, f"no label in column {column.name!r}")


def _parsed(kind: Kind, column: Column, cells: list[Any], indices: np.ndarray) -> list[Any]:
    """The plain form of distinct cells, a list of names each; None for those without a value."""
    parsed = []
    for number, cell in enumerate(cells):
        try:
            plain = None if cell in EMPTY else kind.parse(cell)
        except ValueError as error:
            raise Unfit(int((indices == number).argmax()), f"column {column.name!r}: {error}") from None
        parsed.append([plain] if isinstance(plain, str) else plain)
    return parsed


def _described(column: Column) -> str:
    names = names_of(column.feature)
    what = "a list" if isinstance(column.feature, ListOf) else "classes" if names else str(column.feature)
    return f"{what} in column {column.name!r}" + (f" ({', '.join(names[:3])}, ...)" if names else "")


def _shown(cell: Any) -> str:
    return repr(cell)[:60]
