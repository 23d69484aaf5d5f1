"""One class a protein.

Shapes: N proteins, C labels of a task.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Value

from ..model.tasks import Task
from .cells import EMPTY, Column, described, names_of, shown
from .label_table import LabelTable, parsed_cells
from .problem_type import ProblemType


class SingleLabel(ProblemType):
    """One class a protein: a ClassLabel, a text, an integer or a bool."""

    wants = "one class a protein"
    several = False

    def suits(self, feature: Any) -> bool:
        return isinstance(feature, ClassLabel) or (isinstance(feature, Value) and "float" not in feature.dtype)

    def check(self, columns: Sequence[Column]) -> None:
        if not isinstance(columns[0].feature, (ClassLabel, Value)):
            raise ValueError(f"found {described(columns[0])}")

    def parse(self, cell: Any) -> str:
        if isinstance(cell, (list, tuple, dict)):
            raise ValueError(f"found {shown(cell)}; expected one class")
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
        table = LabelTable(column, task, lenient)
        names = parsed_cells(self, column, cells, indices)
        codes = [table.code(found[0]) if found else table.empty for found in names]
        values = np.array(codes, dtype=np.int64)[indices] if len(indices) else np.zeros(0, np.int64)
        table.check(values, lambda row: self.parse(cells[indices[row]]))
        return values

    def present(self, values: np.ndarray, task: Task) -> np.ndarray:
        return values[:, None] == np.arange(task.num_logits)

    def strata(self, values: np.ndarray, task: Task) -> np.ndarray:
        return values
