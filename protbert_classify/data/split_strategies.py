"""Ways to choose the proteins of a new split, by name: `homology` is the default of `train`, `identical` of Python."""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from datasets import Dataset

from ..homology.groups import GroupSearch
from ..homology.neighbours import COVERAGE, IDENTITY, describe_limits
from ..model.registry import Registry
from ..model.tasks import REGRESSION, Task
from ..tasks.problem_type_registry import problem_type_of
from ..tasks.targets import strata, targets
from .alphabet import unspace
from .group_choice import choose_groups

logger = logging.getLogger(__name__)

# Chooses the proteins of a new split: (dataset, task, fraction, seed, ...) -> (N,) bool, True for the chosen.
Strategy = Callable[..., np.ndarray]
STRATEGIES: Registry[Strategy] = Registry("split")

HOMOLOGY, IDENTICAL = "homology", "identical"
SPARE = 1.25  # times what is wanted, the proteins that a search begins with: some belong to groups that are too large
FEW = 2000  # proteins that are all searched at once: starting the program takes as long
ENOUGH = 0.9  # of what is wanted of a class


@STRATEGIES.register(HOMOLOGY)
def homology(
    dataset: Dataset,
    task: Task,
    fraction: float,
    seed: int,
    *,
    identity: float = IDENTITY,
    coverage: float = COVERAGE,
) -> np.ndarray:
    """About the same share of each class, without a neighbour of any protein that stays.

    Groups of neighbours go to one side. Each label that has proteins keeps at least one; one whose proteins are all in
    one group, or mostly in one large group, gives none.

    Args:
        dataset: N proteins.
        task: Whose classes, combinations of labels or quantiles are balanced.
        fraction: Share to choose, 0..1.
        seed: Of the choice.
        identity: Of neighbours, see [`find_neighbours`].
        coverage: Of neighbours.

    Returns:
        (N,), bool: True for the chosen.
    """
    search = GroupSearch([unspace(sequence) for sequence in dataset["sequence"][:]], identity, coverage)
    stratum = np.unique(strata(dataset, task), return_inverse=True)[1]
    labels = present_labels(dataset, task)
    wanted = wanted_proteins(stratum, fraction)
    order = np.random.default_rng(seed).permutation(len(dataset))
    place = _places(stratum, seed)
    share = np.full(len(wanted), 1 if len(dataset) <= FEW else SPARE * fraction)
    while True:
        seeds = place < share[stratum]
        search.extend(seeds, order, most=int(wanted.sum()))
        allowed = search.complete & search.led_by(seeds, order)
        chosen = choose_groups(search.group, stratum, labels, wanted, seed, allowed)
        short = (np.bincount(stratum[chosen], minlength=len(wanted)) < ENOUGH * wanted) & (share < 1)
        if not short.any():
            break
        share[short] *= 2
    _report(search, chosen, identity, coverage)
    _report_missing(search, chosen, labels, task)
    return chosen


@STRATEGIES.register(IDENTICAL)
def identical(dataset: Dataset, task: Task, fraction: float, seed: int) -> np.ndarray:
    """The same share of each class, combination of labels or quantile.

    Proteins with the same sequence go to the same side, and each label that has proteins keeps at least one.
    """
    return _stratified(dataset["sequence"][:], dataset, task, fraction, seed)


@STRATEGIES.register("random")
def random(dataset: Dataset, task: Task, fraction: float, seed: int) -> np.ndarray:
    """The same share of each class, combination of labels or quantile; each label that has proteins keeps one."""
    return _stratified([str(row) for row in range(len(dataset))], dataset, task, fraction, seed)


def _stratified(names: Sequence[str], dataset: Dataset, task: Task, fraction: float, seed: int) -> np.ndarray:
    """A share of each stratum; proteins of the same name stay together."""
    chosen = stratified_choice(names, strata(dataset, task), fraction, seed)
    if task.problem_type == REGRESSION:
        return chosen
    # combinations overlap: without this, all proteins of a rare label could be chosen with those of others
    present = present_labels(dataset, task)
    for label in np.flatnonzero(present.any(0) & ~present[~chosen].any(0)):
        kept = names[int(np.flatnonzero(present[:, label])[0])]
        chosen &= np.array([name != kept for name in names])
    return chosen


def stratified_choice(
    sequences: Sequence[str], labels: Sequence[int] | np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Choose a share of each stratum, identical sequences together.

    Returns:
        (N,), bool: True for the chosen.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, sequence in enumerate(sequences):
        members[sequence].append(index)
    labels = np.asarray(labels)
    chosen = np.zeros(len(labels), dtype=bool)
    groups = list(members.values())
    group_label = np.array([labels[group[0]] for group in groups])
    generator = np.random.default_rng(seed)
    for label in np.unique(group_label):
        candidates = generator.permutation(np.flatnonzero(group_label == label))
        wanted = min(round(fraction * len(candidates)), len(candidates) - 1)
        for group in candidates[:wanted]:
            chosen[groups[group]] = True
    return chosen


def present_labels(dataset: Dataset, task: Task) -> np.ndarray:
    """(N, C), bool: the proteins that have each label; of numbers, those whose number is known."""
    return problem_type_of(task).present(targets(dataset, task, lenient=True), task)


def wanted_proteins(stratum: np.ndarray, fraction: float) -> np.ndarray:
    """(S,), ints: how many proteins of each stratum, 0 to S - 1, are its share, but not all of them."""
    sizes = np.bincount(stratum)
    return np.minimum(np.round(fraction * sizes), sizes - 1).astype(np.int64)


def _places(stratum: np.ndarray, seed: int) -> np.ndarray:
    """(N,), 0 up to 1: where each protein is in a random order of its stratum."""
    order = np.lexsort((np.random.default_rng(seed).random(len(stratum)), stratum))
    sizes = np.bincount(stratum)
    starts = np.cumsum(sizes) - sizes
    places = np.empty(len(stratum))
    places[order] = (np.arange(len(stratum)) - starts[stratum[order]]) / sizes[stratum[order]]
    return places


def _report(search: GroupSearch, chosen: np.ndarray, identity: float, coverage: float) -> None:
    sizes = np.bincount(search.group[chosen])
    groups = f"in {np.count_nonzero(sizes):,} groups of neighbours, the largest of {sizes.max(initial=0):,}"
    logger.info(
        "validation: %s proteins%s; %d of them have a neighbour in training: %s, found by %s",
        f"{chosen.sum():,}",
        f" {groups}" if sizes.max(initial=0) > 1 else ", of which no two are related",
        search.count_torn(chosen),
        describe_limits(identity, coverage, search.method),
        search.method,
    )


def _report_missing(search: GroupSearch, chosen: np.ndarray, labels: np.ndarray, task: Task) -> None:
    """Name the labels that gave no protein because few groups hold them."""
    for label in np.flatnonzero(labels.any(0) & ~labels[chosen].any(0)).tolist():
        own = labels[:, label]
        largest = int(np.bincount(search.group[own]).max())
        if largest > own.sum() / 2 and own.sum() > 1:
            logger.warning(
                "%s: %d of its %d proteins are in one group of neighbours, which stays in training; none is taken for "
                "validation", task.labels[label], largest, own.sum(),
            )  # fmt: skip
