"""Lengths of the proteins that a run is evaluated on."""

import numpy as np

from ..evaluation.metrics import known_references
from ..runs.finished_run import Run


def cap(run: Run) -> int | None:
    """Residues of the longest protein that the model reads whole; None where the run does not say."""
    return run.data["max_residues"] if run.data else None


def known_lengths(run: Run) -> np.ndarray | None:
    """(n,), residues of the test proteins whose answer to the main task is known; None where they were not written."""
    predictions = run.predictions
    if predictions is None or predictions.lengths is None:
        return None
    known = known_references(predictions.references)
    return predictions.lengths[known if known.ndim == 1 else known.any(1)]
