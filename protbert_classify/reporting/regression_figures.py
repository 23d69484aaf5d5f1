"""Figures of predicted numbers: against the true ones, and how far they are off by length."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .class_figures import COUNT_TICKS
from .data_figures import LENGTH_TICKS
from .figures import BLUE, GREY, VERMILLION, WIDE, WIDTH, new_figure, shades, short_names, styled

MOST_POINTS = 1_500  # of more, points hide each other, and cells with their counts tell more
IN_A_ROW = 3  # panels
HISTOGRAM_BINS = 30


@styled
def draw_predicted_and_true(references: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> Any:
    """Predicted against true numbers, a panel each; on the dashed line they are equal.

    Args:
        references: (N, C), NaN where unknown.
        predictions: (N, C).
        labels: (C,), names of the numbers.
    """
    figure, panels = _panels(len(labels), 1.0)
    for axes, true, found, name in zip(panels, references.T, predictions.T, short_names(labels)):
        known = ~np.isnan(true)
        true, found = true[known], found[known]
        low, high = _range(np.concatenate([true, found]))
        axes.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1, label="predicted = true")
        _draw_points(figure, axes, true, found, (low, high, low, high))
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        axes.set_title(f"{name} ({len(true):,} proteins)")
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")
        axes.legend(loc="upper left")
    return figure


@styled
def draw_errors_by_length(
    lengths: np.ndarray, errors: np.ndarray, labels: Sequence[str], max_residues: int | None
) -> Any:
    """Predicted minus true numbers by the length of the protein, a panel each.

    Args:
        lengths: (N,), residues.
        errors: (N, C), predicted - true, NaN where unknown.
        labels: (C,), names of the numbers.
        max_residues: Of the longest protein that the model reads whole; None for no limit.
    """
    figure, panels = _panels(len(labels), 0.75)
    for axes, error, name in zip(panels, errors.T, short_names(labels)):
        known = ~np.isnan(error)
        residues, off = lengths[known], error[known]
        shortest, longest = (residues.min(), residues.max()) if len(residues) else (1, 1)
        low, high = 0.9 * shortest, 1.1 * max(longest, max_residues or 0)
        height = 1.05 * max(np.abs(off).max(initial=0), 1e-12)
        axes.set_xscale("log")
        _draw_points(figure, axes, residues, off, (low, high, -height, height), logarithmic=True)
        axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
        if max_residues is not None:
            axes.axvspan(max_residues, high, facecolor="none", edgecolor="#cccccc", hatch="///", linewidth=0, zorder=0)
            axes.axvline(max_residues, color="black", linewidth=1.2, label=f"cap: {max_residues:,} residues")
            axes.legend(loc="best")
        axes.set_xlim(low, high)
        axes.set_ylim(-height, height)
        axes.set_xticks([tick for tick in LENGTH_TICKS if low <= tick <= high], minor=False)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.minorticks_off()
        axes.set_title(name)
        axes.set_xlabel("residues")
        axes.set_ylabel("predicted - true")
    return figure


@styled
def draw_number_histogram(references: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> Any:
    """How true and predicted numbers are distributed, a panel each.

    Args:
        references: (N, C), NaN where unknown.
        predictions: (N, C).
        labels: (C,), names of the numbers.
    """
    figure, panels = _panels(len(labels), 0.75)
    for axes, true, found, name in zip(panels, references.T, predictions.T, short_names(labels)):
        known = ~np.isnan(true)
        bins = np.linspace(*_range(np.concatenate([true[known], found[known]])), HISTOGRAM_BINS + 1)
        for values, colour, line, what in ((true, BLUE, "-", "true"), (found, VERMILLION, "--", "predicted")):
            axes.hist(
                values[known], bins=bins, histtype="step", color=colour, linestyle=line, linewidth=1.6, label=what
            )
        axes.set_title(name)
        axes.set_xlabel(name)
        axes.set_ylabel("proteins")
        axes.legend(loc="best")
    return figure


def _panels(count: int, shape: float) -> tuple[Any, list[Any]]:
    """A figure of so many panels, `shape` as high as wide."""
    columns = min(count, IN_A_ROW)
    rows = math.ceil(count / columns)
    width = WIDTH if columns == 1 else WIDE
    height = shape * width / columns + 0.5
    figure, grid = new_figure(rows, columns, size=(width, rows * height), squeeze=False)
    for axes in grid.flat[count:]:
        axes.remove()
    return figure, list(grid.flat)[:count]


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def _draw_points(
    figure: Any,
    axes: Any,
    horizontal: np.ndarray,
    vertical: np.ndarray,
    extent: tuple[float, float, float, float],
    logarithmic: bool = False,
) -> None:
    """A point each or, where there are very many, cells with their counts."""
    axes.grid()
    if len(horizontal) <= MOST_POINTS:
        axes.plot(horizontal, vertical, "o", color=BLUE, markersize=3.5, markeredgewidth=0, alpha=0.5)
        return
    left, right, low, high = extent
    if logarithmic:
        left, right = np.log10(left), np.log10(right)
    cells = axes.hexbin(
        *(horizontal, vertical), gridsize=45, bins="log", mincnt=1, cmap=shades(), linewidths=0.1,
        xscale="log" if logarithmic else "linear", extent=(left, right, low, high),
    )  # fmt: skip
    bar = figure.colorbar(cells, ax=axes, fraction=0.046, pad=0.03, label="proteins")
    ticks = [tick for tick in COUNT_TICKS if tick <= cells.get_array().max()]
    bar.set_ticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    bar.minorticks_off()
    bar.outline.set_visible(False)
