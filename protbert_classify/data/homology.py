"""Which proteins are copies of each other, and splits that keep copies together."""

import logging
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from datasets import Dataset, DatasetDict

from ..errors import OptionError

logger = logging.getLogger(__name__)

SHOWN = 3  # copies named in a warning; the rest are only counted


def add_validation(splits: DatasetDict, fraction: float, seed: int) -> DatasetDict:
    """Take a stratified part of `train` as `validation`, unless there is one or `fraction` is 0. Never the test set.

    Proteins with the same sequence go to the same side, and each class keeps at least one in `train`.

    Args:
        splits: Datasets with the columns `sequence` and `location`.
        fraction: Share of each class, 0 up to 1.
        seed: Of the choice.

    Raises:
        OptionError: `fraction` is out of its range.
    """
    if not 0 <= fraction < 1:
        raise OptionError(f"validation={fraction}: expected a share of the training proteins, 0 up to 1 (0.1, say)")
    if not fraction or "validation" in splits or "train" not in splits:
        return splits
    train = splits["train"]
    chosen = stratified_choice(train["sequence"][:], train["location"][:], fraction, seed)
    if not chosen.any():
        logger.warning(
            "too few training proteins to take %.0f%% of each class for validation: none taken", 100 * fraction
        )
        return splits
    parts = {
        "train": train.select(np.flatnonzero(~chosen)),
        "validation": train.select(np.flatnonzero(chosen)),
        **{name: part for name, part in splits.items() if name != "train"},
    }
    return DatasetDict(parts)


def stratified_choice(
    sequences: Sequence[str], labels: Sequence[int] | np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Choose a share of each class, identical sequences together.

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


def report_copies(splits: DatasetDict) -> None:
    """Log how many proteins share their sequence with another; warn where labels differ or splits share one."""
    members: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for split, part in splits.items():
        for accession, sequence, label in zip(part["id"][:], part["sequence"][:], part["location"][:], strict=True):
            members[sequence].append((split, accession, label))
    copies = [group for group in members.values() if len(group) > 1]
    if not copies:
        return
    extra = sum(len(group) - 1 for group in copies)
    logger.info("%d proteins have the sequence of another one; they are kept", extra)
    _warn("have the same sequence but different labels", [g for g in copies if len({label for *_, label in g}) > 1])
    _warn("stand in more than one split", [g for g in copies if len({split for split, *_ in g}) > 1])


def _warn(what: str, groups: list[list[tuple[str, str, int]]]) -> None:
    if not groups:
        return
    shown = "; ".join(", ".join(f"{accession} ({split})" for split, accession, _ in group) for group in groups[:SHOWN])
    more = f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
    logger.warning("%d groups of identical proteins %s: %s%s", len(groups), what, shown, more)


def keep_labelled_classes(splits: DatasetDict) -> list[str]:
    """The classes a model can learn: those of the training proteins, in the order of the dataset.

    Raises:
        OptionError: Another split has a class that `train` lacks.
    """
    names = splits["train"].features["location"].names
    present = {split: set(np.unique(part["location"][:]).tolist()) for split, part in splits.items()}
    for split, labels in present.items():
        unknown = sorted(labels - present["train"])
        if unknown:
            listed = ", ".join(f"{names[label]} (first of {_first(splits[split], label)})" for label in unknown)
            raise OptionError(
                f"the {split} split has classes that the training split lacks: {listed}; "
                "expected training proteins of every class: add some, or leave these classes out"
            )
    for split, labels in present.items():
        absent = sorted(present["train"] - labels)
        if absent:
            listed = ", ".join(names[label] for label in absent)
            logger.warning("the %s split has no protein of %s: no metrics for them there", split, listed)
    kept = [name for label, name in enumerate(names) if label in present["train"]]
    if len(kept) < 2:
        raise OptionError(
            f"the training proteins have one class only, {kept[0]!r}; expected two or more: are the column or the "
            "pattern of the labels right?"
        )
    if len(kept) < len(names):
        logger.info("no protein of %s: left out of the classes", ", ".join(n for n in names if n not in kept))
    return kept


def _first(proteins: Dataset, label: int) -> str:
    """The accession of the first protein of a class."""
    return str(proteins[proteins["location"][:].index(label)]["id"])


def sample(dataset: Dataset, count: int | None, seed: int) -> Dataset:
    """About `count` proteins for a quick look, every class among them."""
    if count is None or count >= len(dataset):
        return dataset
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(dataset))
    labels = np.asarray(dataset["location"][:])[order]
    # the first of each class, then the rest as they come
    first = np.unique(labels, return_index=True)[1]
    rest = np.setdiff1d(np.arange(len(order)), first)
    chosen = np.concatenate([first, rest])[: max(count, len(first))]
    return dataset.select(np.sort(order[chosen]))
