"""Figures of the training: loss and metrics over the epochs."""

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from ..evaluation.best_evaluation import metric_key, rank
from ..evaluation.metrics import BEST_METRIC, NAMES, WATCHED, higher_is_better
from ..model.losses import USUAL_LOSS
from ..model.tasks import Task
from .figures import COLOURS, GREY, LINES, MARKERS, WIDE, WIDTH, new_figure, styled

IN_A_ROW = 3  # panels; four make two rows
LEGEND_INSIDE = 4  # curves; the names of more would lie on them
LEGEND_LINE = 0.2  # inches
STYLE: dict[str, Any] = {"markersize": 5, "clip_on": False}  # points on the edge are drawn whole


def curve(log: Sequence[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Epochs and values of what Trainer logged under a name.

    Args:
        log: Trainer's `log_history`.
        name: `loss`, `eval_loss`, `eval_mcc`, ...
    """
    entries = [entry for entry in log if name in entry and "epoch" in entry]
    return [entry["epoch"] for entry in entries], [entry[name] for entry in entries]


def best_epoch(log: Sequence[dict[str, Any]], metric: str | None) -> float | None:
    """The epoch whose weights are kept: with the best value in validation and, of equal ones, the lowest loss.

    Args:
        log: Trainer's `log_history`.
        metric: Trainer's `metric_for_best_model`; of a loss or an error the lowest is best.
    """
    name = metric_key(metric)
    evaluations = [entry for entry in log if name in entry and "epoch" in entry]
    best = max(evaluations, key=lambda entry: rank(entry, metric, higher_is_better(name)), default=None)
    return None if best is None else best["epoch"]


@styled
def draw_curves(log: Sequence[dict[str, Any]], kept: float | None, tasks: Sequence[Task]) -> Any:
    """Loss and, if there were validation proteins, their metrics, over the epochs.

    Errors, which have a unit and of which the lowest is best, have a panel of their own. Auxiliary tasks share one,
    with a metric each.

    Args:
        log: Trainer's `log_history`.
        kept: Epoch whose weights are the model; None for the last.
        tasks: The main task, and behind it the auxiliary ones.
    """
    groups = _metric_groups(log, tasks)
    count = 1 + len(groups)
    columns = count if count <= IN_A_ROW else math.ceil(count / 2)
    rows = math.ceil(count / columns)
    under = max([0, *(math.ceil((len(names) + 1) / 2) for names in groups.values() if len(names) > LEGEND_INSIDE)])
    height = rows * (3.5 + LEGEND_LINE * under)
    figure, grid = new_figure(rows, columns, size=(WIDE if groups else WIDTH, height), squeeze=False)
    panels = list(grid.flat)
    _draw_loss(panels[0], log, loss_name(tasks))
    for axes, (title, names) in zip(panels[1:], groups.items()):
        _draw_metrics(axes, log, names)
        axes.set_title(title)
    for axes in panels[:count]:
        if kept is not None:
            axes.axvline(kept, color=GREY, linewidth=1, linestyle=":", label=f"kept: epoch {kept:g}")
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0)
        axes.grid()
        many = len(axes.get_lines()) > LEGEND_INSIDE + 1
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18), "ncols": 2}
        axes.legend(**(below if many else {"loc": "best"}))
    for axes in panels[count:]:
        axes.remove()
    return figure


def _metric_groups(log: Sequence[dict[str, Any]], tasks: Sequence[Task]) -> dict[str, list[str]]:
    """The metrics that were logged: title of a panel -> names."""
    main, *others = tasks
    beside = [f"{task.name}_{BEST_METRIC[task.problem_type]}" for task in others]
    groups = {
        "metrics, validation": [name for name in WATCHED[main.problem_type] if higher_is_better(name)],
        "error, validation": [name for name in WATCHED[main.problem_type] if not higher_is_better(name)],
        "auxiliary tasks, validation": beside,
    }
    logged = {title: [name for name in names if curve(log, f"eval_{name}")[0]] for title, names in groups.items()}
    return {title: names for title, names in logged.items() if names}


def loss_name(tasks: Sequence[Task]) -> str:
    """What was minimised."""
    if len(tasks) > 1:
        return "loss of all tasks"
    name = tasks[0].loss or USUAL_LOSS[tasks[0].problem_type]
    words = name.replace("_", " ").replace("cross entropy", "cross-entropy")
    return words if words.endswith("error") else f"{words} loss"


def _draw_loss(axes: Any, log: Sequence[dict[str, Any]], name: str) -> None:
    epochs, values = curve(log, "loss")
    marker = "" if len(values) > 1 else "o"
    axes.plot(epochs, values, color=COLOURS[0], linestyle="-", marker=marker, label="training", **STYLE)
    epochs, values = curve(log, "eval_loss")
    if values:
        axes.plot(epochs, values, color=COLOURS[1], linestyle="--", marker="s", label="validation", **STYLE)
    axes.set_title(name)
    axes.set_ylim(bottom=0)


def _draw_metrics(axes: Any, log: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    for name, colour, line, marker in zip(names, cycle(COLOURS), cycle(LINES), cycle(MARKERS)):
        epochs, values = curve(log, f"eval_{name}")
        axes.plot(epochs, values, color=colour, linestyle=line, marker=marker, label=metric_name(name), **STYLE)


def metric_name(name: str) -> str:
    """What a metric is called; that of an auxiliary task has the task's name before it."""
    known = next((metric for metric in sorted(NAMES, key=len, reverse=True) if name.endswith(f"_{metric}")), None)
    if name in NAMES or known is None:
        return NAMES.get(name, name)
    return f"{name.removesuffix(f'_{known}')}: {NAMES[known]}"
