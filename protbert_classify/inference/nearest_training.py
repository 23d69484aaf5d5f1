"""How near proteins are to those that a model was trained on: far from all of them, its answers are guesses."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..data.column_names import ColumnNames
from ..data.reader import read_records
from ..data.records import checked
from ..errors import InputError, OptionError
from ..homology.neighbours import COVERAGE, find_neighbours


class Nearest(NamedTuple):
    """The nearest training protein of each of N proteins.

    Args:
        ids: (N,), accessions; empty where no training protein is similar.
        identity: (N,), 0..1, share of identical residues in the alignment; NaN where none is similar.
    """

    ids: list[str]
    identity: np.ndarray


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
        found = find_neighbours(residues, self.residues, identity=0, coverage=COVERAGE)
        return Nearest(*found.nearest_of(len(residues), self.ids))
