"""Bootstrap intervals: how much a metric could differ on other test proteins."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model.tasks import SINGLE_LABEL
from .decision import Decision
from .references import known_references
from .resampling import (
    RESAMPLES,
    affordable_resamples,
    default_resamples,
    draw_counts,
    draw_group_counts,
    joined,
    matrix_metrics,
    resampled_metrics,
    steps,
)

FEWEST_GROUPS = 10  # of related proteins, below which resampling them makes intervals that are far too narrow


def bootstrap_intervals(
    matrix: Sequence[Sequence[int]] | np.ndarray, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """Percentile bootstrap (Efron 1979, doi:10.1214/aos/1176344552) of the metrics of a confusion matrix.

    To draw proteins with replacement is to draw the cells they fall into: each resample is a multinomial. A resample
    without a protein of a class says nothing about that class and is left out for it.

    Args:
        matrix: (C, C), rows are true classes, columns predicted ones.
        resamples: Matrices that are drawn.
        level: Share of the resamples within the interval, 0..1.
        seed: Of the draw.

    Returns:
        `accuracy`, `mcc`, `macro_f1`, `balanced_accuracy`, each (low, high); `precision`, `recall`, `f1`, `class_mcc`,
        each C times (low, high), or None for a class without proteins, and for the precision and the MCC of one that
        is never predicted.

    Raises:
        ValueError: No proteins.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    total = int(counts.sum())
    if total == 0:
        raise ValueError("a confusion matrix without proteins has no intervals")
    generator, shares = np.random.default_rng(seed), counts.ravel() / total
    drawn = (generator.multinomial(total, shares, size=rows) for rows in steps(resamples, counts.size))
    metrics = joined([matrix_metrics(part.reshape(-1, *counts.shape)) for part in drawn])  # each (R,) or (R, C)
    return {name: interval(values, level) for name, values in metrics.items()}


def task_intervals(
    decision: Decision,
    references: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    resamples: int | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Percentile bootstrap of the numbers of [`task_metrics`]: proteins, or groups of them, are drawn with replacement.

    Related proteins tend to be right or wrong together: they say less than as many unrelated ones, and intervals that
    ignore it are too narrow.

    Args:
        decision: For N proteins.
        references: As [`task_metrics`] takes them.
        groups: (N,), the same number for related proteins, which are drawn together; None to draw proteins one by one.
        resamples: How often N proteins are drawn; 2,000 if None, fewer where proteins and labels are very many.
        level: Share of the resamples within the interval, 0..1.
        seed: Of the draw.

    Returns:
        (low, high) for each of the metrics that are watched. Beside them, C times (low, high) or None: for a single
        label `precision`, `recall`, `f1` and `class_mcc`; for several `per_class_{metric}` with the first three, `mcc`
        and `average_precision`; for a regression `per_target_{metric}`. None in place of every pair where the proteins
        are of fewer than `FEWEST_GROUPS` groups.

    Raises:
        ValueError: No known reference.
    """
    references = np.asarray(references)
    known = known_references(references)
    rows = known if known.ndim == 1 else known.any(1)
    if not rows.any():
        raise ValueError("without a known reference there are no intervals")
    decision, references = decision[rows], references[rows]
    if decision.task.problem_type == SINGLE_LABEL and groups is None:
        matrix = np.zeros((decision.scores.shape[1],) * 2, dtype=np.int64)
        np.add.at(matrix, (references.astype(np.int64), decision.best), 1)
        times = resamples or affordable_resamples(matrix.size)
        return bootstrap_intervals(matrix, resamples=times, level=level, seed=seed)
    times = resamples or default_resamples(decision)
    draws = draw_counts(len(decision), times, seed) if groups is None else draw_group_counts(groups[rows], times, seed)
    values = joined([resampled_metrics(decision, references, counts) for counts in draws])
    few = groups is not None and len(np.unique(groups[rows])) < FEWEST_GROUPS
    found = {name: interval(np.full_like(drawn, np.nan) if few else drawn, level) for name, drawn in values.items()}
    return _named_as_of_matrix(found) if decision.task.problem_type == SINGLE_LABEL else found


def _named_as_of_matrix(intervals: dict[str, Any]) -> dict[str, Any]:
    """The intervals of a single label under the names that [`bootstrap_intervals`] gives them."""
    short = {name: name.removeprefix("per_class_") for name in intervals}
    return {"class_mcc" if name == "per_class_mcc" else short[name]: pair for name, pair in intervals.items()}


def interval(values: np.ndarray, level: float) -> Any:
    """(low, high) of the known values, (R,); for (R, C), a list of C of them, None where no value is known."""
    if values.ndim == 2:
        return [interval(column, level) for column in values.T]
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return tuple(np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist())
