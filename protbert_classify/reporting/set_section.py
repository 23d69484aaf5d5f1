"""How often prediction sets have the true class, and how large they are, in words and as a table."""

from typing import Any

from ..evaluation.prediction_sets import ERROR, fewest_proteins, set_quality
from ..runs.files import PREDICTIONS
from ..runs.finished_run import Run
from .evaluated_split import EvaluatedSplit
from .formatting import count, with_interval
from .sections import Part, Rows, Section, Table, Text, left_out

TITLE = f"Prediction sets at {ERROR:.0%} error"
HEADER = ["true class", "proteins", "validation proteins", "coverage", "size", "coverage by class", "size by class"]
WORDS = (
    "A prediction set has all classes that cannot be excluded (predict --sets). Coverage is the share of proteins that "
    f"have their true class in the set; at {ERROR:.0%} error it should be {1 - ERROR:.0%} or more. Sets by class "
    "(--sets_by_class) make this promise for the proteins of each class. Size is the mean number of classes in a set."
)
NOTE = (
    "Validation proteins: those that the sets are made from. With fewer than "
    f"{fewest_proteins(ERROR)} of a class, all sets by class contain it. In brackets: 95% intervals. The promise holds "
    "for proteins like the validation proteins; proteins unlike them may be covered less."
)


def set_section(run: Run, found: EvaluatedSplit | None) -> Section:
    """The section of a report."""
    return Section("sets", TITLE, _parts(run, found), "Sets")


def _parts(run: Run, found: EvaluatedSplit | None) -> list[Part]:
    if found is None or found.predictions is None:
        return [left_out(f"coverage and size of prediction sets. The run has no {PREDICTIONS}.")]
    rows = set_rows(found)
    if not rows:
        reason = "The model has no validation scores; a training by this version with validation proteins keeps them."
        return [left_out(f"coverage and size of prediction sets. {reason}")]
    return [Text(" ".join([WORDS, *set_sentences(run, found)])), Table(HEADER, rows, range(1, 7)), Text(NOTE, "note")]


def set_rows(found: EvaluatedSplit) -> Rows:
    """A row for all proteins and one for each class, with the columns of `HEADER`; none for models without sets."""
    if found.predictions is None or found.task.validation_scores is None:
        return []
    together, by_class = (set_quality(*found.predictions, by_class=by_class) for by_class in (False, True))
    kept = dict(zip(found.task.labels, map(len, found.task.validation_scores), strict=True))
    classes = together["per_class"]
    return [
        _row("all", sum(kept.values()), together, by_class),
        *(_row(name, kept[name], classes[name], by_class["per_class"][name]) for name in classes),
    ]


def _row(name: str, kept: int, *qualities: dict[str, Any]) -> list[str]:
    cells = [cell for quality in qualities for cell in _cells(quality)]
    return [name, f"{qualities[0]['proteins']:,}", f"{kept:,}", *cells]


def _cells(quality: dict[str, Any]) -> tuple[str, str]:
    if not quality["proteins"]:
        return "–", "–"
    return with_interval(quality["coverage"], (quality["low"], quality["high"])), f"{quality['size']:.2f}"


def set_sentences(run: Run, found: EvaluatedSplit) -> list[str]:
    """Which proteins the sets are made from; nothing where the run does not say."""
    made: dict[str, Any] | None = run.metrics.get("prediction_sets", {}).get(found.task.name)
    if made is None:
        return []
    others = "did not choose the weights" if made["held_out"] else "may also have chosen the weights"
    return [f"The sets are made from the scores of {count(made['proteins'], 'validation protein')} that {others}."]
