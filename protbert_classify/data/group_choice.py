"""Chooses whole groups of proteins for a split, with the same share of each class as far as the groups allow."""

import numpy as np


def choose_groups(
    groups: np.ndarray,
    strata: np.ndarray,
    labels: np.ndarray,
    wanted: np.ndarray,
    seed: int,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """Choose groups until each stratum has the proteins that are wanted of it, or no group would bring it nearer.

    Groups come in random order, so that a protein of a large family is as likely to be chosen as any other. Groups
    larger than a quarter of what is wanted come last, and those larger than all of it are left: otherwise, one family
    would decide what is measured. A label that should have proteins and has none gets its smallest group, unless that
    holds more than half of the label. No label loses all of its proteins.

    Args:
        groups: (N,), ints, the group of each protein.
        strata: (N,), ints, proteins that are alike.
        labels: (N, C), bool, the labels of each protein.
        wanted: (S,), ints, proteins to choose of each stratum, 0 to S - 1.
        seed: Of the order.
        allowed: (N,), bool, the proteins whose groups may be chosen; all if None.

    Returns:
        (N,), bool: True for the chosen.
    """
    choice = _Choice(groups, strata, labels, wanted)
    drawn = np.unique(choice.groups if allowed is None else choice.groups[allowed])
    drawn = np.random.default_rng(seed).permutation(drawn)
    share = int(wanted.sum())
    for most in (max(share // 4, 1), share):
        for group in drawn:
            if choice.sizes[group] <= most and choice.gain(group) > 0 and choice.leaves_labels(group):
                choice.take(group)
    for label in choice.missing():
        smallest = choice.smallest(drawn[choice.sizes[drawn] <= share], label)
        if smallest is not None:
            choice.take(smallest)
    return choice.taken[choice.groups]


class _Choice:
    """Groups that are taken, and what they hold.

    Shapes: G groups, S strata, C labels.
    """

    def __init__(self, groups: np.ndarray, strata: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> None:
        self.groups = np.unique(groups, return_inverse=True)[1]
        count = int(self.groups.max(initial=-1)) + 1
        self.sizes = np.bincount(self.groups, minlength=count)
        self.strata = np.zeros((count, len(wanted)), dtype=np.int64)  # (G, S) proteins
        np.add.at(self.strata, (self.groups, strata), 1)
        self.labels = np.zeros((count, labels.shape[1]), dtype=np.int64)  # (G, C) proteins
        np.add.at(self.labels, self.groups, labels)
        self.total = self.labels.sum(0)
        self.lacking = wanted.astype(np.int64).copy()  # below 0 where more was taken than wanted
        self.held = np.zeros(labels.shape[1], dtype=np.int64)
        self.taken = np.zeros(count, dtype=bool)
        # what a label might expect: that of its strata, in proportion
        share = wanted / np.maximum(self.strata.sum(0), 1)
        self.expected = np.zeros(labels.shape[1])
        np.add.at(self.expected, np.nonzero(labels)[1], share[strata[np.nonzero(labels)[0]]])

    def gain(self, group: int) -> int:
        """How much nearer the group brings the strata to what is wanted, in proteins."""
        if self.taken[group]:
            return 0
        return int((np.abs(self.lacking) - np.abs(self.lacking - self.strata[group])).sum())

    def leaves_labels(self, group: int) -> bool:
        own = self.labels[group]
        return bool((self.held + own < self.total)[own > 0].all())

    def take(self, group: int) -> None:
        self.taken[group] = True
        self.lacking -= self.strata[group]
        self.held += self.labels[group]

    def missing(self) -> np.ndarray:
        """The labels that might expect a protein and got none."""
        return np.flatnonzero((np.round(self.expected) >= 1) & (self.held == 0))

    def smallest(self, drawn: np.ndarray, label: int) -> int | None:
        """The smallest group of a label that may be taken."""
        own = self.labels[drawn, label]
        fit = drawn[(own > 0) & (2 * own <= self.total[label]) & ~self.taken[drawn]]
        fit = [group for group in fit if self.leaves_labels(group)]
        return min(fit, key=lambda group: self.sizes[group], default=None)
