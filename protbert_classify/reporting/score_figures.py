"""Figures of the scores: calibration, distribution, and accuracy by length."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..evaluation.abstention import RiskCoverage
from ..evaluation.by_length import wilson_interval
from .figures import BLUE, GREY, SKY, VERMILLION, WIDTH, new_figure, styled

SCORE_BINS = 20


@styled
def draw_reliability(
    calibration: dict[str, Any],
    what: str = "predictions",
    share: str = "share of right predictions",
    unit: str = "proteins",
) -> Any:
    """Share that is right against the mean score, bins of scores; below, how many scores each bin has.

    Args:
        calibration: What `evaluation.calibration.calibration` returns.
        what: Has scores.
        share: What the scores promise.
        unit: Of the counts.
    """
    bins = calibration["bins"]
    figure, (axes, below) = new_figure(
        2, 1, size=(WIDTH, 0.9 * WIDTH), sharex=True, gridspec_kw={"height_ratios": [4, 1]}
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label=f"score = {share}")
    confidence = np.array([b["confidence"] for b in bins])
    accuracy = np.array([b["accuracy"] for b in bins])
    low, high = np.array([wilson_interval(round(b["accuracy"] * b["count"]), b["count"]) for b in bins]).T
    # rounding may leave the share itself a hair outside
    errors = np.maximum([accuracy - low, high - accuracy], 0)
    axes.errorbar(
        *(confidence, accuracy, errors), color=BLUE, marker="o", linewidth=1.4, elinewidth=1.2, capsize=3,
        label=f"{what}, 95% interval", clip_on=False,
    )  # fmt: skip
    axes.set_title(f"expected calibration error {calibration['ece']:.3f}")
    axes.set_ylabel(share)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="upper left")
    axes.grid()
    edges = [b["lower"] for b in bins]
    width = bins[0]["upper"] - bins[0]["lower"]
    below.bar(edges, [b["count"] for b in bins], width=width, align="edge", color=BLUE, edgecolor="white")
    below.set_xlim(0, 1)
    below.set_xlabel("score")
    below.set_ylabel(unit)
    below.yaxis.get_major_locator().set_params(integer=True)
    return figure


@styled
def draw_score_histogram(
    scores: Sequence[float] | np.ndarray,
    right: Sequence[bool] | np.ndarray,
    what: str = "score of the prediction",
    unit: str = "proteins",
) -> Any:
    """Scores of right and of wrong predictions, stacked.

    Args:
        scores: (M,), probability of a predicted class.
        right: (M,), whether it is a true one.
        what: The scores are.
        unit: Of the counts.
    """
    scores, right = np.asarray(scores), np.asarray(right, dtype=bool)
    figure, axes = new_figure(size=(WIDTH, 0.9 * WIDTH))
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    correct, wrong = (np.histogram(part, edges)[0] for part in (scores[right], scores[~right]))
    style: dict[str, Any] = {"width": 1 / SCORE_BINS, "align": "edge", "edgecolor": "white"}
    axes.bar(edges[:-1], correct, color=BLUE, label=f"right ({correct.sum():,})", **style)
    axes.bar(
        edges[:-1], wrong, bottom=correct, color=VERMILLION, hatch="////", label=f"wrong ({wrong.sum():,})", **style
    )
    axes.set_xlim(0, 1)
    axes.set_xlabel(what)
    axes.set_ylabel(unit)
    axes.yaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside upper left", ncols=2)  # no score is known to be rare enough for it to lie on
    return figure


@styled
def draw_risk_coverage(curve: RiskCoverage, proteins: int) -> Any:
    """Accuracy against the share of the proteins that are answered, the surest first, with 95% intervals.

    Args:
        curve: What `evaluation.abstention.risk_coverage` returns.
        proteins: N, those of the curve.
    """
    figure, axes = new_figure(size=(WIDTH, 0.9 * WIDTH))
    answered = np.rint(curve.share * proteins).astype(int)
    pairs = zip(np.rint(curve.accuracy * answered).astype(int).tolist(), answered.tolist(), strict=True)
    low, high = np.array([wilson_interval(correct, number) for correct, number in pairs]).T
    axes.fill_between(curve.share, low, high, color=SKY, alpha=0.4, linewidth=0, label="95% interval")
    axes.plot(curve.share, curve.accuracy, color=BLUE, linewidth=1.6, label="answered proteins")
    everything = curve.accuracy[-1]
    axes.axhline(everything, color=GREY, linestyle="--", linewidth=1, label=f"all proteins, {everything:.2f}")
    axes.set_xlim(0, 1)
    axes.set_ylim(min(0.95 * float(low[-1]), float(curve.accuracy.min())), 1.005)
    axes.set_xlabel("share of proteins answered, highest scores first")
    axes.set_ylabel("share of right predictions")
    axes.grid()
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@styled
def draw_accuracy_by_length(
    ranges: Sequence[dict[str, Any]],
    max_residues: int | None,
    overall: float,
    share: str = "share of right predictions",
) -> Any:
    """Share of right predictions in ranges of length, with intervals.

    Args:
        ranges: What `evaluation.by_length.accuracy_by_length` returns.
        max_residues: Of the longest protein that the model reads whole; None for no limit.
        overall: Accuracy over all proteins, 0..1.
        share: What accuracy is.
    """
    figure, axes = new_figure(size=(WIDTH, 3.7))
    places = np.arange(len(ranges))
    accuracy = np.array([r["accuracy"] for r in ranges])
    cut = np.array([max_residues is not None and r["lower"] >= max_residues for r in ranges], dtype=bool)
    for chosen, hatch, label in ((~cut, "", "read whole"), (cut, "////", "longer than the cap, cut")):
        if chosen.any():
            bars = {"hatch": hatch, "label": label, "color": SKY, "edgecolor": "white", "width": 0.7}
            axes.bar(places[chosen], accuracy[chosen], **bars)
    errors = np.array([[r["accuracy"] - r["low"], r["high"] - r["accuracy"]] for r in ranges]).T
    axes.errorbar(places, accuracy, np.maximum(errors, 0), color="black", linestyle="", elinewidth=1.2, capsize=4)
    axes.axhline(overall, color=GREY, linestyle="--", linewidth=1, label=f"all proteins, {overall:.2f}")
    axes.set_xticks(places, [length_range(r).replace("–", "–\n").replace(" ", "\n") for r in ranges])
    axes.set_xlabel("residues")
    axes.set_ylabel(share)
    axes.set_ylim(0, 1)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def length_range(found: dict[str, Any]) -> str:
    """A range of [`accuracy_by_length`] in words, both ends belong to it."""
    if found["upper"] is None:
        return f"over {found['lower']:,}"
    return f"{found['lower'] + 1:,}–{found['upper']:,}"
