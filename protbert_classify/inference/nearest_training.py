"""How near proteins are to those that a model was trained on: far from all of them, its answers are guesses."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..data.column_names import ColumnNames
from ..data.reader import read_records
from ..data.records import checked
from ..data.tables import read_file
from ..errors import InputError, OptionError
from ..evaluation.decision import UNANSWERED
from ..homology.neighbours import COVERAGE, find_neighbours


class Nearest(NamedTuple):
    """The nearest training protein of each of N proteins.

    Args:
        ids: (N,), accessions; empty where no training protein is similar.
        identity: (N,), 0..1, share of identical residues in the alignment; NaN where none is similar.
    """

    ids: list[str]
    identity: np.ndarray


def count_unanswered(output: str, column: str) -> int:
    """Proteins of a table of predictions without a label in a column."""
    return sum(row[column] == UNANSWERED for row in read_file(output).rows)


def count_unlike(output: str, identity: float) -> int:
    """Proteins of a table of predictions without a training protein of at least this identity, 0..1."""
    # a CSV has text, other tables numbers, and both have nothing where no training protein is similar
    return sum(float(row["identity"] or 0) < identity for row in read_file(output).rows)


class TrainingProteins:
    """The proteins that a model was trained on.

    Args:
        source: See [`read_records`]. Records that are no proteins are left out.
        columns: Names of a table's columns.

    Raises:
        DataError: The source cannot be read.
        OptionError: It has no proteins.
    """

    def __init__(self, source: str, columns: ColumnNames | None = None) -> None:
        self.ids: list[str] = []
        self.residues: list[str] = []
        for record in read_records(source, columns):
            try:
                place, _, residues = checked(record)
            except InputError:
                continue
            self.ids.append(place.accession)
            self.residues.append(residues)
        if not self.ids:
            raise OptionError(f"training_proteins {source}: found no proteins; expected those the model was trained on")

    @property
    def digest(self) -> str:
        """Of accessions and residues, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, residues in zip(self.ids, self.residues, strict=True):
            digest.update(f"{name}\t{residues}\n".encode())
        return digest.hexdigest()[:16]

    def nearest(self, residues: Sequence[str]) -> Nearest:
        """Find the nearest training protein of each protein, of any identity over `COVERAGE` of the shorter one.

        Args:
            residues: (N,), upper case.
        """
        found = find_neighbours(residues, self.residues, identity=0, coverage=COVERAGE).nearest()
        ids, identity = [""] * len(residues), np.full(len(residues), np.nan)
        identity[found.query] = found.identity
        for query, target in zip(found.query, found.target, strict=True):
            ids[query] = self.ids[target]
        return Nearest(ids, identity)
