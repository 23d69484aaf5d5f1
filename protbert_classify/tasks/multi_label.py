"""Several classes a protein, or none.

Shapes: N proteins, C labels of a task.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Value
from datasets import List as ListOf

from ..model.tasks import IGNORED, LABEL_SEPARATOR, Task
from .cells import EMPTY, Column, described, names_of, shown
from .label_table import LabelTable, parsed_cells
from .problem_type import ProblemType
from .single_label import SingleLabel

FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


class MultiLabel(ProblemType):
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
            raise ValueError(f"found {described(columns[0])}")

    def parse(self, cell: Any) -> list[str]:
        if isinstance(cell, dict):
            raise ValueError(f"found {shown(cell)}; expected classes")
        parts = cell.split(LABEL_SEPARATOR) if isinstance(cell, str) else cell
        parts = parts if isinstance(parts, (list, tuple)) else [parts]
        if any(isinstance(part, (list, tuple, dict)) for part in parts):
            raise ValueError(f"found {shown(cell)}; expected classes")
        names = [part.strip() if isinstance(part, str) else str(part) for part in parts if part not in EMPTY]
        found = list(dict.fromkeys(name for name in names if name))
        if isinstance(cell, str) and not found:  # blanks and separators; an empty list says that there is no label
            raise ValueError(f"found {shown(cell)}; expected classes")
        return found

    def parse_part(self, cell: Any) -> int:
        """0 or 1."""
        known = FLAGS.get(str(cell).strip().lower())
        if known is None:
            raise ValueError(f"found {shown(cell)}; expected 0 or 1")
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
        table = LabelTable(column, task, lenient)
        rows = np.zeros((max(len(cells), 1), task.num_logits), dtype=np.float32)
        codes = np.zeros(len(cells), dtype=np.int64)
        for number, names in enumerate(parsed_cells(self, column, cells, indices)):
            found = [table.empty] if names is None else [table.code(name) for name in names]
            codes[number] = min(found, default=0)
            rows[number, [code for code in found if code >= 0]] = 1
            if any(code < 0 for code in found) and not any(code >= 0 for code in found):
                rows[number] = np.nan

        def foreign(row: int) -> str:
            return next(name for name in self.parse(cells[indices[row]]) if table.code(name) < IGNORED)

        table.check(codes[indices], foreign)
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
