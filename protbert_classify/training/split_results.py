"""The predictions of a trained model for a split: their metrics, and what a run's folder has of the test proteins.

Shapes: N proteins, C labels, A logits of all auxiliary tasks, A' numbers of the answers to them.
"""

import os
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from ..data.test_neighbours import NearestTraining, nearest_labels
from ..evaluation.decision import Decision, decide, decide_uncalibrated
from ..evaluation.label_transfer import transfer_labels
from ..evaluation.metrics import WATCHED, evaluation_metrics, task_metrics
from ..evaluation.prediction_sets import SET_METRICS
from ..model import ProteinClassifierConfig
from ..model.tasks import REGRESSION
from ..reporting.class_figures import draw_confusion_matrix
from ..reporting.figures import save_figure
from ..runs.files import FIGURES
from ..runs.writer import write_nearest, write_test_predictions
from .evaluation_loop import labels_of


def evaluate_split(
    config: ProteinClassifierConfig, proteins: Dataset, logits: np.ndarray, split: str
) -> tuple[dict[str, Any], Decision, tuple[np.ndarray, np.ndarray | None]]:
    """Compare predictions for a split with the truth.

    Args:
        config: Of the model that made the logits.
        proteins: N encoded proteins with labels.
        logits: (N, C) or (N, C + A).
        split: Its name.

    Returns:
        The metrics, with the split's name before each; the predictions; the references of the main task, (N,) or
        (N, C), and of the auxiliary ones, (N, A') or None.
    """
    decision = decide(logits, config)
    main, auxiliary = labels_of(proteins, "labels"), labels_of(proteins, "auxiliary_labels")
    assert main is not None, "its columns were read with the others"
    metrics = evaluation_metrics(decision, main, auxiliary, decide_uncalibrated(logits, config))
    if split == "validation":  # proteins that the prediction sets are made from say nothing about these
        metrics = {name: value for name, value in metrics.items() if not name.endswith(SET_METRICS)}
    named = {f"{split}_{name}": value for name, value in metrics.items()}
    return {f"{split}_proteins": len(proteins), **named}, decision, (main, auxiliary)


def write_test_results(
    folder: str,
    splits: DatasetDict,
    decision: Decision,
    references: tuple[np.ndarray, np.ndarray | None],
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """Write the predictions for the test proteins, their nearest training proteins and the confusion matrix.

    Args:
        folder: The run's folder.
        splits: With N raw test proteins and, if the command line prepared them, `nearest`.
        decision: For the test proteins.
        references: As [`evaluate_split`] returns them.
        metrics: As [`evaluate_split`] returns them.

    Returns:
        More metrics, where the nearest training proteins are known: `test_by_identity`, see [`metrics_by_identity`],
        and those of [`transferred_metrics`].
    """
    write_test_predictions(folder, splits["test"], decision, references)
    draw_confusion(folder, metrics, decision)
    nearest = getattr(splits, "nearest", None)
    transferred = {} if nearest is None else transferred_metrics(nearest, splits["train"], decision, references[0])
    return {**write_nearest(folder, splits, decision, references[0]), **transferred}


def transferred_metrics(
    nearest: NearestTraining, train: Dataset, decision: Decision, references: np.ndarray
) -> dict[str, float]:
    """How good the predictions for the test proteins are with the labels of the nearest training proteins.

    Args:
        nearest: Of N test proteins.
        train: The raw training proteins.
        decision: Of the model, for the test proteins.
        references: The true answers of the main task, (N,) or (N, C).

    Returns:
        `test_transferred_accuracy` and the other watched metrics, see [`transfer_labels`]; nothing of a regression.
    """
    if decision.task.problem_type == REGRESSION:
        return {}
    labels = nearest_labels(nearest, train, decision.task)
    found = task_metrics(transfer_labels(decision, labels, nearest.identity), references)
    return {f"test_transferred_{name}": found[name] for name in WATCHED[decision.task.problem_type]}


def draw_confusion(folder: str, metrics: dict[str, Any], decision: Decision) -> None:
    """Draw the confusion matrix of the test proteins into a run's folder, if their task has one."""
    if "test_confusion_matrix" in metrics:  # of single labels only
        figure = draw_confusion_matrix(metrics["test_confusion_matrix"], list(decision.task.labels))
        save_figure(figure, os.path.join(folder, FIGURES, "confusion_matrix.png"))
