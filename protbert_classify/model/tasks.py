"""The tasks of a classifier: the main task and any auxiliary ones.

Problem types are transformers' own: `single_label_classification`, `multi_label_classification`, `regression`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)
DEFAULT_THRESHOLD = 0.5
LABEL_SEPARATOR = ";"  # between several labels of one protein in a text
# fields of a task that are fitted to validation proteins
VALIDATION_FITS = ("thresholds", "temperature", "bias", "validation_scores")
IGNORED = -100  # the class of a protein whose label is not known, as in torch


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a classifier predicts about a protein, and how that is read from the logits.

    Args:
        name: Its name, for example `location`; also that of the column with the answers.
        problem_type: One of `PROBLEM_TYPES`.
        labels: (C,), names of the classes in the order of the logits; of a regression, names of the numbers.
        loss: A name in `LOSSES`; the usual one of the problem type if None.
        weight: Factor of its loss in the loss of the model; 1 for the main task.
        unknown: Labels that say that the answer is not known, such as DeepLoc's membrane `U`: they are not learned.
        thresholds: (C,), probabilities from which on a class is predicted; of `multi_label_classification` only. 0.5
            each if None.
        mean: (C,), means of the training targets, in the units of the data; of `regression` only. 0 if None.
        std: (C,), their standard deviations. 1 if None.
        class_weights: (C,), factors of the losses of the classes, 0 or more; of `single_label_classification` only. 1
            each if None.
        temperature: What logits are divided by, so that scores are as high as predictions are right; one for all
            classes, or (C,). Of a classification only.
        bias: (C,), added to the divided logits; none if None. Of a classification only.
        validation_scores: (C,) lists, for prediction sets: the scores that validation proteins of each class got for
            it, 0..1, ascending. Of `single_label_classification` only.

    Raises:
        ValueError: An unknown problem type, no labels or repeated ones, lists whose lengths differ from `labels`, a
            temperature of 0 or less, a calibration of a regression, or validation scores of another problem type.
    """

    name: str
    problem_type: str
    labels: Sequence[str]
    loss: str | None = None
    weight: float = 1.0
    unknown: Sequence[str] = ()
    thresholds: Sequence[float] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    class_weights: Sequence[float] | None = None
    temperature: float | Sequence[float] = 1.0
    bias: Sequence[float] | None = None
    validation_scores: Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "unknown", "thresholds", "mean", "std", "class_weights", "temperature", "bias"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, (int, float)):
                object.__setattr__(self, name, tuple(value))  # lists come from JSON
        if self.validation_scores is not None:
            object.__setattr__(self, "validation_scores", tuple(map(tuple, self.validation_scores)))
        check_problem_type(self.problem_type)
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"task {self.name!r}: labels={list(self.labels)}: expected each label once, at least one")
        for name in ("thresholds", "mean", "std", "class_weights", "temperature", "bias"):
            value = getattr(self, name)
            if isinstance(value, tuple) and (len(value) != len(self.labels) or not all(map(math.isfinite, value))):
                expected = f"expected {len(self.labels)} finite numbers"
                raise ValueError(f"task {self.name!r}: {name}={list(value)}: {expected}")
        if self.weight < 0 or not math.isfinite(self.weight):
            raise ValueError(f"task {self.name!r}: weight={self.weight}: expected 0 or more")
        if self.class_weights is not None and (self.problem_type != SINGLE_LABEL or min(self.class_weights) < 0):
            raise ValueError(
                f"task {self.name!r}, {self.problem_type}: class_weights={list(self.class_weights)}: expected numbers "
                f"of 0 or more, for {SINGLE_LABEL}"
            )
        self._check_calibration()
        self._check_validation_scores()

    def _check_calibration(self) -> None:
        each = self.temperature if isinstance(self.temperature, tuple) else (self.temperature,)
        if not all(0 < value < math.inf for value in each):
            raise ValueError(f"task {self.name!r}: temperature={self.temperature}: expected more than 0")
        if self.is_calibrated and self.problem_type == REGRESSION:
            raise ValueError(f"task {self.name!r}: a regression has no scores to calibrate; expected temperature 1")

    def _check_validation_scores(self) -> None:
        if self.validation_scores is None:
            return
        if self.problem_type != SINGLE_LABEL:
            raise ValueError(f"task {self.name!r}: validation_scores are for {SINGLE_LABEL}, not {self.problem_type}")
        kept = self.validation_scores
        if len(kept) != len(self.labels) or not all(0 <= score <= 1 for scores in kept for score in scores):
            raise ValueError(
                f"task {self.name!r}: validation_scores: expected {len(self.labels)} lists of numbers from 0 to 1"
            )

    @property
    def is_calibrated(self) -> bool:
        """Whether its scores differ from those of the logits as the head gives them."""
        return self.temperature != 1 or self.bias is not None

    @property
    def num_logits(self) -> int:
        """C: logits that the task needs."""
        return len(self.labels)

    @property
    def num_targets(self) -> int:
        """Numbers that an answer takes in a batch: the index of a class, or one for each label."""
        return 1 if self.problem_type == SINGLE_LABEL else len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; fields with their default values are left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {name: _listed(value) for name, value in values.items()}
        optional = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in plain.items() if values[name] != optional[name]}


def _listed(value: Any) -> Any:
    """Tuples as lists, also within tuples."""
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


def check_problem_type(problem_type: Any) -> None:
    """Raise ValueError if it is not one of `PROBLEM_TYPES`."""
    if problem_type not in PROBLEM_TYPES:
        raise ValueError(f"problem_type={problem_type!r}: expected one of {', '.join(PROBLEM_TYPES)}")


def auxiliary_tasks(values: Sequence["Task | dict[str, Any]"] | None, main: str) -> tuple[Task, ...]:
    """Tasks as a configuration has them.

    Args:
        values: Tasks or their dictionaries.
        main: Name of the main task.

    Raises:
        ValueError: Two tasks of one name, or a dictionary with unknown fields.
    """
    tasks = []
    for value in values or ():
        try:
            tasks.append(value if isinstance(value, Task) else Task(**value))
        except TypeError as error:
            raise ValueError(f"auxiliary task {value!r}: {error}") from None
    names = [main, *(task.name for task in tasks)]
    if len(set(names)) < len(names):
        raise ValueError(f"tasks {', '.join(names)}: expected each name once")
    return tuple(tasks)
