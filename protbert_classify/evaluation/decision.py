"""From logits to predictions: the one place that turns logits into probabilities, and these into labels.

Training, evaluation, prediction, the pipeline, the server, reports and cards all call [`decide`].

Shapes: N proteins, C labels of a task.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ..model.tasks import DEFAULT_THRESHOLD, LABEL_SEPARATOR, MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from .prediction_sets import check_sets, p_values

UNANSWERED = "-"  # in place of a label whose score is too low


@dataclass(frozen=True)
class Decision:
    """The predictions of a model for one task and N proteins.

    Args:
        task: The task.
        scores: (N, C), probabilities of the labels; of a regression the numbers, in the units of the data.
        chosen: (N, C), bool: the predicted labels, one a protein for `single_label_classification`, one or more for
            `multi_label_classification`, none for `regression`.
        auxiliary: Name of an auxiliary task -> its answers.
    """

    task: Task
    scores: np.ndarray
    chosen: np.ndarray
    auxiliary: dict[str, "Decision"] = field(default_factory=dict)

    @property
    def best(self) -> np.ndarray:
        """(N,), the index of the predicted label; of several, the one with the highest score."""
        if self.task.problem_type == REGRESSION:
            return self.scores.argmax(-1)
        return np.where(self.chosen, self.scores, -1.0).argmax(-1)

    @property
    def score(self) -> np.ndarray:
        """(N,), the probability of `best`."""
        return self.scores[np.arange(len(self.scores)), self.best]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: Any) -> "Decision":
        """The answers of some of the proteins: a slice, or indices (n,)."""
        others = {name: answers[rows] for name, answers in self.auxiliary.items()}
        return Decision(self.task, self.scores[rows], self.chosen[rows], others)

    def labels(self, row: int) -> list[str]:
        """Names of the predicted labels of one protein, the highest score first; empty for a regression."""
        order = np.argsort(-self.scores[row], kind="stable")
        return [self.task.labels[index] for index in order if self.chosen[row, index]]

    def joined_labels(self, min_score: float = 0.0) -> list[str]:
        """(N,), the predicted labels of each protein with `;` between them, the highest score first; none of numbers.

        Args:
            min_score: Labels with a lower score are left out; `-` stands where none is left.
        """
        if self.task.problem_type == REGRESSION:
            return [""] * len(self)
        sure = Decision(self.task, self.scores, self.chosen & ~(self.scores < np.float32(min_score)))
        if self.task.problem_type == SINGLE_LABEL:
            best = np.where(sure.chosen.any(-1), self.best, -1)
            return [[*self.task.labels, UNANSWERED][index] for index in best]
        return [LABEL_SEPARATOR.join(sure.labels(row)) or UNANSWERED for row in range(len(self))]

    def sets(self, error: float = 0.1, *, by_class: bool = False) -> np.ndarray:
        """Prediction sets: the classes that cannot be excluded.

        Of proteins like the validation proteins, at most a share of `error` has a true class that is not in its set.
        A set may be empty: then no class is as likely as it usually is for its proteins.

        Args:
            error: Between 0 and 1; a lower one makes larger sets.
            by_class: Keep the promise for the proteins of each class, not only for all of them together.

        Returns:
            (N, C), bool: whether the class is in the set.

        Raises:
            OptionError: Another `error`, or a model that cannot give sets.
        """
        check_sets(self.task, error)
        return p_values(self.scores, self.task, by_class=by_class) > error

    def set_labels(self, error: float = 0.1, *, by_class: bool = False) -> list[list[str]]:
        """(N,), for each protein the names of the classes in its set, the highest score first; see [`Decision.sets`].

        Args:
            error: See there.
            by_class: See there.
        """
        inside = Decision(self.task, self.scores, self.sets(error, by_class=by_class))
        return [inside.labels(row) for row in range(len(self))]

    def joined_sets(self, error: float = 0.1, *, by_class: bool = False) -> list[str]:
        """(N,), the classes of each [`set_labels`] with `;` between them; `-` for an empty set."""
        return [LABEL_SEPARATOR.join(names) or UNANSWERED for names in self.set_labels(error, by_class=by_class)]

    def answer(self, row: int, top_k: int | None | Literal["predicted"] = "predicted") -> Any:
        """The answer for one protein as pipelines of transformers give it.

        Args:
            row: Of the protein.
            top_k: How many classes to return, the highest score first; None for all. By default, what is predicted.
                A regression returns its numbers whatever is asked for.

        Returns:
            `{"label", "score"}`: the predicted class or, of a regression, the number. A list of them for `top_k` other
            than 1, for `multi_label_classification` by default, and for several numbers.
        """
        task = self.task
        if task.problem_type == REGRESSION:
            chosen, single = list(range(len(task.labels))), len(task.labels) == 1
        else:
            order = np.argsort(-self.scores[row], kind="stable").tolist()
            if top_k == "predicted":
                chosen = [index for index in order if self.chosen[row, index]]
            else:
                chosen = order[:top_k]
            single = top_k == 1 or (top_k == "predicted" and task.problem_type == SINGLE_LABEL)
        every = [{"label": task.labels[index], "score": float(self.scores[row, index])} for index in chosen]
        return every[0] if single else every


def decide(logits: np.ndarray, config: Any) -> Decision:
    """The answers of a classifier.

    Args:
        logits: (N, C), of the main task; or (N, C + A), those of the auxiliary tasks behind it. As the model gives
            them in evaluation mode: calibrated.
        config: A [`ProteinClassifierConfig`].

    Raises:
        ValueError: Another number of columns.
    """
    return _decide(logits, config, decide_task)


def decide_uncalibrated(logits: np.ndarray, config: Any) -> Decision | None:
    """The answers as they were without calibration, for comparison; None if no task is calibrated.

    Args:
        logits: As [`decide`] takes them: calibrated.
        config: See there.
    """
    if not any(task.is_calibrated for task in config.tasks):
        return None
    return _decide(logits, config, _decide_uncalibrated)


def _decide_uncalibrated(logits: np.ndarray, task: Task) -> Decision:
    """Of one task; it gives no prediction sets, as the validation scores are calibrated ones."""
    return decide_task(_uncalibrated(logits, task), replace(task, validation_scores=None))


def _uncalibrated(logits: np.ndarray, task: Task) -> np.ndarray:
    """Logits as the head gave them, (N, C)."""
    bias = 0.0 if task.bias is None else np.asarray(task.bias)
    return ((logits - bias) * np.asarray(task.temperature)).astype(np.float32)


def _decide(logits: np.ndarray, config: Any, decide_one: Callable[[np.ndarray, Task], Decision]) -> Decision:
    logits = np.asarray(logits, dtype=np.float32)
    tasks = config.tasks
    widths = [task.num_logits for task in tasks]
    if logits.ndim != 2 or logits.shape[1] not in (widths[0], sum(widths)):
        raise ValueError(f"logits of shape {logits.shape}: expected {widths[0]} or {sum(widths)} columns")
    if logits.shape[1] == widths[0]:
        return decide_one(logits, tasks[0])
    main, *others = np.split(logits, np.cumsum(widths)[:-1], axis=1)
    auxiliary = {task.name: decide_one(part, task) for task, part in zip(tasks[1:], others, strict=True)}
    answers = decide_one(main, tasks[0])
    return Decision(answers.task, answers.scores, answers.chosen, auxiliary)


def decide_task(logits: np.ndarray, task: Task) -> Decision:
    """The answers to one task, from its logits, (N, C)."""
    return Decision(task, *DECISIONS[task.problem_type](logits, task))


def choose(scores: np.ndarray, task: Task) -> np.ndarray:
    """(N, C), bool: the labels of the best probabilities, (N, C).

    A single label is the one of the highest. Of several, each one counts from its threshold on; where none reaches it,
    the one that is nearest to it.
    """
    if task.problem_type == SINGLE_LABEL:
        return scores.argmax(-1)[:, None] == np.arange(scores.shape[-1])
    margin = scores - np.asarray(task.thresholds or [DEFAULT_THRESHOLD] * len(task.labels), dtype=np.float32)
    chosen = margin >= 0
    none = ~chosen.any(-1)
    chosen[none, margin[none].argmax(-1)] = True
    return chosen


def _single_label(logits: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Softmax, and the label of the highest probability."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    scores = raised / raised.sum(-1, keepdims=True)
    return scores, choose(scores, task)


def _multi_label(logits: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Sigmoid, and the labels that reach their thresholds."""
    scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))  # float32 has no larger exponents
    return scores, choose(scores, task)


def _regression(logits: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The numbers in the units of the data: standardising the targets is undone."""
    mean = np.asarray(task.mean or [0.0] * len(task.labels), dtype=np.float32)
    std = np.asarray(task.std or [1.0] * len(task.labels), dtype=np.float32)
    return logits * std + mean, np.zeros(logits.shape, dtype=bool)


DECISIONS: dict[str, Callable[[np.ndarray, Task], tuple[np.ndarray, np.ndarray]]] = {
    SINGLE_LABEL: _single_label,
    MULTI_LABEL: _multi_label,
    REGRESSION: _regression,
}
