"""A linear model on the composition of proteins: shares of amino acids and of pairs of them, and the length."""

from collections.abc import Sequence

import numpy as np
from datasets import DatasetDict

from ..data.alphabet import STANDARD, unspace
from ..model.tasks import Task
from .linear import linear_scores

REGIONS = (slice(None), slice(0, 30), slice(30, 60), slice(-30, None))  # whole, first 30, next 30, last 30 residues


def composition(splits: DatasetDict, task: Task) -> dict[str, np.ndarray]:
    """Scores of a linear model that does not know the order of the residues, but for the ends and pairs."""
    features = {name: composition_features(part["sequence"][:]) for name, part in splits.items()}
    return linear_scores(features, splits, task)


def composition_features(sequences: Sequence[str]) -> np.ndarray:
    """(N, 4 x 20 + 400 + 1): shares of amino acids in the whole protein and at its ends, shares of pairs, log length.

    Square roots of the shares do better than the shares themselves, scaled or not.

    Args:
        sequences: (N,), spaced or not.
    """
    letters = np.full(256, -1)
    letters[np.frombuffer(STANDARD.encode(), dtype=np.uint8)] = np.arange(len(STANDARD))
    rows = []
    for sequence in sequences:
        residues = letters[np.frombuffer(unspace(sequence).encode(), dtype=np.uint8)]
        parts = [_shares(residues[region], len(STANDARD)) for region in REGIONS]
        first, second = residues[:-1], residues[1:]
        pairs = np.where((first >= 0) & (second >= 0), len(STANDARD) * first + second, -1)
        shares = [*parts, _shares(pairs, len(STANDARD) ** 2)]
        rows.append(np.concatenate([*map(np.sqrt, shares), [np.log(len(residues))]]))
    return np.array(rows)


def _shares(codes: np.ndarray, kinds: int) -> np.ndarray:
    counts = np.bincount(codes[codes >= 0], minlength=kinds)
    return counts / max(counts.sum(), 1)
