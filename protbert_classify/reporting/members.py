"""The members of an ensemble: the numbers of each training, with mean and standard deviation."""

from typing import Any

from ..evaluation.metrics import NAMES, WATCHED
from ..model.tasks import Task
from ..runs.finished_run import Run
from .evaluated_split import SPLITS, EvaluatedSplit
from .formatting import capitalised, count
from .sections import Section, Table, Text

MEANT = "Scores of the ensemble are the means of its members' scores."
OUT_OF_FOLD = (
    "The validation metrics of this run are out of fold: those of all proteins that were divided into folds, each "
    "predicted by the member that did not train on it, and not by the ensemble. A member's checkpoint and calibration "
    "were chosen by its own fold, so these numbers are somewhat optimistic."
)


def ensemble_sentences(run: Run) -> list[str]:
    """What the model is made of, if it is an ensemble, and how much its members differ."""
    members = run.metrics.get("members")
    if members is None:
        return []
    kind = "with different seeds" if members["names"][0].startswith("seed") else "on different folds"
    sentences = [f"It is an ensemble of {len(members['names'])} models, trained {kind}. {MEANT}"]
    split = evaluated(members, run.task)
    if split is not None:
        sentences.append(f"Its members alone: {', '.join(spreads(members, run.task, split))} ({split} proteins).")
    return sentences


def evaluated(members: dict[str, Any], task: Task) -> str | None:
    """The split that the members are compared on: `test`, without test proteins `validation`."""
    return next((split for split in SPLITS if f"{split}_{WATCHED[task.problem_type][0]}" in members["mean"]), None)


def spreads(members: dict[str, Any], task: Task, split: str) -> list[str]:
    """Each usual metric with mean and standard deviation over the members."""
    found = members["mean"]
    names = [name for name in WATCHED[task.problem_type] if f"{split}_{name}" in found]
    return [f"{NAMES[name]} {spread(members, f'{split}_{name}')}" for name in names]


def spread(members: dict[str, Any], name: str) -> str:
    """Mean and standard deviation of a metric, as they are shown."""
    return f"{members['mean'][name]:.3f} ± {members['std'][name]:.3f}"


def member_table(run: Run, found: EvaluatedSplit) -> tuple[list[str], list[list[str]]]:
    """A row of numbers for each member, for mean and standard deviation, and for the ensemble or out of fold.

    Returns:
        The header and the rows; no rows of a single model.
    """
    members = run.metrics.get("members")
    names = [name for name in WATCHED[run.task.problem_type] if name in found.metrics]
    header = ["", *(NAMES[name] for name in names)]
    if members is None or any(f"{found.split}_{name}" not in members["mean"] for name in names):
        return header, []
    values = [members["values"][f"{found.split}_{name}"] for name in names]
    rows = [[name, *(f"{column[place]:.3f}" for column in values)] for place, name in enumerate(members["names"])]
    rows.append(["mean ± standard deviation", *(spread(members, f"{found.split}_{name}") for name in names)])
    together = "out of fold" if is_out_of_fold(run, found.split) else "ensemble"
    rows.append([together, *(f"{found.metrics[name]:.3f}" for name in names)])
    return header, rows


def is_out_of_fold(run: Run, split: str) -> bool:
    """Whether the metrics of a split are those of a cross-validation, and not of the ensemble."""
    names = run.metrics.get("members", {}).get("names", [""])
    return split == "validation" and names[0].startswith("fold")


def member_sections(run: Run, found: EvaluatedSplit | None) -> list[Section]:
    """The members in a report; nothing of a single model, or without proteins that were kept aside."""
    if found is None:
        return []
    header, rows = member_table(run, found)
    if not rows:
        return []
    words = f"Each was trained on its own and is a run of its own in the folder of this run. {MEANT}"
    title = f"{capitalised(found.split)} metrics, {count(len(rows) - 2, 'member')}"
    parts: list[Any] = [Text(words), Table(header, rows, list(range(1, len(header))), title)]
    if is_out_of_fold(run, found.split):
        parts.append(Text(OUT_OF_FOLD, "note"))
    return [Section("members", "Members of the ensemble", parts, "Members")]
