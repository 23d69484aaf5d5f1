"""Figures of the classes: the confusion matrix, and how good the predictions of each class are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation.metrics import NAMES
from .figures import BLUE, GREY, ORANGE, SKY, WIDE, WIDTH, new_figure, shades, short_names, styled

READABLE_CLASSES = 25  # with more of them a cell has no room for its number
COUNT_TICKS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
CELL, SMALL_CELL = 0.44, 0.22  # inches
ROW = 0.3  # inches of one class's bar
WIDEST_MATRIX = 24  # inches, of cells: room for the names of a hundred classes
MOST_BARS = 100  # classes with a bar: a picture cannot be longer


@styled
def draw_confusion_matrix(
    matrix: Sequence[Sequence[int]] | np.ndarray,
    labels: Sequence[str],
    *,
    normalised: bool = False,
    support: Sequence[int] | np.ndarray | None = None,
) -> Any:
    """The confusion matrix; empty cells are white.

    Args:
        matrix: (C, C), rows are true classes, columns predicted ones.
        labels: (C,), names of the classes.
        normalised: Each row in % of its true class, the diagonal is recall; else the counts, on a logarithmic scale.
        support: (C,), proteins that have each label, where a protein may have several; the sums of the rows if None.
    """
    from matplotlib.colors import LogNorm, Normalize

    counts = np.asarray(matrix)
    totals = counts.sum(1) if support is None else np.asarray(support)
    shares = np.divide(100 * counts, totals[:, None], out=np.zeros(counts.shape), where=totals[:, None] > 0)
    values = shares if normalised else counts
    scale = Normalize(0, 100) if normalised else LogNorm(1, max(int(counts.max()), 2))
    small = len(labels) > READABLE_CLASSES
    side = 0.4 + min((SMALL_CELL if small else CELL) * len(labels), WIDEST_MATRIX)
    named = len(labels) * SMALL_CELL <= WIDEST_MATRIX
    names = short_names(labels) if named else []
    room = 0.075 * max(map(len, names), default=0)  # inches of the names
    figure, axes = new_figure(size=(side + room + 1, side + 0.75 * room + 0.6))
    image = axes.imshow(np.ma.masked_where(counts == 0, values), cmap=shades(), norm=scale)
    if not small:
        _write_cells(axes, image, counts, shares, normalised)
    size = 8 if small else 10
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.spines[:].set_visible(True)
    of_row = "% of the true class" if support is None else "% of the proteins with the true label"
    what = of_row if normalised else "proteins"
    found = "proteins right" if support is None else "true labels predicted"
    axes.set_title("each row in %" if normalised else f"{np.trace(counts):,} of {totals.sum():,} {found}")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    ticks = [0, 25, 50, 75, 100] if normalised else [t for t in COUNT_TICKS if t <= max(int(counts.max()), 1)]
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label=what)
    bar.set_ticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    bar.minorticks_off()
    bar.outline.set_visible(False)
    return figure


def _write_cells(axes: Any, image: Any, counts: np.ndarray, shares: np.ndarray, normalised: bool) -> None:
    for row, column in zip(*np.nonzero(counts)):
        red, green, blue, _ = image.to_rgba(shares[row, column] if normalised else counts[row, column])
        colour = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"  # luma, ITU-R BT.601
        text = _percent(shares[row, column]) if normalised else f"{counts[row, column]}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def _percent(share: float) -> str:
    return "<1" if share < 0.5 else f"{share:.0f}"


@styled
def draw_class_bars(
    per_class: Mapping[str, Mapping[str, Any]],
    intervals: Mapping[str, Sequence[Any]],
    metrics: Sequence[str] = ("precision", "recall", "f1"),
) -> Any:
    """Metrics of each class, a panel each, with the range of their intervals; of the 100 most frequent, at most.

    Args:
        per_class: Label -> the metrics (None where a class has none) and `support`.
        intervals: Metric -> C times (low, high) or None; a metric may be missing.
        metrics: Their names.
    """
    every = list(per_class)
    shown = most_frequent([per_class[label]["support"] for label in every])
    labels = [every[place] for place in shown]
    names = [f"{name} ({per_class[label]['support']:,})" for name, label in zip(short_names(labels), labels)]
    figure, panels = new_figure(1, len(metrics), size=(WIDE, 1.1 + ROW * len(labels)), sharey=True)
    for axes, name in zip(panels, metrics):
        pairs = intervals.get(name) or [None] * len(every)
        for row, (label, interval) in enumerate(zip(labels, (pairs[place] for place in shown))):
            value = per_class[label][name]
            if value is None:
                axes.text(0.02, row, _reason(per_class[label], name), va="center", fontsize=8.5, color=GREY)
                continue
            axes.barh(row, value, color=SKY, height=0.66)
            if interval is not None and interval[0] < interval[1]:
                axes.plot(interval, [row, row], color="black", linewidth=1.2, marker="|", markersize=6)
            axes.text(1.03, row, f"{value:.2f}", va="center", fontsize=8.5)
        axes.set_title(NAMES[name])
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(labels)), names)
    panels[0].set_ylim(len(labels) - 0.5, -0.5)  # in the order of the matrix, the first on top
    figure.get_layout_engine().set(wspace=0.08)
    return figure


def most_frequent(proteins: Sequence[int]) -> list[int]:
    """The places of the classes with most proteins, [`MOST_BARS`] at most, in their order."""
    return sorted(sorted(range(len(proteins)), key=lambda place: -proteins[place])[:MOST_BARS])


@styled
def draw_label_counts(true: np.ndarray, predicted: np.ndarray) -> Any:
    """How many labels proteins have, and how many they are given.

    Args:
        true: (N,), true labels of each protein.
        predicted: (N,), predicted ones.
    """
    figure, axes = new_figure(size=(WIDTH, 3.7))
    numbers = np.arange(min(true.min(), predicted.min()), max(true.max(), predicted.max()) + 1)
    sides = ((true, -0.2, BLUE, "", "true"), (predicted, 0.2, ORANGE, "////", "predicted"))
    for values, offset, colour, hatch, name in sides:
        counts = (values[:, None] == numbers).sum(0)
        bars = axes.bar(numbers + offset, counts, 0.4, color=colour, hatch=hatch, edgecolor="white", label=name)
        axes.bar_label(bars, [f"{value:,}" for value in counts], padding=2, fontsize=8.5)
    axes.set_xticks(numbers)
    axes.set_xlabel("labels of a protein")
    axes.set_ylabel("proteins")
    axes.margins(y=0.12)
    axes.legend(loc="best")
    return figure


def _reason(values: Mapping[str, Any], name: str) -> str:
    """Why a class has no such metric."""
    if not values["support"]:
        return "no proteins"
    return "never predicted" if name == "precision" else "all proteins"
