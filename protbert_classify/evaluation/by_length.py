"""Accuracy in ranges of protein length."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

EDGES = (0, 100, 200, 300, 400, 600, 800, 1_200, 2_000)
Z = 1.959964  # standard normal quantile of 0.975


def accuracy_by_length(
    right: Sequence[bool] | np.ndarray, lengths: Sequence[int] | np.ndarray, max_residues: int | None = None
) -> list[dict[str, Any]]:
    """The share of right predictions in ranges of length.

    Args:
        right: (N,), whether the prediction is right.
        lengths: (N,), residues.
        max_residues: Of the longest protein that the model reads whole; a range ends there. None for no limit.

    Returns:
        Those ranges that have proteins, short ones first: `lower` and `upper` (lower < residues <= upper; None for no
        limit), `proteins`, `accuracy`, and its 95% interval `low` and `high` ([`wilson_interval`]).
    """
    right, lengths = np.asarray(right, dtype=bool), np.asarray(lengths)
    found = []
    for lower, upper in edges(max_residues):
        inside = (lengths > lower) & (lengths <= (np.inf if upper is None else upper))
        if inside.any():
            proteins, correct = int(inside.sum()), int(right[inside].sum())
            low, high = wilson_interval(correct, proteins)
            counted = {"lower": lower, "upper": upper, "proteins": proteins}
            found.append({**counted, "accuracy": correct / proteins, "low": low, "high": high})
    return found


def edges(max_residues: int | None = None) -> list[tuple[int, int | None]]:
    """The ranges of length: lower < residues <= upper, None for no limit.

    Args:
        max_residues: A range ends there.
    """
    every: list[Any] = [*sorted({*EDGES, *([max_residues] if max_residues else [])}), None]
    return list(zip(every, every[1:]))


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """95% interval of a share, sound for few proteins and near 0 and 1.

    Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Args:
        correct: Of `total`, at least 1.
    """
    share = correct / total
    middle = (share + Z**2 / (2 * total)) / (1 + Z**2 / total)
    spread = Z / (1 + Z**2 / total) * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    return max(0.0, middle - spread), min(1.0, middle + spread)
