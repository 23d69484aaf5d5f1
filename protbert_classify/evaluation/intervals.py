"""How far a number could have been another with other test proteins: bootstrap intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000


def bootstrap_intervals(
    matrix: Sequence[Sequence[int]] | np.ndarray, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """Percentile bootstrap (Efron 1979, doi:10.1214/aos/1176344552) of the metrics of a confusion matrix.

    To draw proteins with replacement is to draw the cells they fall into: each resample is a multinomial.

    Args:
        matrix: (C, C), rows are true classes, columns called ones.
        resamples: Matrices that are drawn.
        level: Share of the resamples within the interval, 0..1.
        seed: Of the draw.

    Returns:
        `accuracy`, `mcc`, `macro_f1`, each (low, high); `precision`, `recall`, `f1`, each C times (low, high), or None
        for a class without proteins.

    Raises:
        ValueError: No proteins.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    total = int(counts.sum())
    if total == 0:
        raise ValueError("a confusion matrix without proteins has no intervals")
    drawn = np.random.default_rng(seed).multinomial(total, counts.ravel() / total, size=resamples)
    metrics = matrix_metrics(drawn.reshape(resamples, *counts.shape))  # each (R,) or (R, C)
    edges = [(1 - level) / 2, (1 + level) / 2]
    intervals: dict[str, Any] = {}
    for name, values in metrics.items():
        found = np.quantile(values, edges, axis=0)
        if values.ndim == 1:
            intervals[name] = tuple(found.tolist())
        else:
            known = counts.sum(1) > 0
            intervals[name] = [tuple(pair) if there else None for pair, there in zip(found.T.tolist(), known)]
    return intervals


def matrix_metrics(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of [`classification_metrics`] for many confusion matrices at once.

    Args:
        matrices: (R, C, C), rows are true classes, columns called ones.

    Returns:
        `accuracy`, `mcc`, `macro_f1` (R,), `precision`, `recall`, `f1` (R, C), 0 where a class was not drawn or called.
    """
    counts = matrices.astype(np.float64)
    total = counts.sum((1, 2))
    right = np.einsum("rcc->rc", counts)
    true, called = counts.sum(2), counts.sum(1)  # (R, C)
    # Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006, as scikit-learn has it
    covariance = right.sum(1) * total - (true * called).sum(1)
    spread = np.sqrt((total**2 - (true**2).sum(1)) * (total**2 - (called**2).sum(1)))
    f1 = _ratio(2 * right, true + called)
    there = true > 0
    return {
        "accuracy": right.sum(1) / total,
        "mcc": _ratio(covariance, spread),
        "macro_f1": (f1 * there).sum(1) / there.sum(1),
        "precision": _ratio(right, called),
        "recall": _ratio(right, true),
        "f1": f1,
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
