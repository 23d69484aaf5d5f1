"""From the names of classes in a column to the indices that a task gives them."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..model.tasks import IGNORED, Task
from .cells import EMPTY, Column, Unfit, missing_label, names_of
from .problem_type import ProblemType

DEEPLOC_MEMBRANE = {"M", "S", "U"}  # membrane-bound, soluble, unknown


def unknown_labels(column: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of a column's names that say that the answer is not known: DeepLoc's membrane has M, S and U."""
    found = set(names)
    deeploc = found <= DEEPLOC_MEMBRANE if column == "membrane" else found == DEEPLOC_MEMBRANE
    return ("U",) if "U" in found and deeploc else ()


class LabelTable:
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

    def check(self, codes: np.ndarray, name_at: Callable[[int], str]) -> None:
        """Raise Unfit for the first protein whose answer is an error."""
        wrong = np.flatnonzero(codes < IGNORED)
        if not len(wrong):
            return
        row = int(wrong[0])
        if codes[row] == self.MISSING:
            raise missing_label(self.column, row)
        labels = ", ".join(self.task.labels)
        raise Unfit(row, f"{self.task.name} {name_at(row)!r} is not a class of the model; expected one of {labels}")


def parsed_cells(kind: ProblemType, column: Column, cells: list[Any], indices: np.ndarray) -> list[Any]:
    """The plain form of distinct cells, a list of names each; None for those without a value."""
    parsed = []
    for number, cell in enumerate(cells):
        try:
            plain = None if cell in EMPTY else kind.parse(cell)
        except ValueError as error:
            raise Unfit(int((indices == number).argmax()), f"column {column.name!r}: {error}") from None
        parsed.append([plain] if isinstance(plain, str) else plain)
    return parsed
