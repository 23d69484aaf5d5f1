"""How near test proteins are to training proteins, and which of them are related to each other."""

import logging
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, DatasetDict

from ..homology.groups import connected
from ..homology.neighbours import describe_limits, search_method
from ..homology.saved_search import find_saved_neighbours
from ..model.tasks import Task
from ..tasks.targets import answer_matrix
from .alphabet import unspace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NearestTraining:
    """The nearest training protein of each of N test proteins, and the groups of related test proteins.

    Args:
        ids: (N,), accessions of the test proteins.
        nearest: (N,), accession of the nearest training protein; empty without a neighbour.
        identity: (N,), 0..1, share of identical residues in the alignment with it; NaN without a neighbour.
        group: (N,), int64, the same number for related test proteins.
    """

    ids: list[str]
    nearest: list[str]
    identity: np.ndarray
    group: np.ndarray

    def count(self, identity: float) -> int:
        """Test proteins with a training protein of at least this identity, 0..1."""
        return int((self.identity >= identity).sum())


def find_test_neighbours(splits: DatasetDict, identity: float, coverage: float) -> NearestTraining | None:
    """Find the nearest training protein of each test protein, and log how many have a neighbour in training.

    Args:
        splits: With `train` and, perhaps, `test`.
        identity: Of related proteins, see [`find_neighbours`]. The nearest training protein may be less identical.
        coverage: Of neighbours.

    Returns:
        None without test proteins.
    """
    if "test" not in splits:
        return None
    test, train = ([unspace(sequence) for sequence in splits[name]["sequence"][:]] for name in ("test", "train"))
    found = find_saved_neighbours(test, train, identity=0, coverage=coverage)
    related = find_saved_neighbours(test, test, identity=identity, coverage=coverage)
    rows, identities = found.nearest_of(len(test))
    names = splits["train"]["id"][:]
    nearest = [names[row] if row >= 0 else "" for row in rows]
    groups = connected(len(test), np.stack([related.query, related.target]))
    neighbours = NearestTraining(list(splits["test"]["id"][:]), nearest, identities, groups)
    near = neighbours.count(identity)
    logger.info(
        "%s of %s test proteins (%.1f%%) have a neighbour in training: %s",
        f"{near:,}",
        f"{len(test):,}",
        100 * near / len(test),
        describe_limits(identity, coverage, search_method()),
    )
    return neighbours


def nearest_labels(found: NearestTraining, train: Dataset, task: Task) -> np.ndarray:
    """(N, C), 1 for each label that the nearest training protein has, 0 for the others; NaN where unknown.

    Args:
        found: Of N test proteins.
        train: The training proteins, with the columns of the task.
        task: Its labels.
    """
    rows = {name: row for row, name in enumerate(train["id"][:])}
    near = np.array([bool(name) for name in found.nearest])
    labels = np.full((len(near), len(task.labels)), np.nan, dtype=np.float32)
    labels[near] = answer_matrix(train, task)[[rows[name] for name in found.nearest if name]]
    return labels
