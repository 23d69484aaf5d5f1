"""`test_neighbours.csv`: the nearest training protein of each test protein, written and read.

A row has the accession of a test protein, that of the nearest training protein and their identity, 0 to 1, both empty
without a neighbour, and the number of its group: related test proteins have the same.
"""

import csv
import math
from collections.abc import Sequence

import numpy as np

from ..data.test_neighbours import NearestTraining
from ..errors import DataError
from .files import write_atomically

HEADER = ["id", "nearest", "nearest_identity", "group"]


def write_test_neighbours(path: str, found: NearestTraining) -> None:
    """Write one test protein a line.

    Args:
        path: Of the CSV.
        found: For N test proteins.
    """
    identities = ["" if math.isnan(identity) else f"{identity:.3f}" for identity in found.identity]

    def write(part: str) -> None:
        with open(part, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(HEADER)
            table.writerows(zip(found.ids, found.nearest, identities, found.group.tolist(), strict=True))

    write_atomically(path, write)


def read_test_neighbours(path: str, ids: Sequence[str]) -> NearestTraining:
    """Read what [`write_test_neighbours`] wrote.

    Args:
        path: Of the CSV.
        ids: (N,), accessions of the test proteins, in the order of the predictions.

    Raises:
        DataError: A damaged file, or one of other proteins.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        if header != HEADER:
            raise ValueError(f"found the columns {', '.join(header)[:100]}; expected {', '.join(HEADER)}")
        if any(len(row) != len(HEADER) for row in rows):
            raise ValueError(f"expected {len(HEADER)} columns in every row")
        identity = np.array([float(row[2] or "nan") for row in rows])
        found = NearestTraining([row[0] for row in rows], [row[1] for row in rows], identity, _groups(rows))
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}: damaged: {error}") from None
    if found.ids != list(ids):
        raise DataError(f"{path}: its proteins are not those of the predictions; is it of another run?")
    return found


def _groups(rows: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([int(row[3]) for row in rows], dtype=np.int64)
