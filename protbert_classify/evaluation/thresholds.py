"""The score from which a label is predicted: for each label, the threshold with the best Matthews correlation."""

import numpy as np

from ..model.tasks import DEFAULT_THRESHOLD
from .references import known_references

FEWEST_POSITIVES = 5  # proteins with a label; with fewer, the best threshold is chance


def fit_thresholds(scores: np.ndarray, references: np.ndarray) -> list[float]:
    """The threshold of each label that gives its predictions (score >= threshold) the highest MCC on these proteins.

    A threshold lies in the middle between two neighbouring scores. Of several with the same MCC the one nearest to 0.5
    is taken, the lower one of two as near. A label that fewer than 5 proteins have, or all, or whose scores do not help
    (no MCC above 0), gets 0.5.

    Args:
        scores: (N, C), probabilities.
        references: (N, C), 0 or 1, NaN where unknown.

    Returns:
        (C,), each 0..1, a float32's value: the decision compares in float32.

    Raises:
        ValueError: Shapes that differ.
    """
    scores, references = np.asarray(scores, dtype=np.float32), np.asarray(references)
    if scores.shape != references.shape or scores.ndim != 2:
        raise ValueError(f"scores of shape {scores.shape}, references of shape {references.shape}: expected the same")
    known = known_references(references)
    return [_threshold(scores[known[:, i], i], references[known[:, i], i] == 1) for i in range(scores.shape[1])]


def _threshold(scores: np.ndarray, true: np.ndarray) -> float:
    """Of one label, from the scores (n,) and answers (n,) of the proteins of which it is known."""
    order = np.argsort(-scores, kind="stable")
    scores, true = scores[order], true[order]
    last = np.flatnonzero(scores[:-1] > scores[1:])  # the last protein of each score but the lowest: all is no decision
    predicted = last + 1.0  # proteins from there on up, in float64: their products are large
    positives, total = float(true.sum()), float(len(true))
    if not len(last) or positives < FEWEST_POSITIVES or positives == total:
        return DEFAULT_THRESHOLD
    right = np.cumsum(true)[last]
    covariance = right * total - predicted * positives
    mcc = covariance / np.sqrt(predicted * (total - predicted) * positives * (total - positives))
    best = mcc.max()
    if best <= 0:
        return DEFAULT_THRESHOLD
    above, below = scores[last], scores[last + 1]
    middle = ((above.astype(np.float64) + below) / 2).astype(np.float32)
    middle = np.where(middle > below, middle, above)  # no float32 lies between neighbours
    equal = middle[mcc >= best - 1e-12]
    return float(equal[np.lexsort((equal, np.abs(equal - DEFAULT_THRESHOLD)))[0]])
