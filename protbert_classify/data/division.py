"""Divides proteins into training, validation and test proteins, or into folds."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset

from ..errors import OptionError
from ..homology.groups import GroupSearch
from ..homology.neighbours import describe_limits
from ..model.tasks import REGRESSION, Task
from ..tasks.targets import accession, strata
from .alphabet import unspace
from .group_choice import choose_groups
from .split_strategies import present_labels, wanted_proteins

TRAIN, VALIDATION = "train", "validation"
# what stays together
KINDS = {"homology": "groups of neighbours", "identical": "groups of equal sequences", "random": "proteins"}
ADVICE = "; a higher split_identity makes smaller groups, and split=identical does not keep neighbours together"


class Division:
    """Proteins, what must stay together, and what is balanced.

    Args:
        dataset: N proteins.
        task: The main task.
        strategy: `homology`, `identical` or `random`.
        identity: For `homology`, see [`find_neighbours`].
        coverage: For `homology`, see [`find_neighbours`].

    Raises:
        OptionError: A class of one protein, or with all of its proteins in one group.
    """

    def __init__(self, dataset: Dataset, task: Task, strategy: str, identity: float, coverage: float) -> None:
        self.task, self.strategy = task, strategy
        self.stratum = np.unique(strata(dataset, task), return_inverse=True)[1]
        self.labels = present_labels(dataset, task)
        self._check_members(dataset)
        self.search: GroupSearch | None = None
        if strategy == "homology":
            self.search = GroupSearch([unspace(sequence) for sequence in dataset["sequence"][:]], identity, coverage)
            every = np.arange(len(dataset))
            self.search.extend(every >= 0, every)
            self.groups = self.search.group
        elif strategy == "identical":
            self.groups = np.unique(dataset["sequence"][:], return_inverse=True)[1]
        else:
            self.groups = np.arange(len(dataset))
        self._check_groups()

    def into_parts(self, shares: Mapping[str, float], seed: int) -> np.ndarray:
        """Choose the proteins of each part; the rest is `train`.

        Args:
            shares: Name of a part -> its share of all proteins, 0 up to 1.
            seed: Of the choice.

        Returns:
            (N,), str.

        Raises:
            OptionError: A part other than `validation` that lacks a class.
        """
        parts = np.full(len(self.groups), TRAIN, dtype=object)
        for name, share in shares.items():
            rest = np.flatnonzero(parts == TRAIN)
            own = np.bincount(self.stratum[rest], minlength=self.stratum.max() + 1)
            wanted = wanted_proteins(self.stratum, share)
            if name != VALIDATION:
                wanted = np.maximum(wanted, 1)  # a class that is not tested is refused below
            wanted = np.clip(wanted, 0, np.maximum(own - 1, 0))
            given = self.groups[rest], self.stratum[rest], self.labels[rest]
            parts[rest[choose_groups(*given, wanted, seed)]] = name
        self._check_parts(parts, [name for name in (TRAIN, *shares) if name != VALIDATION])
        return parts

    def into_folds(self, count: int, seed: int) -> np.ndarray:
        """Divide the proteins into folds of about equal size.

        Args:
            count: Folds, 2 or more.
            seed: Of the choice.

        Returns:
            (N,), ints from 1.

        Raises:
            OptionError: A fold that lacks a class.
        """
        from sklearn.model_selection import StratifiedGroupKFold  # half a second

        if count > len(np.unique(self.groups)):
            raise OptionError(
                f"folds={count}: found {len(np.unique(self.groups))} {KINDS[self.strategy]}, expected as many or more"
            )
        divider = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        folds = np.zeros(len(self.groups), dtype=np.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of rare classes, which are checked below
            try:
                chosen = list(divider.split(self.groups, self.stratum, self.groups))
            except ValueError:  # no class has so many proteins
                raise OptionError(f"folds={count}: no class has {count} proteins; expected fewer folds") from None
        for number, (_, rows) in enumerate(chosen, 1):
            folds[rows] = number
        self._check_parts(folds, range(1, count + 1))
        return folds

    def describe(self, parts: np.ndarray) -> str:
        """What stayed together, and whether neighbours are in different parts, (N,), in a sentence."""
        count = len(np.unique(self.groups))
        if self.search is None:
            return f"{count:,} {KINDS[self.strategy]}"
        first, second = self.search.pairs
        torn = len(np.unique(first[parts[first] != parts[second]]))
        limits = describe_limits(**self.search.limits, method=self.search.method)
        return (
            f"{count:,} {KINDS[self.strategy]}, the largest of {np.bincount(self.groups).max():,} proteins; {torn} "
            f"proteins have a neighbour in another part: {limits}, found by {self.search.method}"
        )

    def _check_members(self, dataset: Dataset) -> None:
        if self.task.problem_type == REGRESSION:
            return
        for label in np.flatnonzero(self.labels.sum(0) == 1).tolist():
            name = accession(dataset, int(self.labels[:, label].argmax()))
            raise OptionError(
                f"class {self.task.labels[label]!r} has one protein, {name}; expected two or more, for training and "
                "for testing: add some, or leave it out"
            )

    def _check_groups(self) -> None:
        if self.task.problem_type == REGRESSION:
            return
        for label in np.flatnonzero(self.labels.any(0)).tolist():
            if self._count_groups(label) == 1:
                raise OptionError(
                    f"all {self.labels[:, label].sum()} proteins of class {self.task.labels[label]!r} are in one of "
                    f"the {KINDS[self.strategy]}; expected two or more, for training and for testing{self._advice}"
                )

    def _check_parts(self, parts: np.ndarray, needed: Sequence[str | int]) -> None:
        if self.task.problem_type == REGRESSION:
            return
        for name in needed:
            for label in np.flatnonzero(self.labels.any(0) & ~self.labels[parts == name].any(0)).tolist():
                raise OptionError(
                    f"{f'fold {name}' if isinstance(name, int) else f'the {name} split'} would have none of the "
                    f"{self.labels[:, label].sum()} proteins of class {self.task.labels[label]!r}, which are in "
                    f"{self._count_groups(label)} {KINDS[self.strategy]}; expected every class: add proteins, or leave "
                    f"it out{self._advice}"
                )

    @property
    def _advice(self) -> str:
        return ADVICE if self.strategy == "homology" else ""

    def _count_groups(self, label: int) -> int:
        return len(np.unique(self.groups[self.labels[:, label]]))
