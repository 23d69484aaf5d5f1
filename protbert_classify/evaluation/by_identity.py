"""How good predictions are for test proteins that are more or less similar to training proteins."""

from typing import Any

import numpy as np

from ..model.tasks import SINGLE_LABEL
from .decision import Decision
from .intervals import task_intervals
from .metrics import BEST_METRIC, task_metrics
from .references import known_references

EDGES = (0.0, 0.3, 0.5)  # identities at which a step begins
NO_NEIGHBOUR = "no neighbour"
STEPS = ("below 30%", "30% to 50%", "50% or more")
FEWEST = 30  # proteins of a step, known ones, below which its metrics say little


def identity_metrics(problem_type: str) -> tuple[str, ...]:
    """The metrics that each step has."""
    return ("accuracy", "macro_f1", "mcc") if problem_type == SINGLE_LABEL else (BEST_METRIC[problem_type],)


def metrics_by_identity(
    decision: Decision, references: np.ndarray, identity: np.ndarray, groups: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """The metrics of test proteins without a similar training protein, and of those with one, in steps of identity.

    Args:
        decision: For N proteins.
        references: As [`task_metrics`] takes them; proteins without a known one are left out.
        identity: (N,), 0..1, with the nearest training protein; NaN without a neighbour.
        groups: (N,), see [`task_intervals`].

    Returns:
        For each step, the least similar proteins first: `nearest` (its name), `proteins`, and for each of
        [`identity_metrics`] its value under its name and [low, high], its 95% interval, under `{name}_interval`. Both
        are None in a step of fewer than `FEWEST` proteins, and where the metric has none, as the MCC of a step of a
        single class; the interval also where [`task_intervals`] has none.
    """
    known = known_references(np.asarray(references))
    rows = known if known.ndim == 1 else known.any(1)
    step = np.where(np.isnan(identity), 0, np.searchsorted(EDGES, np.nan_to_num(identity), side="right"))
    return [
        {"nearest": name, **_step_metrics(decision, references, groups, np.flatnonzero(rows & (step == number)))}
        for number, name in enumerate((NO_NEIGHBOUR, *STEPS))
    ]


def _step_metrics(
    decision: Decision, references: np.ndarray, groups: np.ndarray | None, rows: np.ndarray
) -> dict[str, Any]:
    names = identity_metrics(decision.task.problem_type)
    if len(rows) < FEWEST:
        return {"proteins": len(rows), **{key: None for name in names for key in (name, f"{name}_interval")}}
    part, true = decision[rows], np.asarray(references)[rows]
    values = task_metrics(part, true)
    intervals = task_intervals(part, true, groups=None if groups is None else groups[rows])
    step: dict[str, Any] = {"proteins": len(rows)}
    if decision.task.problem_type == SINGLE_LABEL and len(np.unique(true)) == 1:
        values["mcc"] = intervals["mcc"] = None  # 0 by convention, which would look like a useless model
    for name in names:
        pair = intervals[name]
        step |= {name: values[name], f"{name}_interval": None if pair is None else list(pair)}  # as JSON has it
    return step
