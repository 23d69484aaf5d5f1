"""How near some proteins are to those that a model is trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .neighbours import Neighbours

STEPS = (0.0, 0.3, 0.5, 0.9, 1.0)  # identities at which a new group of test proteins begins
GROUPS = ("below 30%", "30% to 50%", "50% to 90%", "90% or more", "100%")


class Step(NamedTuple):
    """Test proteins whose nearest training protein is about as near."""

    name: str
    proteins: int
    share: float  # of the test proteins
    agreeing: float | None  # share whose nearest training protein has the same label; None where unknown


def nearest_steps(
    nearest: Neighbours, proteins: int, test_labels: Sequence[str] | None, train_labels: Sequence[str] | None
) -> list[Step]:
    """Count test proteins by the identity of the nearest training protein.

    Args:
        nearest: See [`Neighbours.nearest`].
        proteins: How many were searched with.
        test_labels: Of each of them; None where unknown.
        train_labels: Of each protein that was searched.

    Returns:
        Those without a neighbour, then those of each of `GROUPS`.
    """
    without = proteins - len(nearest)
    steps = [Step("no neighbour", without, without / proteins, None)]
    step = np.searchsorted(STEPS, nearest.identity, side="right") - 1
    agree = agreement(nearest, test_labels, train_labels)
    for number, name in enumerate(GROUPS):
        inside = step == number
        known = agree[inside & ~np.isnan(agree)] if agree is not None else np.zeros(0)
        share = float(known.mean()) if len(known) else None
        steps.append(Step(name, int(inside.sum()), float(inside.sum() / proteins), share))
    return steps


def agreement(
    neighbours: Neighbours, test_labels: Sequence[str] | None, train_labels: Sequence[str] | None
) -> np.ndarray | None:
    """(P,), 1 where the proteins of a pair have the same label, 0 where not, NaN where one is unknown (empty)."""
    if test_labels is None or train_labels is None:
        return None
    test = np.asarray(test_labels, dtype=object)[neighbours.query]
    train = np.asarray(train_labels, dtype=object)[neighbours.target]
    return np.where((test == "") | (train == ""), np.nan, (test == train).astype(float))
