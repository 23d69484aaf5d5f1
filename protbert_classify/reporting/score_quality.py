"""How well scores work as probabilities, with calibration and without it, in words and as a table."""

from typing import Any

from ..evaluation.calibration import BINS
from ..evaluation.metrics import NAMES
from ..runs.finished_run import Run
from .evaluated_split import SCORES, EvaluatedSplit
from .formatting import count
from .sections import Part, Table, Text

NOTE = f"ECE: expected calibration error, over {BINS} bins of equal width. NLL: negative log-likelihood, in nats."
HEADER = ["scores", *(NAMES[name] for name in SCORES[:3])]


def score_rows(found: EvaluatedSplit) -> list[list[str]]:
    """A row of numbers for the scores and, of a calibrated model, one for those without calibration."""
    rows = []
    for name, prefix in (("as they are", ""), ("without calibration", "uncalibrated_")):
        values = [found.metrics.get(f"{prefix}{metric}") for metric in SCORES[:3]]
        if None not in values:
            rows.append([name, *(f"{value:.3f}" for value in values)])
    return rows


def score_parts(found: EvaluatedSplit) -> list[Part]:
    """[`score_rows`] of a report; nothing for runs of earlier versions."""
    rows, title = score_rows(found), f"Scores as probabilities, {found.split} proteins; 0 is best"
    return [Table(HEADER, rows, [1, 2, 3], title), Text(NOTE, "note")] if rows else []


def calibration_sentences(run: Run, found: EvaluatedSplit) -> list[str]:
    """How scores were calibrated and what that changed, or why they were not; nothing where the run does not say."""
    done: dict[str, Any] | None = run.metrics.get("calibration", {}).get(found.task.name)
    if done is None:
        return []
    if done["method"] == "none":
        return [f"Its scores are not calibrated: {done['reason']}."]
    how = "temperature scaling" if done["method"] == "temperature" else "vector scaling"
    number = f" (temperature {done['temperature']:.2f})" if done["method"] == "temperature" else ""
    others = " that did not choose the weights" if done["held_out"] else ""
    sentence = f"Its scores are calibrated by {how}{number}, fitted to {count(done['proteins'], 'validation protein')}"
    before = found.metrics.get("uncalibrated_ece")
    after = "" if before is None else f"; without it, the expected calibration error would be {before:.3f}"
    return [f"{sentence}{others}{after}."]
