"""Wrong predictions: the most confident ones, often of mislabelled proteins, and the classes that are confused."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .decision import Decision
from .references import known_references

COUNT = 20


def confident_mistakes(
    ids: Sequence[str], decision: Decision, references: np.ndarray, *, count: int = COUNT
) -> list[dict[str, Any]]:
    """The wrong predicted labels with the highest scores, the highest first; equal ones in the order of the proteins.

    Args:
        ids: (N,), accessions.
        decision: For them, of a classification.
        references: As [`task_metrics`] takes them; unknown ones are not mistakes.
        count: How many at most.

    Returns:
        For each `index` (0..N-1), `id`, `true` (indices of the true labels), `predicted` (of the wrong one, 0..C-1) and
        `score` (its probability).
    """
    true, wrong = _true_and_wrong(decision, references)
    rows, labels = np.nonzero(wrong)
    scores = decision.scores[rows, labels]
    return [
        {
            "index": int(rows[place]),
            "id": ids[rows[place]],
            "true": np.flatnonzero(true[rows[place]]).tolist(),
            "predicted": int(labels[place]),
            "score": float(scores[place]),
        }
        for place in np.argsort(-scores, kind="stable")[:count]
    ]


def _true_and_wrong(decision: Decision, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each (N, C), bool: the labels that proteins are known to have, and the predicted ones that they have not."""
    references = np.asarray(references)
    known = known_references(references)
    if references.ndim == 1:
        true, known = references[:, None] == np.arange(decision.scores.shape[1]), known[:, None]
    else:
        true = references == 1
    return true, decision.chosen & ~true & known


def largest_errors(
    ids: Sequence[str], decision: Decision, references: np.ndarray, *, count: int = COUNT
) -> list[dict[str, Any]]:
    """The numbers that are furthest off, the furthest first, each measured by the deviation of its true values.

    Args:
        ids: (N,), accessions.
        decision: For them, of a regression.
        references: (N, C), NaN where unknown.
        count: How many at most.

    Returns:
        For each `index` (0..N-1), `id`, `target` (0..C-1), `true`, `predicted` and `error` (predicted - true).
    """
    references = np.asarray(references, dtype=np.float64)
    error = decision.scores - references
    known = known_references(references)
    scale = [np.std(column[there]) if there.any() else 0.0 for column, there in zip(references.T, known.T)]
    size = np.where(known, np.abs(error) / np.where(np.array(scale) > 0, scale, 1.0), -1.0)
    order = np.argsort(-size, axis=None, kind="stable")[: min(count, int(known.sum()))]
    rows, targets = np.unravel_index(order, size.shape)
    return [
        {
            "index": int(row),
            "id": ids[row],
            "target": int(target),
            "true": float(references[row, target]),
            "predicted": float(decision.scores[row, target]),
            "error": float(error[row, target]),
        }
        for row, target in zip(rows, targets)
    ]


def confusions(decision: Decision, references: np.ndarray) -> np.ndarray:
    """Counts of proteins, (C, C): on the diagonal those with a label that is predicted, and in row i, column j those
    that have label i and for which j is predicted though they do not have it. For a single label, the confusion matrix.

    Args:
        decision: For N proteins, of a classification.
        references: As [`task_metrics`] takes them; unknown ones are left out.
    """
    true, wrong = _true_and_wrong(decision, references)
    matrix = true.T.astype(np.int64) @ wrong.astype(np.int64)
    np.fill_diagonal(matrix, (true & decision.chosen).sum(0))
    return matrix


def frequent_confusions(
    matrix: Sequence[Sequence[int]] | np.ndarray,
    support: Sequence[int] | np.ndarray | None = None,
    *,
    count: int = 10,
) -> list[dict[str, Any]]:
    """The pairs of classes that are most often confused, the most frequent first.

    Args:
        matrix: (C, C), rows are true classes, columns predicted ones.
        support: (C,), proteins of each true class; the sums of the rows if None, where each protein is in one cell.
        count: How many at most.

    Returns:
        For each `true` and `predicted` (0..C-1), `proteins`, and `share` of the true class, 0..1.
    """
    counts = np.array(matrix)
    totals = counts.sum(1) if support is None else np.asarray(support)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:count]
    pairs = ((int(index) // len(counts), int(index) % len(counts)) for index in order)
    return [
        {
            "true": true,
            "predicted": predicted,
            "proteins": int(counts[true, predicted]),
            "share": counts[true, predicted] / totals[true],
        }
        for true, predicted in pairs
        if counts[true, predicted]
    ]
