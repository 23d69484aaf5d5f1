"""How the calls of a run depend on the length of the proteins."""

from typing import Any

from ..evaluation.by_length import accuracy_by_length
from .run_folder import Run


def cap(run: Run) -> int | None:
    """Residues of the longest protein that the model reads whole; None where the run does not say."""
    return run.data["max_residues"] if run.data else None


def length_ranges(run: Run) -> list[dict[str, Any]]:
    """Accuracy of the test proteins in ranges of length, as [`accuracy_by_length`] gives it; none without lengths."""
    predictions = run.predictions
    if predictions is None or predictions.lengths is None:
        return []
    return accuracy_by_length(predictions.calls == predictions.references, predictions.lengths, cap(run))
