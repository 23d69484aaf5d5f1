"""How two models differ on the same proteins: paired bootstrap and McNemar's test.

Shapes: N proteins, C labels of a task, R resamples.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from ..model.tasks import REGRESSION, SINGLE_LABEL
from .decision import Decision
from .intervals import interval
from .metrics import WATCHED, known_references
from .resampling import default_resamples, draw_counts, draw_group_counts, resampled_metrics


@dataclass(frozen=True)
class Difference:
    """One metric of two models.

    Args:
        name: Of the metric.
        label: The class or number that it is for; None if it is for all of them.
        first: Of the first model; None where it is undefined, as the F1 of a class without proteins.
        second: Of the second model.
        interval: Of `second - first`, (low, high); None where it is undefined.
    """

    name: str
    label: str | None
    first: float | None
    second: float | None
    interval: tuple[float, float] | None

    @property
    def value(self) -> float | None:
        """`second - first`."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class McNemar:
    """Which of two models is right where only one of them is.

    Args:
        label: The class, whose proteins are counted; None for all proteins.
        proteins: How many are counted.
        first: Where only the first model is right.
        second: Where only the second model is right.
    """

    label: str | None
    proteins: int
    first: int
    second: int

    @property
    def p_value(self) -> float:
        """Of the exact two-sided test (McNemar 1947, doi:10.1007/BF02295996): a difference as large by chance."""
        total = self.first + self.second
        return float(binomtest(self.first, total).pvalue) if total else 1.0


@dataclass(frozen=True)
class Comparison:
    """How the second of two models differs from the first.

    Args:
        differences: Those of all classes first, then of each class or number.
        tests: That of all proteins first, then of each class; none for a regression.
    """

    differences: Sequence[Difference]
    tests: Sequence[McNemar]


def compare(
    first: Decision,
    second: Decision,
    references: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    resamples: int | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same proteins: every resample draws the same proteins for both.

    Args:
        first: Answers of one model for N proteins.
        second: Answers of the other for the same proteins.
        references: As [`task_metrics`] takes them; unknown ones are left out.
        groups: (N,), the same number for related proteins, which are drawn together; None to draw proteins one by one.
        resamples: How often N proteins are drawn with replacement; 2,000 if None, fewer where proteins and labels are
            very many.
        level: Share of the resamples within the intervals, 0..1.
        seed: Of the draw.

    Raises:
        ValueError: Different tasks or numbers of proteins, or no known reference.

    Example:
        >>> import numpy as np
        >>> from protbert_classify.evaluation.comparison import compare
        >>> from protbert_classify.evaluation.decision import decide_task
        >>> from protbert_classify.model.tasks import Task
        >>> task = Task(name="location", problem_type="single_label_classification", labels=["Cytoplasm", "Nucleus"])
        >>> true = np.array([0, 0, 1, 1])
        >>> first = decide_task(np.array([[2, 0], [0, 1], [0, 3], [1, 0]]), task)
        >>> second = decide_task(np.array([[2, 0], [1, 0], [0, 3], [0, 1]]), task)
        >>> found = compare(first, second, true)
        >>> found.differences[0].name, found.differences[0].first, found.differences[0].second
        ('accuracy', 0.5, 1.0)
        >>> found.tests[0].second, found.tests[0].p_value
        (2, 0.5)
    """
    references = np.asarray(references)
    if first.task.labels != second.task.labels or first.task.problem_type != second.task.problem_type:
        raise ValueError("the answers are to different tasks")
    if not len(first) == len(second) == len(references):
        raise ValueError(f"{len(first)} and {len(second)} answers for {len(references)} references")
    known = known_references(references)
    rows = known if known.ndim == 1 else known.any(1)
    if not rows.any():
        raise ValueError("no known references to compare with; expected at least 1")
    first, second, references = first[rows], second[rows], references[rows]
    times = resamples or default_resamples(first)
    counts = draw_counts(len(first), times, seed) if groups is None else draw_group_counts(groups[rows], times, seed)
    return Comparison(
        _differences(first, second, references, counts, level),
        [] if first.task.problem_type == REGRESSION else _tests(first, second, references),
    )


def _differences(
    first: Decision, second: Decision, references: np.ndarray, counts: Iterable[np.ndarray], level: float
) -> list[Difference]:
    once = np.ones((1, len(first)))
    values = [resampled_metrics(decision, references, once) for decision in (first, second)]
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in values[0]}
    for part in counts:
        before, after = (resampled_metrics(decision, references, part) for decision in (first, second))
        for name, parts in drawn.items():
            parts.append(after[name] - before[name])
    of_label = [name for name, value in values[0].items() if value.ndim == 2]
    watched = WATCHED[first.task.problem_type]
    of_all = [*watched, *(name for name in drawn if name not in (*of_label, *watched))]
    intervals = {name: interval(np.concatenate(parts), level) for name, parts in drawn.items()}
    whole = [Difference(name, None, *_pair(values, name, 0), intervals[name]) for name in of_all]
    each = [
        Difference(
            name.removeprefix("per_class_").removeprefix("per_target_"),
            label,
            *_pair(values, name, (0, place)),
            intervals[name][place],
        )
        for place, label in enumerate(first.task.labels)
        for name in of_label
    ]
    return [*whole, *each]


def _pair(values: list[dict[str, np.ndarray]], name: str, place: Any) -> tuple[float | None, float | None]:
    """One metric of both models; None where it is undefined."""
    first, second = (float(found[name][place]) for found in values)
    return None if np.isnan(first) else first, None if np.isnan(second) else second


def _tests(first: Decision, second: Decision, references: np.ndarray) -> list[McNemar]:
    """Of a single label, a class has the proteins that are truly of it; of several, those whose answer is known."""
    labels = first.task.labels
    if first.task.problem_type == SINGLE_LABEL:
        right = [decision.best == references for decision in (first, second)]
        rows = [references == place for place in range(len(labels))]
        parts = [[side[chosen] for side in right] for chosen in rows]
    else:
        known = known_references(references)
        fits = [(decision.chosen == (references == 1)) for decision in (first, second)]
        right = [(side | ~known).all(1) for side in fits]
        parts = [[side[known[:, place], place] for side in fits] for place in range(len(labels))]
    return [_test(None, *right), *(_test(label, *part) for label, part in zip(labels, parts, strict=True))]


def _test(label: str | None, first: np.ndarray, second: np.ndarray) -> McNemar:
    return McNemar(label, len(first), int((first & ~second).sum()), int((second & ~first).sum()))
