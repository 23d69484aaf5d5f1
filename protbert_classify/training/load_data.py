"""The proteins of a training: read, split, and checked against the task that is learned about them."""

import dataclasses
import logging
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from ..data.fingerprint import fingerprint
from ..data.loading import read_proteins, reading_options
from ..data.split_strategies import HOMOLOGY
from ..data.splitting import (
    add_validation,
    keep_labelled_classes,
    merge_splits,
    report_copies,
    sample,
    whole,
    without_test_copies,
    without_unknown,
)
from ..data.test_neighbours import NearestTraining, find_test_neighbours
from ..errors import OptionError
from ..homology.neighbours import search_method
from ..model.tasks import REGRESSION, Task
from ..tasks.columns import infer_task
from ..tasks.targets import label_counts, targets
from .arguments import DataArguments

logger = logging.getLogger(__name__)


class PreparedSplits(DatasetDict):
    """The splits of a training, with notes on how they were made, for the record of the run.

    Args:
        splits: Name -> proteins.
        notes: What [`load_data`] notes.
        nearest: The nearest training proteins of the test proteins; None where nothing was searched.
    """

    def __init__(self, splits: DatasetDict, notes: dict[str, Any], nearest: NearestTraining | None = None) -> None:
        super().__init__(splits)
        self.notes = notes
        self.nearest = nearest


def load_data(arguments: DataArguments) -> tuple[PreparedSplits, tuple[Task, ...]]:
    """The proteins of a training and its tasks: the main task, then the auxiliary ones.

    Notes, beside those of [`load_splits`]: `test_neighbours`, test proteins that have a neighbour in training, None
    where nothing was searched; `neighbours_by`, what searched for them or for the split.

    Raises:
        InputError: Proteins or columns that cannot be used.
    """
    prepared = load_splits(arguments)
    splits = without_unknown(prepared, main_task(prepared, arguments))
    main = keep_labelled_classes(splits, main_task(splits, arguments))
    others = [
        dataclasses.replace(
            keep_labelled_classes(splits, infer_task(splits, column), auxiliary=True), weight=arguments.auxiliary_weight
        )
        for column in arguments.auxiliary_tasks
    ]
    splits["train"] = sample(splits["train"], arguments.max_train_samples, arguments.split_seed, main)
    nearest = nearest_training(splits, arguments)
    by_homology = arguments.split == HOMOLOGY
    notes = {
        **prepared.notes,
        "test_neighbours": None if nearest is None else nearest.count(arguments.split_identity),
        "neighbours_by": search_method() if by_homology or nearest is not None else None,
    }
    report_splits(splits, main)
    return PreparedSplits(splits, notes, nearest), (main, *others)


def nearest_training(splits: DatasetDict, arguments: DataArguments) -> NearestTraining | None:
    """The nearest training proteins of the test proteins, if the options ask for them: a search takes a while."""
    wanted = arguments.split == HOMOLOGY if arguments.test_neighbours is None else arguments.test_neighbours
    if not wanted:
        return None
    return find_test_neighbours(splits, arguments.split_identity, arguments.split_coverage)


def main_task(splits: DatasetDict, arguments: DataArguments) -> Task:
    """The task of the label columns."""
    return infer_task(splits, arguments.label_column, problem_type=arguments.problem_type, name=arguments.task_name)


def load_splits(arguments: DataArguments) -> PreparedSplits:
    """The splits `train`, `validation` and `test`, as far as the data has them, from one file or several.

    Notes: `source_fingerprint` of the training proteins as they were read; `test_copies`, training proteins left out
    because a test protein has their sequence.
    """
    options = reading_options(arguments)
    splits = read_proteins(arguments.data, **options)
    others = {"validation": arguments.validation_data, "test": arguments.test_data}
    for split, source in others.items():
        if source is not None:
            splits = merge_splits(splits, split, whole(read_proteins(source, **options)))
    if "train" not in splits:
        raise OptionError(f"{arguments.data}: no training proteins; found {', '.join(splits)} only")
    source = fingerprint(splits["train"], arguments.label_column)
    splits, copies = without_test_copies(splits)
    task = main_task(splits, arguments)
    limits = {"identity": arguments.split_identity, "coverage": arguments.split_coverage}
    splits = add_validation(splits, arguments.validation, arguments.split_seed, task, arguments.split, **limits)
    report_copies(splits, task)
    notes = {"source_fingerprint": source, "test_copies": copies}
    there = DatasetDict({name: splits[name] for name in ("train", "validation", "test") if name in splits})
    return PreparedSplits(there, notes)


def report_splits(splits: DatasetDict, task: Task) -> None:
    """Log the sizes of the splits, and the training proteins of each class or the range of each number."""
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in splits.items())
    train = splits["train"]
    described = _ranges(train, task) if task.problem_type == REGRESSION else _counts(train, task)
    logger.info("proteins: %s; %s in train: %s", sizes, task.name, described)


def _counts(train: Dataset, task: Task) -> str:
    counts = label_counts(train, task)
    return ", ".join(f"{label} {number:,}" for label, number in zip(task.labels, counts, strict=True))


def _ranges(train: Dataset, task: Task) -> str:
    parts = []
    for label, values in zip(task.labels, targets(train, task, lenient=True).T, strict=True):
        name = f"{label} " if len(task.labels) > 1 else ""
        parts.append(f"{name}{_range(values[np.isfinite(values)])}")
    return "; ".join(parts)


def _range(known: np.ndarray) -> str:
    if not len(known):
        return "no known number"
    low, middle, high = np.quantile(known, [0, 0.5, 1])
    return f"minimum {low:g}, median {middle:g}, maximum {high:g}"
