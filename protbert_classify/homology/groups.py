"""Groups of related proteins: neighbours, their neighbours, and so on. A split keeps each group together."""

import logging
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from .neighbours import COVERAGE, IDENTITY, search_method
from .saved_search import find_saved_neighbours

logger = logging.getLogger(__name__)


class GroupSearch:
    """Finds the groups of some proteins without comparing all with all.

    A group is a connected component: there is a chain of neighbours between any two of its proteins, and none to any
    protein outside. The search begins with some proteins, goes on with the neighbours that it finds, and stops when
    they have no more.

    Args:
        sequences: N proteins; residues, upper case, without spaces.
        identity: See [`find_neighbours`].
        coverage: See [`find_neighbours`].

    Attributes:
        group: (N,), int64, the number of each protein's group, as far as it is known.
        searched: (N,), bool, the proteins whose neighbours are known.
        method: What finds neighbours, for people to read.
    """

    def __init__(self, sequences: Sequence[str], identity: float = IDENTITY, coverage: float = COVERAGE) -> None:
        self.sequences = sequences
        self.limits = {"identity": identity, "coverage": coverage}
        self.method = search_method()
        self.group = np.arange(len(sequences))
        self.searched = np.zeros(len(sequences), dtype=bool)
        self.pairs = np.zeros((2, 0), dtype=np.int64)

    @property
    def complete(self) -> np.ndarray:
        """(N,), bool: the proteins whose whole group was searched with, so that no other protein belongs to it."""
        unsearched = np.bincount(self.group, weights=~self.searched, minlength=1)
        return unsearched[self.group] == 0

    def extend(self, seeds: np.ndarray, order: np.ndarray, most: int | None = None) -> None:
        """Search until the groups that some proteins lead are complete.

        The leader of a group is the first of its proteins in a random order. As each group has one, whatever its size,
        the groups that random proteins lead are a fair sample, in which a protein of a large family is as likely as any
        other.

        Args:
            seeds: (N,), bool.
            order: (N,), ints, all rows in random order.
            most: Proteins of a group; a larger one is left incomplete.
        """
        most = len(self.sequences) if most is None else most
        while True:
            sizes = np.bincount(self.group, minlength=1)[self.group]
            wanted = self.led_by(seeds, order) & ~self.searched & (sizes <= most)
            if not wanted.any():
                return
            self._search(np.flatnonzero(wanted))

    def led_by(self, seeds: np.ndarray, order: np.ndarray) -> np.ndarray:
        """(N,), bool: the proteins whose group, as far as it is known, is led by one of the seeds; see [`extend`]."""
        leader = np.empty(len(self.sequences), dtype=np.int64)
        leader[self.group[order[::-1]]] = order[::-1]  # the last that is written is the first in the order
        return seeds[leader[self.group]]

    def _search(self, rows: np.ndarray) -> None:
        found = find_saved_neighbours([self.sequences[row] for row in rows], self.sequences, **self.limits)
        self.pairs = np.concatenate([self.pairs, [rows[found.query], found.target]], axis=1)
        self.searched[rows] = True
        self.group = connected(len(self.sequences), self.pairs)

    def count_torn(self, chosen: np.ndarray) -> int:
        """How many of the chosen proteins, (N,) bool, have a neighbour that is not chosen."""
        first, second = self.pairs
        torn = chosen[first] != chosen[second]
        return len(np.unique(np.where(chosen[first], first, second)[torn]))


def connected(count: int, pairs: np.ndarray) -> np.ndarray:
    """Number the groups of proteins that pairs of neighbours hold together.

    Args:
        count: N proteins.
        pairs: (2, P), int64, rows of neighbours.

    Returns:
        (N,), int64: the same number within a group, from 0, in the order of its first protein.

    Example:
        >>> import numpy as np
        >>> from protbert_classify.homology.groups import connected
        >>> connected(5, np.array([[0, 3], [3, 4]])).tolist()
        [0, 1, 2, 0, 0]
    """
    ones = np.ones(pairs.shape[1], dtype=bool)
    graph = csr_array((ones, (pairs[0], pairs[1])), shape=(count, count))
    numbers = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers
