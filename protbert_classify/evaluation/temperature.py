"""Fits the calibration of scores: a temperature, or a temperature and a bias for each class.

Temperature and vector scaling (Guo et al. 2017, arXiv:1706.04599, section 4.2) minimise the negative log-likelihood of
the true answers. Temperature scaling leaves the order of the classes as it is, and so every prediction of one class.

Shapes: N proteins, C labels of a task.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from ..model.tasks import SINGLE_LABEL, Task
from .references import known_references

FEWEST = 50  # proteins with a known answer; with fewer, scores that are only a little too high often become worse
LOG_RANGE = (-3.0, 3.0)  # of the logarithm of a temperature: 0.05 to 20


class Scaling(NamedTuple):
    """What calibrates the scores of a task; see [`calibrate`].

    Args:
        temperature: A number, or (C,).
        bias: (C,), or None.
    """

    temperature: float | list[float]
    bias: list[float] | None


def why_not_fitted(logits: np.ndarray, references: np.ndarray, task: Task) -> str | None:
    """Why these proteins cannot fit a calibration, in a few words; None if they can.

    Args:
        logits: (N, C), uncalibrated.
        references: As [`task_metrics`] takes them.
        task: A classification.
    """
    targets, known = _targets(references, task)
    proteins = int(known.any(1).sum())
    if proteins < FEWEST:
        return f"found {proteins} validation proteins with a known answer, expected {FEWEST} or more"
    if not np.isfinite(logits).all():
        return "logits are not finite"
    if task.problem_type == SINGLE_LABEL:
        if (targets.sum(0) > 0).sum() < 2:
            return "all validation proteins have the same class"
        wrong = targets[np.arange(len(logits)), logits.argmax(1)] == 0
        wrong &= known.any(1)
    else:
        if not ((targets == 1) & known).any() or not ((targets == 0) & known).any():
            return "all validation proteins have all labels, or none"
        wrong = ((logits > 0) != (targets == 1)) & known
    # the likelihood would grow forever with the scores
    return None if wrong.any() else "no prediction for validation proteins is wrong"


def fit_temperature(logits: np.ndarray, references: np.ndarray, task: Task) -> Scaling:
    """The temperature with the lowest negative log-likelihood, 0.05 to 20.

    Args:
        logits: (N, C), uncalibrated.
        references: As [`task_metrics`] takes them; unknown ones are left out.
        task: A classification.
    """
    likelihood = _likelihood(logits, references, task)

    def loss(log_temperature: float) -> float:
        return likelihood(np.asarray(logits, dtype=np.float64) / np.exp(log_temperature))[0]

    found = optimize.minimize_scalar(loss, bounds=LOG_RANGE, method="bounded", options={"xatol": 1e-7})
    return Scaling(float(np.exp(found.x)), None)


def fit_vector(logits: np.ndarray, references: np.ndarray, task: Task) -> Scaling:
    """A temperature and a bias for each class with the lowest negative log-likelihood.

    A class with few proteins cannot fix two numbers: a standard normal prior on the logarithms of the temperatures and
    on the biases, which weighs as much as one protein, holds them near 1 and 0.

    Args:
        logits: (N, C), uncalibrated.
        references: As [`task_metrics`] takes them; unknown ones are left out.
        task: A classification.
    """
    logits = np.asarray(logits, dtype=np.float64)
    likelihood, classes = _likelihood(logits, references, task), logits.shape[1]

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        divided, bias = logits / np.exp(values[:classes]), values[classes:]
        value, slope = likelihood(divided + bias)
        gradient = np.concatenate([-(slope * divided).sum(0), slope.sum(0)])
        return value + (values**2).sum() / (2 * len(logits)), gradient + values / len(logits)

    start = np.repeat([np.log(fit_temperature(logits, references, task).temperature), 0.0], classes)
    bounds = [LOG_RANGE] * classes + [(None, None)] * classes
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12})
    return Scaling(np.exp(found.x[:classes]).tolist(), found.x[classes:].tolist())


FITS: dict[str, Callable[[np.ndarray, np.ndarray, Task], Scaling]] = {
    "temperature": fit_temperature,
    "vector": fit_vector,
}


def _targets(references: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The true answers as (N, C) of 0 and 1, and where they are known, (N, C) or (N, 1)."""
    references = np.asarray(references)
    known = known_references(references)
    if task.problem_type == SINGLE_LABEL:
        return (references[:, None] == np.arange(len(task.labels))).astype(np.float64), known[:, None]
    return np.where(known, references, 0).astype(np.float64), known


def _likelihood(
    logits: np.ndarray, references: np.ndarray, task: Task
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The mean negative log-likelihood of the known answers, and its gradient, (N, C), as a function of logits."""
    targets, known = _targets(references, task)
    count = known.sum()

    def one_class(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        log_scores = special.log_softmax(scaled, axis=1)
        gradient = (np.exp(log_scores) - targets) * known / count
        return float(-(log_scores * targets * known).sum() / count), gradient

    def several_classes(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        each = np.logaddexp(0, scaled) - targets * scaled
        return float((each * known).sum() / count), (special.expit(scaled) - targets) * known / count

    return one_class if task.problem_type == SINGLE_LABEL else several_classes
