"""How good predictions are for test proteins that are more or less similar to training proteins, as text and table."""

from typing import Any

import numpy as np

from ..evaluation.by_identity import FEWEST, NO_NEIGHBOUR, identity_metrics
from ..evaluation.intervals import FEWEST_GROUPS
from ..evaluation.metrics import NAMES
from ..homology.neighbours import describe_limits
from ..runs.finished_run import Run
from .evaluated_split import EvaluatedSplit
from .formatting import count, with_interval
from .sections import Part, Rows, Section, Table, Text, left_out
from .terminal_summary import watched_metrics

TITLE = "By similarity to training proteins"
UNKNOWN = (
    "How similar the test proteins are to training proteins is not known: nothing was searched. train "
    "--test_neighbours true looks for the nearest training protein of each; so does train with --split homology, the "
    "default."
)
NOTE = (
    "Nearest training protein: the identity of its alignment with the test protein. In brackets: 95% intervals. "
    f"–: fewer than {FEWEST} proteins, or not defined. Macro F1 is the mean over the classes that a row has."
)


def identity_section(run: Run, found: EvaluatedSplit | None) -> Section:
    """The section of a report."""
    return Section("similarity", TITLE, _parts(run, found), "Similarity")


def _parts(run: Run, found: EvaluatedSplit | None) -> list[Part]:
    if found is None or found.split != "test":
        return [left_out("metrics by similarity to training proteins. The run had no test proteins.")]
    header, rows = identity_table(run)
    if not rows:
        return [Text(UNKNOWN)]
    words = " ".join([*distance_sentences(run), *transfer_sentences(run), drawn_sentence(found)])
    return [Text(words), Table(header, rows, range(1, len(header))), Text(NOTE, "note")]


def identity_table(run: Run) -> tuple[list[str], Rows]:
    """A row for each step of similarity, and its header; no rows where the training did not look."""
    names = identity_metrics(run.task.problem_type)
    header = ["nearest training protein", "proteins", *(NAMES[name] for name in names)]
    return header, [_row(step, names) for step in run.metrics.get("test_by_identity", [])]


def _row(step: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    cells = [with_interval(step[name], step[f"{name}_interval"]) for name in names]
    return [step["nearest"], f"{step['proteins']:,}", *cells]


def distance_sentences(run: Run) -> list[str]:
    """How far the test proteins are from the training proteins; nothing where the training did not look."""
    if run.nearest is None:
        return []
    identity, total = run.nearest.identity, len(run.nearest.identity)
    known = identity[~np.isnan(identity)]
    without = total - len(known)
    words = f"Of {count(total, 'test protein')}, {without:,} ({without / total:.0%}) have {NO_NEIGHBOUR} in training"
    if len(known):
        words += f"; the others are {np.median(known):.0%} identical to their nearest training protein (median)"
    coverage = run.record.get("data_arguments", {}).get("split_coverage")
    method = run.record.get("split_notes", {}).get("neighbours_by")
    if coverage is None or method is None:
        return [f"{words}."]
    return [
        f"{words}. A neighbour here is whatever the search finds: {describe_limits(0, coverage, method)}, {method}."
    ]


def transfer_sentences(run: Run) -> list[str]:
    """What the labels of the nearest training proteins add; nothing where these are not known."""
    found = watched_metrics(run.metrics, "test_transferred")
    if not found:
        return []
    return [
        f"Weighing in the label of the nearest training protein (predict --training_proteins FILE --transfer_labels) "
        f"gives {found} for all test proteins, instead of {watched_metrics(run.metrics, 'test')}."
    ]


def drawn_sentence(found: EvaluatedSplit) -> str:
    """What the intervals are made from."""
    if found.groups is None:
        return "Intervals: proteins are drawn one by one, as if none were related; those of related proteins are wider."
    groups, proteins = len(np.unique(found.groups)), len(found.groups)
    drawn = f"{count(groups, 'group')} of {count(proteins, 'protein')}"
    if groups < FEWEST_GROUPS:
        return f"No intervals: the {found.split} proteins are too closely related ({drawn})."
    return f"Intervals: related {found.split} proteins are drawn together ({drawn})."
