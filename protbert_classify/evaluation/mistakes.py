"""Wrong calls: those that are sure of it, often of mislabelled proteins, and the pairs of classes they confuse."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def confident_mistakes(
    ids: Sequence[str], references: np.ndarray, calls: np.ndarray, probabilities: np.ndarray, *, count: int = 20
) -> list[dict[str, Any]]:
    """The wrong calls with the highest scores, the highest first; equal ones in the order of the proteins.

    Args:
        ids: (N,), accessions.
        references: (N,), true class, 0..C-1.
        calls: (N,), called class, 0..C-1.
        probabilities: (N, C).
        count: How many at most.

    Returns:
        For each `index` (0..N-1), `id`, `true` and `called` (0..C-1), `score` (probability of the called class) and
        `score_of_true` (probability of the true class).
    """
    every = np.arange(len(ids))
    scores = probabilities[every, calls]
    wrong = every[calls != references]
    order = wrong[np.argsort(-scores[wrong], kind="stable")][:count]
    return [
        {
            "index": int(index),
            "id": ids[index],
            "true": int(references[index]),
            "called": int(calls[index]),
            "score": float(scores[index]),
            "score_of_true": float(probabilities[index, references[index]]),
        }
        for index in order
    ]


def frequent_confusions(matrix: Sequence[Sequence[int]] | np.ndarray, *, count: int = 10) -> list[dict[str, Any]]:
    """The pairs of classes that are most often confused, the most frequent first.

    Args:
        matrix: (C, C), rows are true classes, columns called ones.
        count: How many at most.

    Returns:
        For each `true` and `called` (0..C-1), `proteins`, and `share` of the true class, 0..1.
    """
    counts = np.array(matrix)
    totals = counts.sum(1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:count]
    pairs = ((int(index) // len(counts), int(index) % len(counts)) for index in order)
    return [
        dict(true=true, called=called, proteins=int(counts[true, called]), share=counts[true, called] / totals[true])
        for true, called in pairs
        if counts[true, called]
    ]
