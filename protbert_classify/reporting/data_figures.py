"""Figures of the proteins: how long they are, and how many there are of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .class_figures import most_frequent
from .figures import BLUE, COLOURS, LINES, WIDTH, new_figure, short_names, styled

LENGTH_TICKS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
LENGTH_BINS = 40
ROW = 0.27  # inches of one class


def cut_share(lengths: Sequence[int] | np.ndarray, max_residues: int) -> float:
    """Share of proteins, 0..1, that are longer than the model reads, so that part of them is cut out."""
    return float(np.mean(np.asarray(lengths) > max_residues))


@styled
def draw_length_histogram(lengths: Mapping[str, Sequence[int] | np.ndarray], max_residues: int | None) -> Any:
    """Lengths of the proteins of each split, the cap and the share of proteins beyond it.

    Args:
        lengths: Split -> residues of each protein.
        max_residues: Of the longest protein that is read whole; None for no limit.
    """
    figure, axes = new_figure(size=(WIDTH, 3.5))
    every = np.concatenate([np.asarray(values) for values in lengths.values()])
    bins = np.geomspace(max(every.min(), 1), every.max() + 1, LENGTH_BINS + 1)
    for (split, values), colour, line in zip(lengths.items(), COLOURS, LINES):
        weights = np.full(len(values), 100 / len(values))
        name = f"{split} ({len(values):,})"
        axes.hist(
            values, bins=bins, weights=weights, histtype="step", color=colour, linestyle=line, linewidth=1.6, label=name
        )
    axes.set_xscale("log")
    end = max(bins[-1], 1.1 * (max_residues or 0))
    axes.set_xlim(bins[0], end)
    axes.set_xticks([t for t in LENGTH_TICKS if bins[0] <= t <= end], minor=False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.set_xlabel("residues")
    axes.set_ylabel("% of the split's proteins")
    if max_residues is not None:
        _mark_cap(axes, max_residues)
        share = cut_share(every, max_residues)
        axes.set_title(f"{share:.1%} of the proteins are longer than the cap and are cut")
    axes.legend(loc="best")
    return figure


def _mark_cap(axes: Any, max_residues: int) -> None:
    start, end = axes.get_xlim()
    axes.axvline(max_residues, color="black", linewidth=1.2)
    axes.axvspan(max_residues, end, facecolor="none", edgecolor="#cccccc", hatch="///", linewidth=0, zorder=0)
    right = np.log(max_residues / start) < 0.7 * np.log(end / start)  # there is room for the words
    axes.annotate(
        f"cap: {max_residues:,} residues",
        (max_residues, 1),
        xycoords=("data", "axes fraction"),
        xytext=(5 if right else -5, -4),
        textcoords="offset points",
        horizontalalignment="left" if right else "right",
        verticalalignment="top",
        backgroundcolor="white",
    )


@styled
def draw_class_balance(classes: Mapping[str, Mapping[str, int]], proteins: Mapping[str, int] | None = None) -> Any:
    """Proteins of each class, a panel a split, a bar a class with its number and share; the 100 largest at most.

    Args:
        classes: Split -> label -> proteins.
        proteins: Split -> proteins; the sums over the labels if None, where each protein has one.
    """
    every = list(next(iter(classes.values())))
    labels = [every[place] for place in most_frequent([sum(of[label] for of in classes.values()) for label in every])]
    figure, panels = new_figure(
        1, len(classes), size=(1.8 + 3.2 * len(classes), 1 + ROW * len(labels)), sharey=True, squeeze=False
    )
    for axes, (split, counts) in zip(panels[0], classes.items()):
        values = np.array([counts[label] for label in labels])
        total = sum(counts.values()) if proteins is None else proteins[split]
        bars = axes.barh(range(len(labels)), values, color=BLUE, height=0.7)
        texts = [f"{value:,} ({value / max(total, 1):.1%})" for value in values]
        axes.bar_label(bars, texts, padding=3, fontsize=8.5, color="black")
        axes.set_title(f"{split}: {total:,} proteins")
        axes.set_xlim(0, 1.65 * max(values.max(), 1))  # room for the numbers
        axes.xaxis.set_visible(False)  # each bar has its number
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0, colors="black")
    panels[0][0].set_yticks(range(len(labels)), short_names(labels))
    panels[0][0].set_ylim(len(labels) - 0.5, -0.5)  # in the order of the matrix, the first on top
    figure.get_layout_engine().set(wspace=0.02)
    return figure
