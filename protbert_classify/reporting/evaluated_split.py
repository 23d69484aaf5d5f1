"""The split that a run is evaluated on: its metrics and their intervals."""

import functools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..evaluation.decision import Decision
from ..evaluation.intervals import bootstrap_intervals, task_intervals
from ..evaluation.metrics import WATCHED
from ..evaluation.references import known_references
from ..model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from ..runs.files import METRICS
from ..runs.finished_run import Run

SCORES = [f"{before}{name}" for before in ("", "uncalibrated_") for name in ("ece", "brier", "nll")]
SPLITS = ("test", "validation")  # the first one with metrics is shown
TABLES = {SINGLE_LABEL: ("per_class", "confusion_matrix"), MULTI_LABEL: ("per_class",), REGRESSION: ("per_target",)}


@dataclass(frozen=True)
class EvaluatedSplit:
    """Metrics of one task on one split.

    Args:
        split: `test`, or without test proteins `validation`.
        task: The task.
        metrics: What [`task_metrics`] returns, also without calibration (`uncalibrated_ece`, ...) where the task is
            calibrated; of the main task also `proteins`. Runs of earlier versions lack those of [`score_metrics`] and
            `balanced_accuracy`.
        predictions: The answers for the proteins of the split, and the true ones; None where they were not written.
        groups: (N,), the same number for related proteins; None where it is not known which are.
    """

    split: str
    task: Task
    metrics: dict[str, Any]
    predictions: tuple[Decision, np.ndarray] | None = None
    groups: np.ndarray | None = None

    @property
    def known(self) -> int:
        """Proteins whose answer is known; of several labels or numbers, those of the one that is known for most."""
        if self.predictions is not None:
            known = known_references(self.predictions[1])
            return int((known if known.ndim == 1 else known.any(1)).sum())
        parts = {**self.metrics.get("per_class", {}), **self.metrics.get("per_target", {})}.values()
        counts = [part.get("support", part.get("n")) for part in parts]
        return sum(counts) if self.task.problem_type == SINGLE_LABEL else max(counts)

    @functools.cached_property
    def intervals(self) -> dict[str, Any]:
        """95% intervals, as [`task_intervals`] returns them; empty where the proteins themselves are not known.

        Of groups of related proteins, where these are known.
        """
        if self.predictions is not None and self.groups is not None:
            return task_intervals(*self.predictions, groups=self.groups)
        if self.task.problem_type == SINGLE_LABEL:
            return bootstrap_intervals(self.metrics["confusion_matrix"])
        return task_intervals(*self.predictions) if self.predictions is not None else {}


def evaluated_split(run: Run) -> EvaluatedSplit | None:
    """The metrics of the main task on the test proteins, without any on the validation proteins, else None.

    Raises:
        DataError: `metrics.json` lacks some of them.
    """
    for split in SPLITS:
        if _is_measured(run, run.task, f"{split}_"):
            return _evaluated(run, run.task, split, f"{split}_", ("proteins",))
    return None


def evaluated_auxiliary_tasks(run: Run, split: str) -> list[EvaluatedSplit]:
    """The metrics of the auxiliary tasks on a split, of those that were measured.

    Raises:
        DataError: `metrics.json` lacks some of them.
    """
    prefixes = [(task, f"{split}_{task.name}_") for task in run.tasks[1:]]
    return [_evaluated(run, task, split, prefix) for task, prefix in prefixes if _is_measured(run, task, prefix)]


def _is_measured(run: Run, task: Task, prefix: str) -> bool:
    return f"{prefix}{WATCHED[task.problem_type][0]}" in run.metrics


def _evaluated(run: Run, task: Task, split: str, prefix: str, more: tuple[str, ...] = ()) -> EvaluatedSplit:
    names = [*more, *WATCHED[task.problem_type], *TABLES[task.problem_type]]
    missing = [f"{prefix}{name}" for name in names if f"{prefix}{name}" not in run.metrics]
    if missing:
        raise DataError(f"{os.path.join(run.folder, METRICS)}: damaged; found no {', '.join(missing)}")
    predictions = run.predictions.of(task) if split == "test" and run.predictions is not None else None
    names += [name for name in (*SCORES, "balanced_accuracy") if f"{prefix}{name}" in run.metrics]
    groups = run.nearest.group if predictions is not None and run.nearest is not None else None
    return EvaluatedSplit(split, task, {name: run.metrics[f"{prefix}{name}"] for name in names}, predictions, groups)
