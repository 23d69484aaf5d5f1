"""Pictures of the training: loss and metrics over the epochs."""

from collections.abc import Sequence
from typing import Any

from .figures import COLOURS, GREY, LINES, MARKERS, WIDE, WIDTH, new_figure, styled

METRICS = {"accuracy": "accuracy", "mcc": "MCC", "macro_f1": "macro F1"}


def curve(log: Sequence[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Epochs and values of what Trainer logged under a name.

    Args:
        log: Trainer's `log_history`.
        name: `loss`, `eval_loss`, `eval_mcc`, ...
    """
    entries = [entry for entry in log if name in entry and "epoch" in entry]
    return [entry["epoch"] for entry in entries], [entry[name] for entry in entries]


def best_epoch(log: Sequence[dict[str, Any]], metric: str | None) -> float | None:
    """The epoch whose weights are kept: with the best value in validation, the first of equal ones.

    Args:
        log: Trainer's `log_history`.
        metric: Trainer's `metric_for_best_model`; of a loss the lowest is best.
    """
    name = f"eval_{(metric or 'loss').removeprefix('eval_')}"
    epochs, values = curve(log, name)
    if not values:
        return None
    best = min(values) if name.endswith("loss") else max(values)
    return epochs[values.index(best)]


@styled
def draw_curves(log: Sequence[dict[str, Any]], kept: float | None) -> Any:
    """Loss and, if there were validation proteins, their metrics, over the epochs.

    Args:
        log: Trainer's `log_history`.
        kept: Epoch whose weights are the model; None for the last.
    """
    measured = [name for name in METRICS if curve(log, f"eval_{name}")[0]]
    figure, panels = new_figure(1, 2 if measured else 1, size=(WIDE if measured else WIDTH, 3.5), squeeze=False)
    loss = panels[0][0]
    epochs, values = curve(log, "loss")
    style: dict[str, Any] = {"markersize": 5, "clip_on": False}  # points on the edge are drawn whole
    marker = "" if len(values) > 1 else "o"
    loss.plot(epochs, values, color=COLOURS[0], linestyle="-", marker=marker, label="training", **style)
    epochs, values = curve(log, "eval_loss")
    if values:
        loss.plot(epochs, values, color=COLOURS[1], linestyle="--", marker="s", label="validation", **style)
    loss.set_title("cross-entropy loss")
    loss.set_ylim(bottom=0)
    for name, colour, line, marker in zip(measured, COLOURS, LINES, MARKERS):
        epochs, values = curve(log, f"eval_{name}")
        panels[0][1].plot(
            epochs, values, color=colour, linestyle=line, marker=marker, label=METRICS[name], **style
        )
    if measured:
        panels[0][1].set_title("metrics, validation")
    for axes in panels[0]:
        if kept is not None:
            axes.axvline(kept, color=GREY, linewidth=1, linestyle=":", label=f"kept: epoch {kept:g}")
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0)
        axes.grid()
        axes.legend(loc="best")
    return figure
