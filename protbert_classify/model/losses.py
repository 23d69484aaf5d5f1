"""From logits and labels to what is minimised, task by task.

A loss returns a sum and what that sum is to be divided by: over micro-batches and processes, sums and denominators are
added up before they are divided, so that every known label weighs the same wherever it is computed.

Shapes: B proteins, C logits of a task.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from .registry import Registry
from .tasks import IGNORED, MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task

Loss = Callable[..., torch.Tensor]

LOSSES: Registry[Loss] = Registry("loss")
COMPENSATED = 0.5  # of what class weights do to the scores
FOCUS = 2  # the exponent of the focal loss that its authors recommend
SMALLEST_WEIGHT = 1e-6  # of a class, whose logarithm is finite
USUAL_LOSS = {
    SINGLE_LABEL: "cross_entropy",
    MULTI_LABEL: "binary_cross_entropy",
    REGRESSION: "mean_squared_error",
}
# the problem types that each loss of ours is for; a user's own are not checked
LOSSES_FOR = {
    SINGLE_LABEL: ("cross_entropy", "compensated", "focal", "logit_adjusted"),
    MULTI_LABEL: ("binary_cross_entropy", "focal"),
    REGRESSION: ("mean_squared_error",),
}


@LOSSES.register("cross_entropy")
def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, *, task: Task, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy of the true class.

    Args:
        logits: (B, C), float32.
        labels: (B,), int64, 0..C-1.
        task: Whose logits these are; may have weights of the classes.
        label_smoothing: Share of the target spread over all classes, 0..1.

    Returns:
        (B,), a loss for each label.
    """
    weight = None if task.class_weights is None else logits.new_tensor(task.class_weights)
    return functional.cross_entropy(logits, labels, weight, reduction="none", label_smoothing=label_smoothing)


@LOSSES.register("compensated")
def compensated(
    logits: torch.Tensor, labels: torch.Tensor, *, task: Task, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy with class weights, half of whose effect on the scores is taken back.

    Weights let a network learn what distinguishes a rare class, but they also multiply its scores: too many proteins
    are taken for rare ones. Half of the logarithm of the weights is added to the logits in training, and only there, so
    that the network need not learn it. This is the vector-scaling loss of Kini et al. 2021, arXiv:2103.01550, with an
    additive term of the opposite sign.

    Args:
        logits: (B, C), float32.
        labels: (B,), int64, 0..C-1.
        task: Whose logits these are; without weights of the classes, this is the cross-entropy.
        label_smoothing: Share of the target spread over all classes, 0..1.

    Returns:
        (B,), a loss for each label.
    """
    if task.class_weights is not None:
        logits = logits + COMPENSATED * _log_weights(logits, task)
    return cross_entropy(logits, labels, task=task, label_smoothing=label_smoothing)


@LOSSES.register("focal")
def focal(logits: torch.Tensor, labels: torch.Tensor, *, task: Task, label_smoothing: float = 0.0) -> torch.Tensor:
    """Focal loss: labels that are predicted well already count less (Lin et al. 2017, doi:10.1109/ICCV.2017.324).

    Args:
        logits: (B, C), float32.
        labels: (B,), int64, 0..C-1, of a single label; else (B, C), 0 or 1.
        task: Whose logits these are; may have weights of the classes.
        label_smoothing: As in the cross-entropy that it lowers.

    Returns:
        (B,) or (B, C), a loss for each label.
    """
    if task.problem_type == SINGLE_LABEL:
        usual, plain = cross_entropy, functional.cross_entropy(logits, labels, reduction="none")
    else:
        usual = binary_cross_entropy
        plain = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    missing = 1 - torch.exp(-plain)  # of the probability of the truth
    return missing**FOCUS * usual(logits, labels, task=task, label_smoothing=label_smoothing)


@LOSSES.register("logit_adjusted")
def logit_adjusted(
    logits: torch.Tensor, labels: torch.Tensor, *, task: Task, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy with the logarithm of each class's weight taken from its logit.

    Menon et al. 2021, arXiv:2007.07314. With weights that are the inverse of the classes' shares in training, the
    network learns the logits it would need if all classes were as frequent. What are factors in the cross-entropy are
    margins here.

    Args:
        logits: (B, C), float32.
        labels: (B,), int64, 0..C-1.
        task: Whose logits these are; without weights of the classes, this is the cross-entropy.
        label_smoothing: Share of the target spread over all classes, 0..1.

    Returns:
        (B,), a loss for each label.
    """
    if task.class_weights is not None:
        logits = logits - _log_weights(logits, task)
    return functional.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)


def _log_weights(logits: torch.Tensor, task: Task) -> torch.Tensor:
    """(C,)"""
    return logits.new_tensor(task.class_weights).clamp(min=SMALLEST_WEIGHT).log()


@LOSSES.register("binary_cross_entropy")
def binary_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, *, task: Task, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Binary cross-entropy of each label.

    Args:
        logits: (B, C), float32.
        labels: (B, C), 0 or 1.
        task: Whose logits these are.
        label_smoothing: Targets become 1 - s/2 and s/2, 0..1.

    Returns:
        (B, C), a loss for each label.
    """
    smooth = labels * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")


@LOSSES.register("mean_squared_error")
def mean_squared_error(
    logits: torch.Tensor, labels: torch.Tensor, *, task: Task, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Squared error of standardised targets.

    Args:
        logits: (B, C), float32, standardised: 0 is the mean of the training targets, 1 a standard deviation above it.
        labels: (B, C), in the units of the data.
        task: Has mean and standard deviation.
        label_smoothing: Without meaning here.

    Returns:
        (B, C), a loss for each number.
    """
    return functional.mse_loss(logits, standardised(labels, task), reduction="none")


def check_loss(name: str, problem_type: str) -> None:
    """Refuse a loss that is not registered, or is for another problem type.

    Raises:
        ValueError: Lists those there are.
    """
    LOSSES.check(name)
    ours = {loss for losses in LOSSES_FOR.values() for loss in losses}
    if name in ours and name not in LOSSES_FOR[problem_type]:
        fitting = LOSSES_FOR[problem_type]
        expected = " or ".join(fitting) if len(fitting) < 3 else f"one of {', '.join(fitting)}"
        raise ValueError(f"loss={name!r}: expected {expected} for {problem_type}")


def standardised(values: torch.Tensor, task: Task) -> torch.Tensor:
    """Targets of a regression with mean 0 and standard deviation 1 over the training proteins, (B, C)."""
    mean = values.new_tensor(task.mean or [0.0] * len(task.labels))
    std = values.new_tensor(task.std or [1.0] * len(task.labels))
    return (values - mean) / std


def task_loss(
    logits: torch.Tensor, labels: torch.Tensor, task: Task, label_smoothing: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of one task over the labels that are known.

    Args:
        logits: (B, C).
        labels: (B,) or (B, 1) classes, unknown ones -100 or NaN; else (B, C) numbers, unknown ones NaN.
        task: Whose they are.
        label_smoothing: See the losses.

    Returns:
        The sum of the losses, and how many labels it is a sum of, both ().
    """
    labels, known = known_labels(labels, logits, task)
    loss = LOSSES[task.loss or USUAL_LOSS[task.problem_type]]
    each = loss(logits.float(), labels, task=task, label_smoothing=label_smoothing)
    return each.masked_fill(~known, 0.0).sum(), known.sum()


def known_labels(labels: torch.Tensor, logits: torch.Tensor, task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels as the losses take them, unknown ones replaced by 0, and a mask of the known ones, of the same shape."""
    if task.problem_type == SINGLE_LABEL:
        labels = labels.reshape(len(logits))
        known = labels.isfinite() & (labels != IGNORED) if labels.is_floating_point() else labels != IGNORED
        return labels.masked_fill(~known, 0).long(), known
    labels = labels.float().reshape(logits.shape)
    known = labels.isfinite()
    return labels.masked_fill(~known, 0.0), known


def count_known(labels: torch.Tensor, task: Task) -> torch.Tensor:
    """Labels of a task that are known, (): the denominator of [`task_loss`]."""
    known = labels.isfinite() if labels.is_floating_point() else torch.ones_like(labels, dtype=torch.bool)
    return (known & (labels != IGNORED) if task.problem_type == SINGLE_LABEL else known).sum()


def split_auxiliary(values: torch.Tensor, tasks: tuple[Task, ...], targets: bool = False) -> list[torch.Tensor]:
    """The columns of each auxiliary task, (B, C) each.

    Args:
        values: (B, A), the logits or, with `targets`, the labels of all auxiliary tasks side by side.
        tasks: In the order of the columns.
        targets: Whether the columns are labels.
    """
    return list(values.split([task.num_targets if targets else task.num_logits for task in tasks], dim=-1))


def model_loss(
    logits: torch.Tensor,
    labels: torch.Tensor | None,
    config: Any,
    auxiliary_logits: torch.Tensor | None = None,
    auxiliary_labels: torch.Tensor | None = None,
    denominators: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    **kwargs: Any,
) -> torch.Tensor:
    """The weighted sum of the mean losses of all tasks.

    Args:
        logits: (B, C), of the main task.
        labels: (B,) or (B, C), of the main task; None if only auxiliary labels are there.
        config: A [`ProteinClassifierConfig`].
        auxiliary_logits: (B, A), of the auxiliary tasks side by side.
        auxiliary_labels: (B, A'), NaN where unknown.
        denominators: (tasks,), labels of each task that are known in the whole step, over micro-batches and processes;
            those of this batch if None.
        label_smoothing: Of the main task.
        kwargs: What other losses of transformers take.

    Returns:
        The loss, ().
    """
    parts = [] if labels is None else [(config.task, logits, labels, label_smoothing)]
    if auxiliary_logits is not None and auxiliary_labels is not None:
        tasks = config.auxiliary
        columns = zip(split_auxiliary(auxiliary_logits, tasks), split_auxiliary(auxiliary_labels, tasks, targets=True))
        parts += [(task, found, wanted, 0.0) for task, (found, wanted) in zip(tasks, columns, strict=True)]
    names = [task.name for task in config.tasks]
    total = logits.new_zeros((), dtype=torch.float32)
    for task, found, wanted, smoothing in parts:
        loss, count = task_loss(found, wanted, task, smoothing)
        if denominators is not None:
            count = denominators[names.index(task.name)]
        total = total + task.weight * loss / count.clamp(min=1)
    return total
