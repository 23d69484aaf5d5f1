"""The split that a run is judged by: its metrics and how sure they are."""

import os
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..evaluation.intervals import bootstrap_intervals
from .run_folder import METRICS, Run

NAMES = ("proteins", "accuracy", "mcc", "macro_f1", "per_class", "confusion_matrix")


@dataclass(frozen=True)
class Judged:
    """Metrics of one split.

    Args:
        split: `test`, or without test proteins `validation`.
        metrics: `proteins`, `accuracy`, `mcc`, `macro_f1`, `per_class`, `confusion_matrix`.
        intervals: As `bootstrap_intervals` returns them, 95%.
    """

    split: str
    metrics: dict[str, Any]
    intervals: dict[str, Any]


def judged(run: Run) -> Judged | None:
    """The metrics of the test proteins, without any those of the validation proteins, else None.

    Raises:
        DataError: `metrics.json` lacks some of them.
    """
    for split in ("test", "validation"):
        if f"{split}_accuracy" in run.metrics:
            missing = [f"{split}_{name}" for name in NAMES if f"{split}_{name}" not in run.metrics]
            if missing:
                raise DataError(f"{os.path.join(run.folder, METRICS)}: damaged; found no {', '.join(missing)}")
            metrics = {name: run.metrics[f"{split}_{name}"] for name in NAMES}
            return Judged(split, metrics, bootstrap_intervals(metrics["confusion_matrix"]))
    return None
