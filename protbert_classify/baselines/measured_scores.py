"""The scores of a simple classifier to decisions and metrics, as those of a model are.

Shapes: N proteins, C labels or numbers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import DatasetDict

from ..evaluation.decision import Decision, decide_task
from ..evaluation.metrics import task_metrics
from ..evaluation.thresholds import fit_thresholds
from ..model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from ..tasks.targets import targets

LEAST = 1e-12  # probability; its logarithm is finite


def measure(
    scores: Mapping[str, np.ndarray], splits: DatasetDict, task: Task
) -> tuple[dict[str, dict[str, Any]], dict[str, Decision]]:
    """Decide by scores, with thresholds of the validation proteins for several labels, and measure that.

    Args:
        scores: (N, C) of each split to measure: probabilities of the labels, or the numbers of a regression.
        splits: The proteins.
        task: What was learned.

    Returns:
        What [`task_metrics`] returns, and the answers, for each split.
    """
    references = {split: targets(splits[split], task) for split in scores}
    if task.problem_type == MULTI_LABEL and "validation" in scores:
        thresholds = fit_thresholds(scores["validation"], references["validation"])
        task = dataclasses.replace(task, thresholds=thresholds)
    decisions = {split: decide_task(_as_logits(values, task), task) for split, values in scores.items()}
    return {split: task_metrics(decision, references[split]) for split, decision in decisions.items()}, decisions


def _as_logits(scores: np.ndarray, task: Task) -> np.ndarray:
    """(N, C), the logits that the decision turns into these probabilities; numbers stay as they are."""
    if task.problem_type == REGRESSION:
        return scores
    bounded = np.clip(scores.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(bounded) if task.problem_type == SINGLE_LABEL else np.log(bounded) - np.log1p(-bounded)
