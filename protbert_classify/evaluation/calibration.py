"""Whether a score is what it says: of the calls with a score of 0.8, are 80% right?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 10


def calibration(
    probabilities: np.ndarray, references: Sequence[int] | np.ndarray, *, bins: int = BINS
) -> dict[str, Any]:
    """Scores against the share of right calls, in bins of equal width.

    Args:
        probabilities: (N, C).
        references: (N,), true class, 0..C-1.
        bins: How many.

    Returns:
        `ece`, the expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3), 0..1; and `bins`, those
        that have proteins: `lower`, `upper` (lower < score <= upper), `proteins`, `confidence` (mean score) and
        `accuracy`.

    Raises:
        ValueError: No proteins, or lengths that differ.
    """
    probabilities, references = np.asarray(probabilities), np.asarray(references)
    if len(references) == 0 or len(probabilities) != len(references):
        raise ValueError(f"{len(probabilities)} predictions for {len(references)} references; expected as many, over 0")
    score = probabilities.max(1)
    right = probabilities.argmax(1) == references
    place = np.clip(np.ceil(score * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for index in np.unique(place):
        inside = place == index
        found.append(
            {
                "lower": float(index / bins),
                "upper": float((index + 1) / bins),
                "proteins": int(inside.sum()),
                "confidence": float(score[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    ece = sum(b["proteins"] * abs(b["confidence"] - b["accuracy"]) for b in found) / len(references)
    return {"ece": float(ece), "bins": found}
