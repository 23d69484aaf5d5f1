"""Pictures of a run: colours that a colour-blind reader tells apart, sizes that print."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DPI = 150
LENGTH_TICKS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


def save_confusion_matrix(path: str | os.PathLike[str], matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> None:
    """Counts in each cell, shaded by the share of the true class (recall).

    Args:
        path: Of the picture; its ending gives the format.
        matrix: (C, C), rows are true classes, columns called ones.
        labels: (C,), names of the classes.
    """
    counts = np.asarray(matrix)
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 2.5 + 0.6 * len(labels)
    figure, axes = _subplots(figsize=(side + 1.7, side))
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            colour = "black" if shares[row, column] > 0.55 else "white"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), [f"{label} ({total})" for label, total in zip(labels, totals[:, 0])])
    axes.set_title(f"{np.trace(counts):,} of {counts.sum():,} proteins called correctly")
    axes.set_xlabel("called")
    axes.set_ylabel("true (proteins)")
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("share of the true class")
    figure.savefig(path, dpi=DPI)


def save_length_histogram(
    path: str | os.PathLike[str], lengths: Mapping[str, Sequence[int] | np.ndarray], max_residues: int | None
) -> None:
    """Lengths of the proteins of each split, the limit and the share of cropped proteins.

    Args:
        path: Of the picture; its ending gives the format.
        lengths: Split -> residues of each protein.
        max_residues: Longest protein that is read whole; None for no limit.
    """
    figure, axes = _subplots(figsize=(7, 4))
    every = np.concatenate([np.asarray(values) for values in lengths.values()])
    bins = np.geomspace(max(every.min(), 1), every.max() + 1, 50)
    for (split, values), style in zip(lengths.items(), ("-", "--", ":")):
        weights = np.full(len(values), 100 / len(values))
        axes.hist(values, bins=bins, weights=weights, histtype="step", linestyle=style, linewidth=1.5, label=split)
    axes.set_xscale("log")
    axes.set_xticks([t for t in LENGTH_TICKS if bins[0] <= t <= bins[-1]], minor=False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.set_xlabel("residues")
    axes.set_ylabel("% of the split's proteins")
    if max_residues is not None:
        cropped = 100 * float(np.mean(every > max_residues))
        axes.axvline(max_residues, color="black", linewidth=1)
        axes.set_title(f"{cropped:.1f}% of the proteins are longer than {max_residues} residues and are cropped")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=DPI)


def _subplots(**options: Any) -> Any:
    # matplotlib is slow to import, and a figure made without pyplot needs no display and leaks no state
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1), **options)  # inches
    FigureCanvasAgg(figure)
    return figure, figure.subplots()
