"""Splits of proteins: a validation split, sampling, merging, and checks of the labels in each."""

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features
from datasets import List as ListOf

from ..errors import DataError, OptionError
from ..homology.neighbours import COVERAGE, IDENTITY
from ..model.tasks import IGNORED, REGRESSION, SINGLE_LABEL, Task
from ..tasks.cells import names_of
from ..tasks.problem_type_registry import problem_type_of
from ..tasks.targets import accession, has_targets, targets
from .split_strategies import HOMOLOGY, IDENTICAL, STRATEGIES

logger = logging.getLogger(__name__)

FEW_PROTEINS = 20  # of which each may have a class of its own, in a first try
SHOWN = 3  # copies named in a warning; the rest are only counted


def add_validation(
    splits: DatasetDict,
    fraction: float,
    seed: int,
    task: Task,
    strategy: str = IDENTICAL,
    *,
    identity: float = IDENTITY,
    coverage: float = COVERAGE,
) -> DatasetDict:
    """Take a part of `train` as `validation`, unless there is one or `fraction` is 0. Never the test set.

    Args:
        splits: Datasets with `sequence` and the columns of the task.
        fraction: Share of the training proteins, 0 up to 1.
        seed: Of the choice.
        task: The main task.
        strategy: A name in `STRATEGIES`.
        identity: For `homology`, see [`find_neighbours`].
        coverage: For `homology`, see [`find_neighbours`].

    Raises:
        OptionError: No such strategy, or a number that is out of its range.
    """
    if strategy not in STRATEGIES:
        raise OptionError(f"split={strategy!r}: expected one of {', '.join(STRATEGIES)}")
    if not 0 <= fraction < 1:
        raise OptionError(f"validation={fraction}: expected a share of the training proteins, 0 up to 1 (0.1, say)")
    if not fraction or "validation" in splits or "train" not in splits:
        return splits
    train = splits["train"]
    limits = {"identity": identity, "coverage": coverage} if strategy == HOMOLOGY else {}
    chosen = STRATEGIES[strategy](train, task, fraction, seed, **limits)
    if not chosen.any():
        logger.warning("too few training proteins to take %.0f%% of them for validation: none taken", 100 * fraction)
        return splits
    parts = {
        "train": train.select(np.flatnonzero(~chosen)),
        "validation": train.select(np.flatnonzero(chosen)),
        **{name: part for name, part in splits.items() if name != "train"},
    }
    return DatasetDict(parts)


def without_test_copies(splits: DatasetDict) -> tuple[DatasetDict, int]:
    """Leave out the training proteins whose sequence a test protein has.

    Returns:
        The splits, and how many proteins were left out.

    Raises:
        DataError: No training protein is left.
    """
    if "train" not in splits or "test" not in splits:
        return splits, 0
    tested = set(splits["test"]["sequence"][:])
    copies = np.array([sequence in tested for sequence in splits["train"]["sequence"][:]])
    if copies.all():
        raise DataError("every training protein has the sequence of a test protein; expected other training proteins")
    if copies.any():
        proteins = f"{copies.sum():,} training protein{'' if copies.sum() == 1 else 's'}"
        logger.info("%s with the sequence of a test protein left out", proteins)
        splits = DatasetDict({**splits, "train": splits["train"].select(np.flatnonzero(~copies))})
    return splits, int(copies.sum())


def report_copies(splits: DatasetDict, task: Task) -> None:
    """Log how many proteins share their sequence with another; warn where labels differ or splits share one."""
    members: dict[str, list[tuple[str, str, bytes]]] = defaultdict(list)
    for split, part in splits.items():
        answers = targets(part, task, lenient=True)
        for name, sequence, answer in zip(part["id"][:], part["sequence"][:], answers, strict=True):
            members[sequence].append((split, name, answer.tobytes()))
    copies = [group for group in members.values() if len(group) > 1]
    if not copies:
        return
    extra = sum(len(group) - 1 for group in copies)
    logger.info("%d proteins have the sequence of another one; they are kept", extra)
    _warn("have the same sequence but different labels", [g for g in copies if len({label for *_, label in g}) > 1])
    _warn("stand in more than one split", [g for g in copies if len({split for split, *_ in g}) > 1])


def _warn(what: str, groups: list[list[tuple[str, str, bytes]]]) -> None:
    if not groups:
        return
    shown = "; ".join(", ".join(f"{accession} ({split})" for split, accession, _ in group) for group in groups[:SHOWN])
    more = f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
    logger.warning("%d groups of identical proteins %s: %s%s", len(groups), what, shown, more)


def keep_labelled_classes(splits: DatasetDict, task: Task, *, auxiliary: bool = False) -> Task:
    """The task with the labels that a model can learn: those of the training proteins, in their order.

    Args:
        splits: `train` and others.
        task: Main or auxiliary. A regression is returned as it is.
        auxiliary: Whether a label that only another split has is an unknown answer there instead of an error.

    Raises:
        OptionError: Another split has a label that `train` lacks; `train` has a single class, or about as many classes
            as proteins.
    """
    if task.problem_type == REGRESSION:
        return task
    parts = {split: part for split, part in splits.items() if has_targets(part, task)}
    if "train" not in parts:
        raise OptionError(f"no column {task.name!r} in the training proteins")
    answers = {split: targets(part, task, lenient=auxiliary) for split, part in parts.items()}
    proteins = {split: problem_type_of(task).present(values, task) for split, values in answers.items()}
    present = {split: values.any(0) for split, values in proteins.items()}
    trained = present["train"]
    if task.problem_type == SINGLE_LABEL:
        _check_shared(int(trained.sum()), len(parts["train"]), task.name, auxiliary)
    for split, found in present.items():
        unknown = np.flatnonzero(found & ~trained)
        if len(unknown) and not auxiliary:
            first = {label: accession(parts[split], int(proteins[split][:, label].argmax())) for label in unknown}
            listed = ", ".join(f"{task.labels[int(label)]} (first in {name})" for label, name in first.items())
            option = "; ambiguous=drop leaves out Cytoplasm-Nucleus" if "Cytoplasm-Nucleus" in listed else ""
            raise OptionError(
                f"the {split} split has classes that no training protein has: {listed}; add training proteins of "
                f"these classes, or remove their proteins from the {split} split{option}"
            )
    for split, found in present.items():
        absent = [task.labels[int(label)] for label in np.flatnonzero(trained & ~found)]
        if absent:
            classes = "this class" if len(absent) == 1 else "these classes"
            logger.warning("the %s split has no protein of %s: no metrics of %s", split, ", ".join(absent), classes)
    return _with_labels(task, trained)


def _check_shared(classes: int, proteins: int, column: str, auxiliary: bool) -> None:
    """Refuse a column that gives about each protein a class of its own: of accessions, say, or of measurements.

    Raises:
        OptionError: Names the column, how many classes and proteins there are, and the option to change.
    """
    if proteins > FEW_PROTEINS and classes > proteins / 2:
        advice = "set label_column to their column, or problem_type=regression if these are numbers"
        if auxiliary:
            advice = "name their column in auxiliary_tasks, or leave this one out"
        raise OptionError(
            f"column {column!r} has {classes:,} classes in {proteins:,} training proteins; expected classes that "
            f"several proteins share: {advice}"
        )


def _with_labels(task: Task, trained: Any) -> Task:
    """The task with the labels whose place in `trained`, (C,), is True."""
    kept = [label for label, there in zip(task.labels, trained, strict=True) if there]
    if len(kept) < 2:
        found = f"one class only, {kept[0]!r}" if kept else "no class"
        advice = "are the column or the pattern of the labels right?"
        if kept and task.problem_type != SINGLE_LABEL:
            advice = "write it as two classes, such as yes and no"
        raise OptionError(f"the training proteins have {found} of {task.name!r}; expected two or more: {advice}")
    if len(kept) < len(task.labels):
        logger.info("no protein of %s: left out of the classes", ", ".join(n for n in task.labels if n not in kept))
    return dataclasses.replace(task, labels=kept)


def without_unknown(splits: DatasetDict, task: Task) -> DatasetDict:
    """Only the proteins whose answer to the main task is known.

    Raises:
        DataError: No protein is left.
    """
    kept: dict[str, Dataset] = {}
    for split, part in splits.items():
        answers = targets(part, task)
        known = answers != IGNORED if answers.ndim == 1 else np.isfinite(answers).any(1)
        if not known.all():
            named = ", ".join(task.unknown)
            logger.info("%d proteins of %s with unknown %s (%s) left out", (~known).sum(), split, task.name, named)
            part = part.select(np.flatnonzero(known))
        if len(part):
            kept[split] = part
    if not kept:
        raise DataError(f"no protein whose {task.name} is known; found {', '.join(task.unknown)} only")
    return DatasetDict(kept)


def sample(dataset: Dataset, count: int | None, seed: int, task: Task) -> Dataset:
    """About `count` proteins, with every label among them, for a quick look."""
    if count is None or count >= len(dataset):
        return dataset
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(dataset))
    present = problem_type_of(task).present(targets(dataset, task, lenient=True), task)[order]
    # the first of each label, then the rest as they come
    first = np.array([present[:, label].argmax() for label in np.flatnonzero(present.any(0))], dtype=np.int64)
    first = first[np.sort(np.unique(first, return_index=True)[1])]
    rest = np.setdiff1d(np.arange(len(order)), first)
    chosen = np.concatenate([first, rest])[: max(count, len(first))]
    return dataset.select(np.sort(order[chosen]))


def whole(splits: DatasetDict) -> Dataset:
    """All proteins as one dataset, whatever splits they are in."""
    return datasets.concatenate_datasets(list(splits.values()))


def merge_splits(splits: DatasetDict, name: str, proteins: Dataset) -> DatasetDict:
    """`splits` with `proteins` as the split `name`, all with the same columns and one set of classes in each.

    A column that some of them lack has no values there.

    Raises:
        DataError: A column that is of one type here and of another there.
    """
    parts = {**splits, name: proteins}
    columns: dict[str, list[Any]] = defaultdict(list)
    for part in parts.values():
        for column, feature in part.features.items():
            columns[column].append(feature)
    features = Features({column: _common(column, found) for column, found in columns.items()})
    return DatasetDict({key: _recast(part, features) for key, part in parts.items()})


def _common(column: str, features: Sequence[Any]) -> Any:
    """The feature that holds the values of all splits."""
    first = features[0]
    if all(feature == first for feature in features):
        return first
    names: list[str] = []
    for feature in features:
        found = names_of(feature)
        if found is None or type(feature) is not type(first):
            raise DataError(f"column {column!r} is {feature} in one split and {first} in another; expected the same")
        names += [label for label in found if label not in names]
    merged = ClassLabel(names=sorted(names))
    return ListOf(merged) if isinstance(first, ListOf) else merged


def _recast(proteins: Dataset, features: Features) -> Dataset:
    """A dataset with other features: classes keep their names, missing columns get no values."""
    if proteins.features == features:
        return proteins
    columns: dict[str, Any] = {}
    for column, feature in features.items():
        if column not in proteins.column_names:
            columns[column] = [None] * len(proteins)
            continue
        columns[column] = proteins[column][:]
        if proteins.features[column] != feature:
            columns[column] = _renumbered(columns[column], names_of(proteins.features[column]), names_of(feature))
    return Dataset.from_dict(columns, features=features)


def _renumbered(cells: list[Any], old: list[str] | None, new: list[str] | None) -> list[Any]:
    """Indices of classes, or lists of them, in the order of other names."""
    table = [(new or []).index(name) for name in old or []]
    return [
        None if cell is None else [table[part] for part in cell] if isinstance(cell, list) else table[cell]
        for cell in cells
    ]
