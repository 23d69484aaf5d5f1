"""Lengths of the proteins that a run is evaluated on, and how well each range of them is classified."""

import numpy as np

from ..evaluation.by_length import accuracy_by_length
from ..evaluation.references import known_references
from ..runs.finished_run import Run
from .formatting import with_interval
from .score_figures import draw_accuracy_by_length, length_range
from .sections import Beside, Part, Table
from .task_report import Draw


def cap(run: Run) -> int | None:
    """Residues of the longest protein that the model reads whole; None where unknown, and of a baseline."""
    return run.data["max_residues"] if run.data and not run.is_baseline else None


def known_lengths(run: Run) -> np.ndarray | None:
    """(n,), residues of the test proteins whose answer to the main task is known; None where they were not written."""
    predictions = run.predictions
    if predictions is None or predictions.lengths is None:
        return None
    known = known_references(predictions.references)
    return predictions.lengths[known if known.ndim == 1 else known.any(1)]


def accuracy_parts(
    run: Run, right: np.ndarray, overall: float, picture: Draw, share: str, axis: str, column: str
) -> list[Part]:
    """Whether long proteins are classified as well as short ones: a figure beside its table; nothing without lengths.

    Args:
        run: With the lengths of the N proteins.
        right: (N,), whether the answer for a protein is right.
        overall: The share that is right, 0..1.
        picture: Draws the figure into the report.
        share: What the share is of, `right predictions`.
        axis: The same as the name of an axis.
        column: What the column of the share is called.
    """
    lengths = known_lengths(run)
    if lengths is None:
        return []
    ranges = accuracy_by_length(right, lengths, cap(run))
    hatched = "; in the hatched ranges proteins are longer than the cap, and the model saw only a part of them"
    hatched = "" if cap(run) is None else hatched
    lowest = min(ranges, key=lambda part: part["accuracy"])
    drawn = picture(
        "accuracy_by_length",
        draw_accuracy_by_length(ranges, cap(run), overall, axis),
        f"Share of {share} in each range of length, with 95% intervals{hatched}.",
        f"Bars of accuracy by length. The lowest, {lowest['accuracy']:.2f}, is that of {lowest['proteins']:,} "
        f"proteins of {length_range(lowest)} residues.",
    )
    rows = [
        [length_range(part), f"{part['proteins']:,}", with_interval(part["accuracy"], (part["low"], part["high"]))]
        for part in ranges
    ]
    heading = f"Share of {share}, with 95% intervals"
    return [Beside(drawn, Table(["residues", "proteins", column], rows, [1, 2], heading))]
