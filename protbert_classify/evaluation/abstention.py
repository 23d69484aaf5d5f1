"""Answering only where the score is high: how many proteins are answered, and how many of these answers are right."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .by_length import wilson_interval

MIN_SCORES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


class RiskCoverage(NamedTuple):
    """Accuracy against the share of proteins that are answered (El-Yaniv and Wiener 2010, "risk-coverage").

    A point for each distinct score as the lowest that is answered, the highest first.

    Args:
        min_score: (U,).
        share: (U,), of the proteins that have at least this score, 0..1.
        accuracy: (U,), the share of right answers among these.
    """

    min_score: np.ndarray
    share: np.ndarray
    accuracy: np.ndarray


def risk_coverage(score: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """The curve of N answers.

    Args:
        score: (N,), of the answers.
        right: (N,), bool.
    """
    order = np.argsort(-score, kind="stable")
    score, right = score[order], right[order]
    last = np.flatnonzero(np.append(score[1:] < score[:-1], True))  # answers of one score come together
    answered = last + 1
    return RiskCoverage(score[last], answered / len(score), np.cumsum(right)[last] / answered)


def accuracy_at(score: np.ndarray, right: np.ndarray, min_scores: Sequence[float] = MIN_SCORES) -> list[dict[str, Any]]:
    """What is answered and right if answers below a score are left out.

    Args:
        score: (N,), of the answers.
        right: (N,), bool.
        min_scores: Ascending.

    Returns:
        For each of them that leaves an answer: `min_score`, `proteins` that are answered, their `share`, the `accuracy`
        of these answers, and its 95% interval `low` and `high` ([`wilson_interval`]).
    """
    found = []
    for least in min_scores:
        answered = score >= least
        proteins, correct = int(answered.sum()), int(right[answered].sum())
        if proteins:
            low, high = wilson_interval(correct, proteins)
            shares = {"share": proteins / len(score), "accuracy": correct / proteins, "low": low, "high": high}
            found.append({"min_score": least, "proteins": proteins, **shares})
    return found
