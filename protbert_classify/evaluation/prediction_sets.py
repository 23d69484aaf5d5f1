"""Prediction sets: the classes of a protein that cannot be excluded, with a promise of how often they miss the truth.

Split conformal prediction (Papadopoulos et al. 2002, doi:10.1007/3-540-36755-1_29), where the nonconformity of a class
is 1 minus its score. The p-value of a class says how many validation proteins fit their true class no better:

    p = (1 + validation proteins with a score for their true class that is not higher) / (1 + validation proteins)

A set at an error of 0.1 has the classes with p > 0.1. Of proteins that are exchangeable with the validation proteins,
at least 90% have their true class in their set. By class (Vovk 2013, doi:10.1007/s10994-013-5355-6), only validation
proteins of the class itself are counted, and the same holds for the proteins of each class.

Shapes: N proteins, C classes.
"""

import functools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError
from ..model.tasks import MULTI_LABEL, SINGLE_LABEL, Task
from .by_length import wilson_interval
from .references import known_references

if TYPE_CHECKING:
    from .decision import Decision

MOST = 5000  # validation scores that a model keeps; of more, these are drawn at random
DIGITS = 5  # of a validation score
COMPARED_DIGITS = 6  # of a score that is compared with them, as many as tables of predictions have
ERROR = 0.1  # of the sets that reports and metrics measure
SET_METRICS = ("sets_coverage", "sets_size", "sets_by_class_coverage", "sets_by_class_size")


def true_class_scores(decision: "Decision", references: np.ndarray, seed: int = 0) -> list[list[float]]:
    """What a model keeps for its prediction sets.

    Args:
        decision: For N validation proteins, of a single label.
        references: (N,), their true classes, -100 or NaN where unknown.
        seed: Chooses `MOST` of more proteins.

    Returns:
        (C,) lists: the scores of the true classes, ascending, with five decimals. They are rounded down, so that no
        class is excluded by the rounding.
    """
    rows = np.flatnonzero(known_references(references))
    if len(rows) > MOST:
        rows = np.random.default_rng(seed).choice(rows, MOST, replace=False)
    true = np.asarray(references)[rows].astype(np.int64)
    scores = np.floor(decision.scores[rows, true].astype(np.float64) * 10**DIGITS) / 10**DIGITS
    return [np.sort(scores[true == index]).tolist() for index in range(decision.scores.shape[1])]


def p_values(scores: np.ndarray, task: Task, *, by_class: bool = False) -> np.ndarray:
    """How well a protein fits each class, compared with the validation proteins that have it.

    Args:
        scores: (N, C), of the classes.
        task: With validation scores.
        by_class: Compare with the validation proteins of the class only.

    Returns:
        (N, C), above 0 and at most 1: the share of validation proteins that fit their class no better.
    """
    assert task.validation_scores is not None, "checked by check_sets"
    nonconformity = 1 - np.round(np.asarray(scores, dtype=np.float64), COMPARED_DIGITS)
    pairs = zip(_steps(task.validation_scores, by_class), nonconformity.T, strict=True)
    return np.stack([values[np.searchsorted(steps, column)] for (steps, values), column in pairs], axis=1)


Steps = tuple[np.ndarray, np.ndarray]


@functools.lru_cache(maxsize=64)
def _steps(kept: Sequence[Sequence[float]], by_class: bool) -> list[Steps]:
    """(C,), for each class the p-value as a function of nonconformity: see [`_steps_of`].

    Args:
        kept: (C,) tuples, validation scores.
        by_class: Compare with those of the class only.
    """
    if by_class:
        return [_steps_of(of_class) for of_class in kept]
    return [_steps_of([score for of_class in kept for score in of_class])] * len(kept)


def _steps_of(known: Sequence[float]) -> Steps:
    """The p-value as a function of nonconformity: it changes only where a validation protein lies.

    Args:
        known: (n,), validation scores.

    Returns:
        The M different nonconformities, ascending, and (M + 1,) the p-values up to each of them and above the last.
    """
    with warnings.catch_warnings():  # its import changes how all UserWarnings are shown
        from crepes import ConformalClassifier  # imports pandas and scikit-learn: a second

    nonconformity = 1 - np.asarray(known, dtype=np.float64)
    steps = np.unique(nonconformity)
    classifier = ConformalClassifier().fit(nonconformity)
    return steps, classifier.predict_p(np.append(steps, np.inf), smoothing=False)


def check_sets(task: Task, error: Any) -> None:
    """Check that prediction sets can be made.

    Args:
        task: Of the model.
        error: Share of the proteins whose set may miss the true class.

    Raises:
        OptionError: They cannot; the message says why, and what to do.
    """
    number = isinstance(error, (int, float)) and not isinstance(error, bool)
    if not number or not 0 < error < 1:
        raise OptionError(f"sets={error!r}: expected an error between 0 and 1, such as 0.1")
    if task.problem_type != SINGLE_LABEL:
        several = task.problem_type == MULTI_LABEL
        what = "can have several classes for a protein" if several else "is a number"
        raise OptionError(f"sets={error:g}: {task.name} {what}; prediction sets need one class per protein")
    if task.validation_scores is None:
        raise OptionError(
            f"sets={error:g}: the model has no validation scores for {task.name}, from which prediction sets are made; "
            "train it with this version of protbert_classify, with validation proteins and without calibrate=none"
        )


def fewest_proteins(error: float) -> int:
    """Validation proteins that are needed to exclude a class: 9 for an error of 0.1."""
    return max(0, math.ceil(1 / error) - 1)


def never_excluded(task: Task, error: float, by_class: bool = False) -> list[str]:
    """The classes that are in every set, because there are too few validation proteins."""
    assert task.validation_scores is not None, "checked by check_sets"
    counts = [len(scores) for scores in task.validation_scores]
    known = counts if by_class else [sum(counts)] * len(counts)
    return [name for name, number in zip(task.labels, known, strict=True) if number < fewest_proteins(error)]


def set_quality(
    decision: "Decision",
    references: np.ndarray,
    rows: np.ndarray | None = None,
    *,
    error: float = ERROR,
    by_class: bool = False,
) -> dict[str, Any]:
    """How often prediction sets have the true class, and how large they are.

    Args:
        decision: For N proteins, of a single label.
        references: (N,), their true classes, -100 or NaN where unknown; unknown ones are left out.
        rows: Which of the proteins: indices, or (N,) bool; all if None.
        error: Of the sets, as [`Decision.sets`] takes it.
        by_class: See there.

    Returns:
        `proteins`; the `coverage`, the share of them whose set has the true class, and its 95% interval `low` and
        `high` ([`wilson_interval`]); `size`, the mean number of classes in a set; `empty`, the share of sets without
        any; and `per_class`, name of a true class -> all these. Without proteins, all numbers but `proteins` are None.

    Raises:
        OptionError: The model cannot give sets; see [`check_sets`].
    """
    chosen = np.zeros(len(decision), dtype=bool)
    chosen[slice(None) if rows is None else rows] = True
    chosen &= known_references(references)
    true = np.asarray(references)[chosen].astype(np.int64)
    sets = decision[chosen].sets(error, by_class=by_class)
    hit = sets[np.arange(len(true)), true]
    of_class = {name: true == index for index, name in enumerate(decision.task.labels)}
    return {
        **_quality(hit, sets.sum(1)),
        "per_class": {name: _quality(hit[inside], sets[inside].sum(1)) for name, inside in of_class.items()},
    }


def _quality(hit: np.ndarray, sizes: np.ndarray) -> dict[str, float | int | None]:
    """Of n proteins: whether each set has the true class, (n,) bool, and how many classes it has, (n,)."""
    if not len(hit):
        return {"proteins": 0, **dict.fromkeys(("coverage", "low", "high", "size", "empty"))}
    low, high = wilson_interval(int(hit.sum()), len(hit))
    shares = {"coverage": float(hit.mean()), "low": low, "high": high}
    return {"proteins": len(hit), **shares, "size": float(sizes.mean()), "empty": float((sizes == 0).mean())}


def set_metrics(decision: "Decision", references: np.ndarray) -> dict[str, float]:
    """Coverage and mean size of the sets at an error of 10%, for all classes together and by class.

    Args:
        decision: For N proteins.
        references: As [`task_metrics`] takes them; unknown ones are left out.

    Returns:
        The numbers of `SET_METRICS`; nothing for a model that cannot give sets.
    """
    if decision.task.validation_scores is None or not np.isfinite(decision.scores).all():
        return {}
    qualities = [set_quality(decision, references, by_class=by_class) for by_class in (False, True)]
    numbers = [quality[name] for quality in qualities for name in ("coverage", "size")]
    return dict(zip(SET_METRICS, numbers, strict=True))
