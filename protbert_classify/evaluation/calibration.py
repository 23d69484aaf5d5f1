"""Calibration: of the predictions with a score of 0.8, are 80% right?"""

from typing import Any

import numpy as np

from ..model.tasks import MULTI_LABEL
from .decision import Decision
from .metrics import known_references

BINS = 10


def calibration(decision: Decision, references: np.ndarray, *, bins: int = BINS) -> dict[str, Any]:
    """Scores against the share that is right, in bins of equal width.

    For a single label, these are the scores of the predicted classes; for several, the scores of all labels of all
    proteins, predicted or not, and right are the labels that a protein has. Unknown references are left out.

    Args:
        decision: For N proteins, of a classification.
        references: As [`task_metrics`] takes them.
        bins: How many.

    Returns:
        `ece`, the expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3), 0..1; and `bins`, those
        that have scores: `lower`, `upper` (lower < score <= upper), `count` (of scores), `confidence` (their mean) and
        `accuracy` (the share that is right).

    Raises:
        ValueError: No known reference, or shapes that do not fit.
    """
    score, right = scored(decision, references)
    if not len(score):
        raise ValueError("no known references to compare scores with; expected at least 1")
    place = np.clip(np.ceil(score * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for index in np.unique(place):
        inside = place == index
        found.append(
            {
                "lower": float(index / bins),
                "upper": float((index + 1) / bins),
                "count": int(inside.sum()),
                "confidence": float(score[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    ece = sum(b["count"] * abs(b["confidence"] - b["accuracy"]) for b in found) / len(score)
    return {"ece": float(ece), "bins": found}


def scored(decision: Decision, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What [`calibration`] compares: scores, (M,), and whether each is that of a true answer, (M,) bool."""
    references = np.asarray(references)
    several = decision.task.problem_type == MULTI_LABEL
    expected = decision.scores.shape if several else (len(decision),)
    if references.shape != expected:
        raise ValueError(f"references of shape {references.shape} for task {decision.task.name!r}: expected {expected}")
    known = known_references(references)
    if several:
        return decision.scores[known], references[known] == 1
    return decision.score[known], decision.best[known] == references[known]
