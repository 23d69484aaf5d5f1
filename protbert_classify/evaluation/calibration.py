"""Whether scores are probabilities: of the predictions with a score of 0.8, are 80% right?"""

from typing import Any

import numpy as np

from ..model.tasks import MULTI_LABEL, REGRESSION
from .decision import Decision
from .references import known_references

BINS = 15  # as in Guo et al. 2017
LEAST = 1e-7  # of a probability whose logarithm is taken: float32 scores reach 0 and 1


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


def score_metrics(decision: Decision, references: np.ndarray) -> dict[str, float]:
    """How well scores work as probabilities; of each, 0 is best.

    Args:
        decision: For N proteins.
        references: As [`task_metrics`] takes them; unknown ones are left out.

    Returns:
        `ece`, of [`calibration`] with 15 bins of equal width; `brier` (Brier 1950), for a single label the sum over the
        classes of the squared differences between probability and truth, 0..2, for several labels the mean over them,
        0..1; `nll`, the negative log-likelihood of the true answers in nats. Empty for a regression.
    """
    if decision.task.problem_type == REGRESSION:
        return {}
    if not np.isfinite(decision.scores).all():  # of a training that diverged, which others report
        return dict.fromkeys(("ece", "brier", "nll"), float("nan"))
    scores, references = decision.scores.astype(np.float64), np.asarray(references)
    known = known_references(references)
    if references.ndim == 1:
        scores, true = scores[known], references[known].astype(np.int64)[:, None] == np.arange(scores.shape[1])
        brier, likelihood = ((scores - true) ** 2).sum(1), scores[true]
    else:
        scores, true = scores[known], references[known] == 1
        brier, likelihood = (scores - true) ** 2, np.where(true, scores, 1 - scores)
    return {
        "ece": calibration(decision, references)["ece"],
        "brier": float(brier.mean()),
        "nll": float(0.0 - np.log(np.maximum(likelihood, LEAST)).mean()),
    }
