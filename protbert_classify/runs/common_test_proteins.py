"""The predictions of several runs for the same test proteins."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import OptionError
from ..evaluation.decision import Decision
from .files import PREDICTIONS
from .finished_run import Run
from .predictions import Predictions


@dataclass(frozen=True)
class CommonTestProteins:
    """What several runs say about N test proteins.

    Args:
        decisions: Of each run, for the main task, in one order of the proteins.
        references: The true answers, as [`task_metrics`] takes them.
        groups: (N,), the same number for related proteins; None if no run knows them.
    """

    decisions: Sequence[Decision]
    references: np.ndarray
    groups: np.ndarray | None = None


def common_test_proteins(runs: Sequence[Run]) -> CommonTestProteins:
    """Put the predictions of several runs into the order of the first.

    Raises:
        OptionError: A run without test proteins, of another task, or with other test proteins or other answers.
    """
    first, *others = [(run, _predictions(run)) for run in runs]
    decisions = [first[1].decision]
    groups = [run.nearest.group for run in runs[:1] if run.nearest is not None]
    for run, predictions in others:
        _check_task(first[0], run)
        order = _order(first[0].folder, first[1].ids, run.folder, predictions.ids)
        _check_answers(first, (run, predictions), order)
        decisions.append(predictions.decision[order])
        if run.nearest is not None:
            groups.append(run.nearest.group[order])
    return CommonTestProteins(decisions, first[1].references, groups[0] if groups else None)


def _predictions(run: Run) -> Predictions:
    if run.predictions is None:
        path = os.path.join(run.folder, PREDICTIONS)
        raise OptionError(f"{path}: no such file; expected a training whose data have a test split")
    return run.predictions


def _check_task(first: Run, other: Run) -> None:
    for what in ("name", "problem_type", "labels"):
        expected, found = (getattr(run.task, what) for run in (first, other))
        if expected != found:
            shown = [value if isinstance(value, str) else ", ".join(value) for value in (found, expected)]
            raise OptionError(
                f"{other.folder}: found a task whose {what} {'are' if what == 'labels' else 'is'} {shown[0]}; "
                f"{first.folder} has {shown[1]}: only runs of the same task can be compared"
            )


def _order(first: str, expected: Sequence[str], other: str, found: Sequence[str]) -> np.ndarray:
    """(N,), where each protein of the first run is in the other; proteins of one accession keep their order."""
    places, searched = (np.argsort(np.array(ids), kind="stable") for ids in (found, expected))
    if sorted(expected) != sorted(found):
        missing = sorted(set(expected) ^ set(found)) or ["one accession more often than the other"]
        raise OptionError(
            f"{other}: has {len(found):,} test proteins, and not those of {first}, {len(expected):,}; first "
            f"difference: {missing[0]}. Expected runs with the same test proteins"
        )
    order = np.empty(len(expected), dtype=np.int64)
    order[searched] = places
    return order


def _check_answers(first: tuple[Run, Predictions], other: tuple[Run, Predictions], order: np.ndarray) -> None:
    expected, found = first[1].references, other[1].references[order]
    same = np.isclose(expected, found, equal_nan=True)
    differing = np.flatnonzero(~(same if same.ndim == 1 else same.all(1)))
    if len(differing):
        raise OptionError(
            f"{other[0].folder}: {len(differing):,} of its test proteins have another true answer than in "
            f"{first[0].folder}, such as {first[1].ids[differing[0]]}; expected runs with the same test proteins"
        )
