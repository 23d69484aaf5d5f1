"""What is fitted to validation proteins once a model is trained: calibration, prediction sets, and thresholds.

Shapes: N proteins, C logits of the main task, A of the auxiliary ones, A' targets of these.
"""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from ..evaluation.calibration import score_metrics
from ..evaluation.decision import decide_task
from ..evaluation.prediction_sets import ERROR, fewest_proteins, never_excluded, true_class_scores
from ..evaluation.references import known_references
from ..evaluation.temperature import FEWEST, FITS, why_not_fitted
from ..evaluation.thresholds import fit_thresholds
from ..model.calibration import calibrate
from ..model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, VALIDATION_FITS, Task
from ..reporting.formatting import count, listed

logger = logging.getLogger(__name__)

HELD_OUT = 0.2  # share of the validation proteins
FEWEST_TO_HOLD_OUT = 500  # validation proteins from which on that share is enough to fit a temperature
FEWEST_FOR_VECTOR = 1000  # proteins that a vector is fitted to without a warning


class Answered(NamedTuple):
    """A task and what is known about it on N proteins.

    Args:
        place: Of the task: 0 is the main one.
        task: The task.
        logits: (N, C).
        references: As [`task_metrics`] takes them.
    """

    place: int
    task: Task
    logits: np.ndarray
    references: np.ndarray

    def of(self, rows: np.ndarray) -> "Answered":
        """Of some of the proteins."""
        return self._replace(logits=self.logits[rows], references=self.references[rows])


def answered_tasks(
    config: Any, logits: np.ndarray, labels: np.ndarray | None, auxiliary: np.ndarray | None
) -> Iterator[Answered]:
    """The tasks that have labels.

    Args:
        config: A [`ProteinClassifierConfig`].
        logits: (N, C) or (N, C + A).
        labels: Of the main task, (N,) or (N, C); None if there are none.
        auxiliary: Of the auxiliary ones side by side, (N, A'), NaN where unknown.
    """
    tasks = config.tasks
    parts = np.split(logits, np.cumsum([task.num_logits for task in tasks])[:-1], axis=1)
    ends = np.cumsum([task.num_targets for task in tasks[1:]])[:-1]
    beside = [None] * (len(tasks) - 1) if auxiliary is None else np.split(auxiliary, ends, axis=1)
    for place, (task, part, known) in enumerate(zip(tasks, parts, [labels, *beside], strict=True)):
        if known is not None:
            alone = task.problem_type == SINGLE_LABEL
            yield Answered(place, task, part, known.reshape(len(part)) if alone else known)


def held_out(proteins: int) -> np.ndarray:
    """(N,), bool: validation proteins that fit the calibration and do not choose the checkpoint.

    A fifth of them, drawn at random; none of fewer than 500, which are too few to be shared. The same ones whatever the
    seed of the training, so that they can calibrate an ensemble of several seeds.
    """
    chosen = np.zeros(proteins, dtype=bool)
    if proteins >= FEWEST_TO_HOLD_OUT:
        chosen[np.random.default_rng(0).permutation(proteins)[: int(HELD_OUT * proteins)]] = True
    return chosen


def set_thresholds(config: Any, tasks: Iterator[Answered]) -> None:
    """Choose the thresholds of several labels, and keep them in the configuration.

    Args:
        config: Changed.
        tasks: With calibrated logits.
    """
    for place, task, logits, references in tasks:
        if task.problem_type == MULTI_LABEL:
            _keep(config, place, thresholds=fit_thresholds(decide_task(logits, task).scores, references))


def reset_calibration(config: Any) -> None:
    """Forget what was fitted to validation proteins: other weights make other logits."""
    config.calibration_temperature, config.calibration_bias = 1.0, None
    config.validation_scores = config.thresholds = None
    for task in config.auxiliary_tasks:
        for name in VALIDATION_FITS:
            task.pop(name, None)


def set_calibration(config: Any, tasks: Iterator[Answered], method: str, held: np.ndarray) -> dict[str, Any]:
    """Fit the calibration of each classification, and keep it in the configuration.

    Args:
        config: Changed; of a model without a calibration.
        tasks: With its logits for the N validation proteins.
        method: `temperature` or `vector`.
        held: (N,), bool: the proteins to fit it to; all, where too few of them have a known answer.

    Returns:
        Name of a task -> `method`, `temperature`, `bias` (of `vector`), `proteins` that it was fitted to and whether
        these were `held_out`; or `method` "none" and a `reason`.
    """
    found = {}
    for answers in tasks:
        if answers.task.problem_type != REGRESSION:
            chosen, was_held_out = _kept_aside(answers, held)
            found[answers.task.name] = _calibrated_task(config, chosen, method, was_held_out)
    return found


def _kept_aside(answers: Answered, held: np.ndarray) -> tuple[Answered, bool]:
    """The answers for the proteins that are kept aside, and True; where they are too few, for all, and False."""
    enough = known_proteins(answers.references[held]) >= FEWEST
    return (answers.of(held), True) if enough else (answers, False)


def _calibrated_task(config: Any, answers: Answered, method: str, was_held_out: bool) -> dict[str, Any]:
    place, task, logits, references = answers
    reason = why_not_fitted(logits, references, task)
    if reason is not None:
        logger.info("scores of %s are not calibrated: %s", task.name, reason)
        return {"method": "none", "reason": reason}
    fit = FITS[method](logits, references, task)
    before = score_metrics(decide_task(logits, task), references)
    _keep(config, place, **{name: value for name, value in fit._asdict().items() if value is not None})
    task = config.tasks[place]
    after = score_metrics(decide_task(calibrated_part(logits, task), task), references)
    proteins = known_proteins(references)
    logger.info(
        "scores of %s are calibrated: %s, fitted to %s%s; ECE %.3f -> %.3f, Brier score %.3f -> %.3f, NLL %.3f -> %.3f",
        *(task.name, _described(fit.temperature), count(proteins, "validation protein")),
        _role(was_held_out),
        *(number for name in after for number in (before[name], after[name])),
    )
    _warn_of_few(task.name, method, proteins)
    bias = {} if fit.bias is None else {"bias": fit.bias}
    return {"method": method, "temperature": fit.temperature, **bias, "proteins": proteins, "held_out": was_held_out}


def _role(was_held_out: bool) -> str:
    return " that did not choose the checkpoint" if was_held_out else ", which may also have chosen the checkpoint"


def set_validation_scores(
    config: Any, tasks: Iterator[Answered], held: np.ndarray, seed: int
) -> dict[str, dict[str, Any]]:
    """Keep in the configuration what prediction sets are made from, for each classification with a single label.

    Args:
        config: Changed; of a calibrated model.
        tasks: With its calibrated logits for the N validation proteins.
        held: (N,), bool: as [`set_calibration`] takes it; the same proteins are used.
        seed: Of the training; see [`true_class_scores`].

    Returns:
        Name of a task -> `proteins` whose scores were kept, and whether they were `held_out`.
    """
    found = {}
    for answers in tasks:
        if answers.task.problem_type == SINGLE_LABEL:
            chosen, was_held_out = _kept_aside(answers, held)
            scores = true_class_scores(decide_task(chosen.logits, chosen.task), chosen.references, seed)
            if any(scores) and np.isfinite(chosen.logits).all():
                _keep(config, answers.place, validation_scores=scores)
                found[answers.task.name] = {"proteins": sum(map(len, scores)), "held_out": was_held_out}
                _log_sets(config.tasks[answers.place], was_held_out)
    return found


def _log_sets(task: Task, was_held_out: bool) -> None:
    proteins = sum(map(len, task.validation_scores or ()))
    made = "prediction sets of %s are made from the scores of %s%s"
    logger.info(made, task.name, count(proteins, "validation protein"), _role(was_held_out))
    few = never_excluded(task, ERROR, by_class=True)
    if few:
        logger.info(
            "at an error of %g, sets by class always contain %s, of which there are fewer than %d validation proteins",
            *(ERROR, listed(few), fewest_proteins(ERROR)),
        )


def _warn_of_few(name: str, method: str, proteins: int) -> None:
    """Two numbers a class follow the chance of a few proteins, where one number for all does not."""
    if method == "vector" and proteins < FEWEST_FOR_VECTOR:
        logger.warning(
            "scores of %s: calibrate=vector fits two numbers for each class to %s; expected %s or more, or temperature",
            *(name, count(proteins, "validation protein"), f"{FEWEST_FOR_VECTOR:,}"),
        )


def calibrated(config: Any, logits: np.ndarray) -> np.ndarray:
    """Logits (N, C) or (N, C + A) of a model that was not calibrated when it made them, as it would give them now."""
    parts = np.split(logits, np.cumsum([task.num_logits for task in config.tasks])[:-1], axis=1)
    return np.concatenate([calibrated_part(part, task) for part, task in zip(parts, config.tasks, strict=True)], axis=1)


def calibrated_part(logits: np.ndarray, task: Task) -> np.ndarray:
    """[`calibrated`] for the logits of one task, (N, C), by the same arithmetic as in the model."""
    return calibrate(torch.from_numpy(np.ascontiguousarray(logits)), task.temperature, task.bias).numpy()


def known_proteins(references: np.ndarray) -> int:
    """Proteins with a known answer."""
    known = known_references(references)
    return int((known if known.ndim == 1 else known.any(1)).sum())


def _described(temperature: float | list[float]) -> str:
    if isinstance(temperature, list):
        return f"temperatures {min(temperature):.2f} to {max(temperature):.2f} and a bias for each class"
    return f"temperature {temperature:.2f}"


def _keep(config: Any, place: int, **fitted: Any) -> None:
    """Set fields of a task, 0 for the main one, in the configuration."""
    for name, value in fitted.items():
        if place:
            config.auxiliary_tasks[place - 1][name] = value
        else:
            setattr(config, f"calibration_{name}" if name in ("temperature", "bias") else name, value)
