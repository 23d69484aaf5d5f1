"""Numbers of a protein.

Shapes: N proteins, C labels of a task.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Value

from ..model.tasks import Task
from .cells import Column, described, shown
from .problem_type import ProblemType

LARGEST = float(np.finfo(np.float32).max)  # number that a target can be


class Regression(ProblemType):
    """Numbers: one column, or one for each of several."""

    wants = "finite numbers"
    several = True
    bins = 10  # of as many proteins each, as strata

    def suits(self, feature: Any) -> bool:
        return isinstance(feature, Value) and "float" in feature.dtype

    def check(self, columns: Sequence[Column]) -> None:
        for column in columns:
            if not isinstance(column.feature, Value):
                raise ValueError(f"found {described(column)}")
            self.read_part(column, lenient=True)

    def parse(self, cell: Any) -> float:
        try:
            number = float(cell)
        except (TypeError, ValueError):
            raise ValueError(f"found {shown(cell)}; expected a number") from None
        if not math.isfinite(number) or abs(number) > LARGEST:
            raise ValueError(f"found {shown(cell)}; expected a finite number")
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
