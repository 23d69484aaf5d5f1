"""The pictures of a report, each with what it says in words: a caption to read it by, and a text in its place."""

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.calibration import calibration
from .class_figures import draw_class_bars, draw_confusion_matrix
from .data_figures import cut_share, draw_class_balance, draw_length_histogram
from .figures import DPI, save_figure
from .judged import Judged
from .lengths import cap, length_ranges
from .run_folder import Run
from .score_figures import draw_accuracy_by_length, draw_reliability, draw_score_histogram, length_range
from .training_figures import best_epoch, curve, draw_curves

CSS_DPI = 96  # pixels of CSS in an inch
WIDE_MATRIX = 12  # more classes than these want the whole width of the page


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Args:
        source: `data:` URI, so that the page needs nothing but itself.
        width: CSS pixels on the page, where there is room.
        height: CSS pixels.
        caption: How to read it, one sentence.
        alt: What it shows, for who does not see it.
        wide: Over the whole width of the page, or half of it.
    """

    source: str
    width: int
    height: int
    caption: str
    alt: str
    wide: bool


class Drawer:
    """Saves pictures in a folder and inlines them.

    Args:
        folder: Made if it is not there.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def picture(self, name: str, figure: Any, caption: str, alt: str, wide: bool = False) -> Picture:
        path = os.path.join(self.folder, f"{name}.png")
        save_figure(figure, path)
        with open(path, "rb") as file:
            content = file.read()
        pixels = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # of a PNG's header
        width, height = (round(side * CSS_DPI / DPI) for side in pixels)
        source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
        return Picture(source, width, height, caption, alt, wide)


Draw = Callable[..., Picture]


def data_pictures(run: Run, picture: Draw) -> list[Picture]:
    """How long the proteins are, and how many there are of each class; none without `data.json`."""
    if run.data is None:
        return []
    splits, limit = run.data["splits"], run.data["max_residues"]
    lengths = {name: split["lengths"] for name, split in splits.items()}
    classes = {name: split["classes"] for name, split in splits.items()}
    shares = ", ".join(f"{cut_share(values, limit):.1%} of {name}" for name, values in lengths.items())
    largest, smallest = (choose(classes["train"], key=classes["train"].__getitem__) for choose in (max, min))
    return [
        picture(
            "lengths",
            draw_length_histogram(lengths, limit),
            "Lengths of the proteins on a logarithmic axis, a line for each split; what is longer than the cap, in the "
            "hatched range, is cut.",
            f"Histogram of protein lengths. Longer than the cap of {limit:,} residues: {shares}.",
        ),
        picture(
            "class_balance",
            draw_class_balance(classes),
            "Proteins of each class and their share, a panel for each split; the shares of the splits should agree.",
            f"Bars of the proteins of each class. Of the training proteins, {largest} has most "
            f"({classes['train'][largest]:,}) and {smallest} fewest ({classes['train'][smallest]:,}).",
            wide=True,
        ),
    ]


def training_pictures(run: Run, picture: Draw) -> list[Picture]:
    """Loss and metrics over the epochs; none without a log."""
    if not curve(run.log, "loss")[0] and not curve(run.log, "eval_loss")[0]:
        return []
    arguments = run.record.get("training_arguments", {})
    best = best_epoch(run.log, arguments.get("metric_for_best_model"))
    kept = best if arguments.get("load_best_model_at_end") else None
    losses = curve(run.log, "loss")[1]
    course = f"from {losses[0]:.3f} to {losses[-1]:.3f}" if losses else "not logged"
    return [
        picture(
            "curves",
            draw_curves(run.log, kept),
            "Loss on training and validation proteins and the metrics on validation proteins: a validation loss that "
            "rises while the training loss falls is overfitting; the dotted line marks the weights that were kept.",
            f"Curves over the epochs. The training loss went {course}.",
            wide=True,
        )
    ]


def class_pictures(found: Judged, labels: list[str], picture: Draw) -> list[Picture]:
    """What is called what, in counts and in shares, and how good the calls of each class are."""
    matrix, per_class = found.metrics["confusion_matrix"], found.metrics["per_class"]
    wide = len(labels) > WIDE_MATRIX
    recalls = {name: values["recall"] for name, values in per_class.items() if values["recall"] is not None}
    spoken = "; ".join(f"{name} {recall:.2f}" for name, recall in recalls.items())
    return [
        picture(
            "confusion_matrix",
            draw_confusion_matrix(matrix, labels),
            f"Proteins of each true class (row) by called class (column), {found.split} proteins; the diagonal is "
            "right, and the shade is logarithmic so that rare confusions show.",
            f"Confusion matrix of {found.metrics['proteins']:,} proteins in counts; the table of confusions below has "
            "its largest cells.",
            wide,
        ),
        picture(
            "confusion_matrix_shares",
            draw_confusion_matrix(matrix, labels, normalised=True),
            "The same matrix in % of each row: where the proteins of a class go, whatever the size of the class; the "
            "diagonal is recall.",
            f"Row-normalised confusion matrix. Recall: {spoken}.",
            wide,
        ),
        picture(
            "per_class",
            draw_class_bars(per_class, found.intervals),
            "Precision (of the proteins called so, how many are), recall (of those that are, how many are called so) "
            "and F1 of each class, the number of proteins in brackets; the black line is the 95% interval.",
            f"Bars of precision, recall and F1 of {len(labels)} classes with 95% intervals; the table has the numbers.",
            wide=True,
        ),
    ]


def score_pictures(run: Run, picture: Draw) -> list[Picture]:
    """Whether scores say what they promise; none without predictions."""
    predictions = run.predictions
    if predictions is None:
        return []
    measured = calibration(predictions.probabilities, predictions.references)
    scores = predictions.probabilities[np.arange(len(predictions.ids)), predictions.calls]
    right = predictions.calls == predictions.references
    means = [f"{scores[part].mean():.2f}" if part.any() else "none" for part in (right, ~right)]
    return [
        picture(
            "reliability",
            draw_reliability(measured),
            "Of the calls with a score of 0.8, are 80% right? Points below the dashed line are too sure, points above "
            "it too modest; lines are 95% intervals, bars below count the calls.",
            f"Reliability diagram; the expected calibration error is {measured['ece']:.3f}.",
        ),
        picture(
            "scores",
            draw_score_histogram(scores, right),
            "Scores of the calls, wrong ones hatched: the further the plain bars lie to the right of the hatched ones, "
            "the better a threshold on the score tells right from wrong.",
            f"Histogram of scores. Mean score of right calls: {means[0]}; of wrong calls: {means[1]}.",
        ),
    ]


def length_pictures(run: Run, picture: Draw) -> list[Picture]:
    """Whether long proteins are called as well as short ones; none without lengths."""
    ranges = length_ranges(run)
    if not ranges:
        return []
    lowest = min(ranges, key=lambda found: found["accuracy"])
    return [
        picture(
            "accuracy_by_length",
            draw_accuracy_by_length(ranges, cap(run), run.metrics["test_accuracy"]),
            "Share of right calls in each range of length, with 95% intervals; in the hatched ranges proteins are "
            "longer than the cap, and the model saw only a part of them.",
            f"Bars of accuracy by length. The lowest, {lowest['accuracy']:.2f}, is that of {lowest['proteins']:,} "
            f"proteins of {length_range(lowest)} residues.",
        )
    ]
