"""The interface of a problem type: from the columns of a dataset to labels and numbers.

Shapes: N proteins, C labels of a task.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..model.tasks import Task
from .cells import EMPTY, Column, Unfit, missing_label


class ProblemType(ABC):
    """How one problem type reads the columns of a dataset."""

    wants: ClassVar[str]  # what a column has to hold, for messages
    several: ClassVar[bool]  # whether a task may read several columns

    @abstractmethod
    def suits(self, feature: Any) -> bool:
        """Whether a column with this feature is read as this type by default."""

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
            task: The task.
            lenient: Whether a cell without a value, or a label that the task lacks, is an unknown answer and not an
                error.

        Returns:
            (N,) int64, -100 where unknown; or (N, C) float32, NaN where unknown.

        Raises:
            Unfit: A cell that is not an answer.
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
            raise missing_label(column, int(missing[indices].argmax()))
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
