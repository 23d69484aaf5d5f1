"""Cells of a column, whatever their type: read, told apart, and shown in messages.

Shapes: N proteins.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel
from datasets import List as ListOf

EMPTY = (None, "")  # a cell without a value
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


def missing_label(column: Column, row: int) -> Unfit:
    """The error for a cell without a value."""
    return Unfit(row, f"no label in column {column.name!r}")


def described(column: Column) -> str:
    """What a column holds, for messages."""
    names = names_of(column.feature)
    what = "a list" if isinstance(column.feature, ListOf) else "classes" if names else str(column.feature)
    return f"{what} in column {column.name!r}" + (f" ({', '.join(names[:3])}, ...)" if names else "")


def shown(cell: Any) -> str:
    """A cell, for messages."""
    return repr(cell)[:60]
