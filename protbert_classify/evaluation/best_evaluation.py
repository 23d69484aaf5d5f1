"""Which of a training's evaluations is the best: training keeps its checkpoint, and the report marks its epoch."""

import math
from collections.abc import Mapping
from typing import Any

Rank = tuple[float, float]


def metric_key(metric: str | None) -> str:
    """The name of Trainer's `metric_for_best_model` in an evaluation: `eval_mcc` for `mcc` and for `eval_mcc`."""
    return f"eval_{(metric or 'loss').removeprefix('eval_')}"


def rank(evaluation: Mapping[str, Any], metric: str | None, greater_is_better: bool) -> Rank:
    """What evaluations are compared by, larger is better: the metric and, where it ties, a lower validation loss.

    Args:
        evaluation: Metrics as Trainer logs them, `eval_loss` among them; without it, the loss decides nothing.
        metric: Trainer's `metric_for_best_model`.
        greater_is_better: Whether a higher value of it is better.
    """
    value = evaluation[metric_key(metric)]
    return value if greater_is_better else -value, -evaluation.get("eval_loss", math.inf)
