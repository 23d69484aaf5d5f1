"""The figures of a report, each with a caption and an alternative text."""

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..model.tasks import MULTI_LABEL, REGRESSION
from ..runs.finished_run import Run
from .data_figures import cut_share, draw_class_balance, draw_length_histogram
from .figures import DPI, save_figure
from .training_figures import best_epoch, curve, draw_curves

CSS_DPI = 96  # pixels of CSS in an inch


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure on the page.

    Args:
        source: `data:` URI, so that the page needs nothing but itself.
        width: CSS pixels, if the page has room.
        height: CSS pixels.
        caption: How to read it, in one sentence.
        alt: What it shows, for readers who cannot see it.
        wide: Whether it takes the whole width of the page, or half of it.
    """

    source: str
    width: int
    height: int
    caption: str
    alt: str
    wide: bool


class FigureFolder:
    """Saves figures as PNG files in a folder and inlines them in the page.

    Args:
        folder: Created if missing.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def picture(self, name: str, figure: Any, caption: str, alt: str, wide: bool = False) -> CaptionedFigure:
        path = os.path.join(self.folder, f"{name}.png")
        save_figure(figure, path)
        with open(path, "rb") as file:
            content = file.read()
        pixels = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # of a PNG's header
        width, height = (round(side * CSS_DPI / DPI) for side in pixels)
        source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
        return CaptionedFigure(source, width, height, caption, alt, wide)


Draw = Callable[..., CaptionedFigure]


def data_pictures(run: Run, picture: Draw) -> list[CaptionedFigure]:
    """How long the proteins are, and how many there are of each class; none without `data.json`."""
    if run.data is None:
        return []
    splits = run.data["splits"]
    limit = None if run.is_baseline else run.data["max_residues"]
    lengths = {name: split["lengths"] for name, split in splits.items()}
    caption = "Lengths of the proteins on a logarithmic axis, a line for each split"
    text = "Histogram of protein lengths."
    if limit is not None:
        caption += "; what is longer than the cap, in the hatched range, is cut"
        shares = ", ".join(f"{cut_share(values, limit):.1%} of {name}" for name, values in lengths.items())
        text += f" Longer than the cap of {limit:,} residues: {shares}."
    drawn = picture(
        "lengths",
        draw_length_histogram(lengths, limit),
        f"{caption}.",
        text,
    )
    return [drawn] if run.task.problem_type == REGRESSION else [drawn, _class_balance(run, picture)]


def _class_balance(run: Run, picture: Draw) -> CaptionedFigure:
    assert run.data is not None
    splits = run.data["splits"]
    classes = {name: split["classes"] for name, split in splits.items()}
    several = run.task.problem_type == MULTI_LABEL
    proteins = {name: len(split["lengths"]) for name, split in splits.items()}
    largest, smallest = (choose(classes["train"], key=classes["train"].__getitem__) for choose in (max, min))
    return picture(
        "class_balance",
        draw_class_balance(classes, proteins if several else None),
        "Proteins of each class and their share, a panel for each split; the shares of the splits should agree."
        + (" A protein with several classes counts in each of them." if several else ""),
        f"Bars of the proteins of each class. Of the training proteins, {largest} has most "
        f"({classes['train'][largest]:,}) and {smallest} fewest ({classes['train'][smallest]:,}).",
        wide=True,
    )


def training_pictures(run: Run, picture: Draw) -> list[CaptionedFigure]:
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
            draw_curves(run.log, kept, run.tasks),
            "Loss on training and validation proteins and the metrics on validation proteins: a validation loss that "
            "rises while the training loss falls is overfitting; the dotted line marks the weights that were kept.",
            f"Curves over the epochs. The training loss went {course}.",
            wide=True,
        )
    ]
