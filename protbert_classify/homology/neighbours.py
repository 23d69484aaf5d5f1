"""The neighbours of proteins: those that are similar enough for one to tell the label of another."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import OptionError
from . import mmseqs, shared_kmers

logger = logging.getLogger(__name__)

# Proteins as similar as this usually have the same fold, and often the same location and function (Rost 1999,
# doi:10.1093/protein/12.2.85); DeepLoc splits its own data at 30%, too.
IDENTITY, COVERAGE = 0.3, 0.8


@dataclass(frozen=True)
class Neighbours:
    """Pairs of a query and a similar target, each once, in the order of the queries, the most identical first.

    Args:
        query: (P,), int64, rows of the proteins that were searched with.
        target: (P,), int64, rows of those that were searched.
        identity: (P,), 0..1, share of identical residues in the alignment; an estimate without MMseqs2.
        coverage: (P,), 0..1, share of the shorter protein in the alignment; NaN without MMseqs2.
        evalue: (P,), hits as good as this that are expected by chance; NaN without MMseqs2.
        method: What found them, for people to read.
    """

    query: np.ndarray
    target: np.ndarray
    identity: np.ndarray
    coverage: np.ndarray
    evalue: np.ndarray
    method: str

    def __len__(self) -> int:
        return len(self.query)

    def select(self, kept: np.ndarray) -> "Neighbours":
        """Those pairs whose place in `kept`, (P,) bool or int, is named."""
        query, target = self.query[kept], self.target[kept]
        return Neighbours(query, target, self.identity[kept], self.coverage[kept], self.evalue[kept], self.method)

    def nearest(self) -> "Neighbours":
        """Only the nearest neighbour of each query that has one: of the highest identity, then of the best E-value."""
        order = np.lexsort((np.nan_to_num(self.evalue), -self.identity, self.query))
        return self.select(order[np.unique(self.query[order], return_index=True)[1]])

    def nearest_of(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest target of every query.

        Args:
            count: Number of queries, Q.

        Returns:
            (Q,), int64, rows of the targets, -1 without a neighbour; and (Q,), identities, 0..1, NaN without one.
        """
        found = self.nearest()
        target, identity = np.full(count, -1), np.full(count, np.nan)
        target[found.query], identity[found.query] = found.target, found.identity
        return target, identity


def search_method() -> str:
    """What finds neighbours here, for people to read: MMseqs2 or, where it is missing, shared 5-mers."""
    return mmseqs.NAME if mmseqs.find_binary() else shared_kmers.NAME


def describe_limits(identity: float, coverage: float, method: str) -> str:
    """What makes two proteins neighbours, for people to read.

    Args:
        identity: See [`find_neighbours`].
        coverage: See [`find_neighbours`].
        method: Of [`Neighbours`].
    """
    limits = f"at least {identity:.0%} identity"
    # the other method does not know the coverage
    return f"{limits} over {coverage:.0%} of the shorter protein" if method == mmseqs.NAME else limits


def find_neighbours(
    queries: Sequence[str],
    targets: Sequence[str] | None = None,
    *,
    identity: float = IDENTITY,
    coverage: float = COVERAGE,
) -> Neighbours:
    """Search proteins for neighbours, with MMseqs2 or, where it is missing, by shared 5-mers.

    All targets are searched, not representatives of clusters, which hide pairs. Proteins of equal residues are
    neighbours, however short they are.

    Args:
        queries: Residues, upper case, without spaces.
        targets: The proteins to search; the queries themselves if None. Then each pair of neighbours is there twice, as
            (a, b) and as (b, a), even if the search finds it one way only; a protein is not its own neighbour.
        identity: Least share of identical residues in the alignment, 0..1.
        coverage: Least share of the shorter protein in the alignment, 0..1; shared 5-mers do not know it.

    Example:
        >>> from protbert_classify.homology.neighbours import find_neighbours
        >>> found = find_neighbours(["MKT", "MRR"], ["MRR"])
        >>> found.query.tolist(), found.target.tolist(), found.identity.tolist()
        ([1], [0], [1.0])

    Raises:
        OptionError: A threshold that is out of its range.
        ProteinClassifierError: MMseqs2 failed.
    """
    check_shares(identity=identity, coverage=coverage)
    searched = queries if targets is None else targets
    method = search_method()
    search = mmseqs.search if method == mmseqs.NAME else shared_kmers.search
    logger.info("searching %s proteins for neighbours of %s, by %s", f"{len(searched):,}", f"{len(queries):,}", method)
    found = Neighbours(*search(queries, searched), method)
    kept = (found.identity >= identity) & ~(found.coverage < coverage)
    found = _with_copies(found.select(kept), queries, searched)
    return _both_ways(found) if targets is None else found


def check_shares(**shares: float) -> None:
    """Refuse thresholds that are not shares.

    Raises:
        OptionError: Names the one that is not.
    """
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise OptionError(f"{name}={value}: expected a share, 0 to 1 (0.3 for 30%)")


def _with_copies(found: Neighbours, queries: Sequence[str], targets: Sequence[str]) -> Neighbours:
    """Add the proteins of equal residues, which a search leaves out where they are short or of low complexity."""
    places: dict[str, list[int]] = defaultdict(list)
    for row, residues in enumerate(targets):
        places[residues].append(row)
    known = set(zip(found.query.tolist(), found.target.tolist(), strict=True))
    copies = [
        (query, target)
        for query, residues in enumerate(queries)
        for target in places.get(residues, ())
        if (query, target) not in known
    ]
    extra = np.array(copies, dtype=np.int64).reshape(-1, 2).T
    one, unknown = np.ones(len(copies)), np.full(len(copies), np.nan)
    joined = Neighbours(
        np.concatenate([found.query, extra[0]]),
        np.concatenate([found.target, extra[1]]),
        np.concatenate([found.identity, one]),
        np.concatenate([found.coverage, one]),
        np.concatenate([found.evalue, unknown]),
        found.method,
    )
    return _in_order(joined)


def _both_ways(found: Neighbours) -> Neighbours:
    """The neighbours among some proteins: each pair also the other way round, with the better alignment of the two."""
    found = found.select(found.query != found.target)
    there = np.concatenate([found.query, found.target]), np.concatenate([found.target, found.query])
    twice = Neighbours(
        *there, np.tile(found.identity, 2), np.tile(found.coverage, 2), np.tile(found.evalue, 2), found.method
    )
    best = np.lexsort((np.nan_to_num(twice.evalue), -twice.identity, twice.target, twice.query))
    pairs = np.stack([twice.query[best], twice.target[best]])
    first = np.ones(len(best), dtype=bool)
    first[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(0)
    return _in_order(twice.select(best[first]))


def _in_order(found: Neighbours) -> Neighbours:
    return found.select(np.lexsort((found.target, -found.identity, found.query)))  # the program's own order varies
