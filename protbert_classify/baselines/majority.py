"""The same answer for every protein: the shares of the labels, or the means of the numbers, in training."""

import numpy as np
from datasets import DatasetDict

from ..model.tasks import REGRESSION, Task
from ..tasks.problem_type_registry import problem_type_of
from ..tasks.targets import targets


def majority(splits: DatasetDict, task: Task) -> dict[str, np.ndarray]:
    """Scores of a classifier that does not look at the sequence."""
    shares = training_shares(splits, task)
    return {name: np.tile(shares, (len(part), 1)) for name, part in splits.items() if name != "train"}


def training_shares(splits: DatasetDict, task: Task) -> np.ndarray:
    """(C,), the share of the training proteins that have each label; of a regression, the mean of each number."""
    answers = targets(splits["train"], task, lenient=True)
    if task.problem_type == REGRESSION:
        return np.nanmean(answers, axis=0)
    if answers.ndim == 2:
        return np.nan_to_num(np.nanmean(answers, axis=0))
    present = problem_type_of(task).present(answers, task)
    return present.sum(0) / max(present.sum(), 1)
