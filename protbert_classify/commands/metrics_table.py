"""The metrics of a model for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.metrics import NAMES, WATCHED
from ..evaluation.prediction_sets import ERROR, SET_METRICS
from ..model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from ..reporting.formatting import count

# by problem type: where the numbers of each class or target are, what stands in the first column, and the others
TABLES: dict[str, tuple[str, str, Sequence[str]]] = {
    SINGLE_LABEL: ("per_class", "class", ("precision", "recall", "f1", "mcc")),
    MULTI_LABEL: ("per_class", "class", ("precision", "recall", "f1", "mcc", "average_precision", "threshold")),
    REGRESSION: ("per_target", "number", WATCHED[REGRESSION]),
}
DIGITS = {"mae": ".4g"}  # it has a unit, and may be of any size
NARROWEST = 5  # characters of a column


def metrics_table(metrics: Mapping[str, Any], split: str) -> str:
    """For each task the numbers over all proteins, then a line a class or number.

    Args:
        metrics: What [`evaluate_classifier`] returns.
        split: Which proteins these are.
    """
    main, *others = (Task(**values) for values in metrics["tasks"])
    lines = _task_lines(main, metrics, f"{split}: {count(metrics['proteins'], 'protein')}, ")
    for task in others:
        prefix = f"{task.name}_"
        found = {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
        if TABLES[task.problem_type][0] in found:  # it is known for some of the proteins
            lines += ["", "", *_task_lines(task, found, f"{task.name}: ")]
    return "\n".join(lines)


def _task_lines(task: Task, metrics: Mapping[str, Any], heading: str) -> list[str]:
    key, first, columns = TABLES[task.problem_type]
    names = [*WATCHED[task.problem_type], *(["balanced_accuracy"] if task.problem_type == SINGLE_LABEL else [])]
    over_all = ", ".join(f"{NAMES[name]} {_number(name, metrics[name])}" for name in names)
    rows = [[first, *(NAMES.get(name, name) for name in columns), "proteins"]]
    for label, values in metrics[key].items():
        proteins = values["n" if task.problem_type == REGRESSION else "support"]
        rows.append([label, *(_number(name, _defined(values, name)) for name in columns), f"{proteins:,}"])
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    widths[1:] = [max(width, NARROWEST) for width in widths[1:]]
    return [
        f"{heading}{over_all}",
        *_score_line(metrics),
        *_set_line(metrics),
        "",
        *(_line(row, widths) for row in rows),
    ]


def _defined(values: Mapping[str, Any], name: str) -> float | None:
    """A number of a class; None for the MCC of one that is never predicted, which is 0 only in the mean."""
    return None if name == "mcc" and values.get("precision") is None else values[name]


def _score_line(metrics: Mapping[str, Any]) -> list[str]:
    """How well scores work as probabilities, and how well they would without calibration."""
    parts = []
    for prefix in ("", "uncalibrated_"):
        values = {name: metrics.get(f"{prefix}{name}") for name in ("ece", "brier", "nll")}
        if None not in values.values():
            parts.append(", ".join(f"{NAMES[name]} {value:.3f}" for name, value in values.items()))
    return [f"scores: {'; without calibration '.join(parts)}"] if parts else []


def _set_line(metrics: Mapping[str, Any]) -> list[str]:
    """How often prediction sets have the true class, and how large they are."""
    values = [metrics.get(name) for name in SET_METRICS]
    if None in values:
        return []
    line = "coverage {:.3f}, mean size {:.2f}; by class: coverage {:.3f}, mean size {:.2f}"
    return [f"prediction sets at {ERROR:.0%} error: {line.format(*values)}"]


def _number(name: str, value: float | None) -> str:
    return "-" if value is None else f"{value:{DIGITS.get(name, '.3f')}}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, the others to the right."""
    cells = [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:]))]
    return "  ".join(cells)
