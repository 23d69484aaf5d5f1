"""How good predictions are: the usual numbers of each problem type, computed by scikit-learn and SciPy.

Shapes: N proteins, C labels of a task.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    jaccard_score,
    matthews_corrcoef,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
)

from ..model.tasks import DEFAULT_THRESHOLD, MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from .calibration import score_metrics
from .decision import Decision
from .prediction_sets import set_metrics
from .references import known_references

# by problem type: the numbers that are logged and plotted during training, and the one that chooses the best weights
WATCHED: dict[str, tuple[str, ...]] = {
    SINGLE_LABEL: ("accuracy", "mcc", "macro_f1"),
    MULTI_LABEL: ("micro_f1", "macro_f1", "jaccard", "subset_accuracy", "mcc", "average_precision"),
    REGRESSION: ("spearman", "pearson", "r2", "mae"),
}
BEST_METRIC: dict[str, str] = {SINGLE_LABEL: "mcc", MULTI_LABEL: "mcc", REGRESSION: "spearman"}
LOWER_IS_BETTER = ("loss", "mae")
# names for people
NAMES: dict[str, str] = {
    "accuracy": "accuracy",
    "mcc": "MCC",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "jaccard": "Jaccard",
    "subset_accuracy": "subset accuracy",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "r2": "R²",
    "mae": "MAE",
    "ece": "ECE",
    "brier": "Brier score",
    "nll": "NLL",
    "sets_coverage": "coverage of prediction sets",
    "sets_size": "mean size of prediction sets",
    "sets_by_class_coverage": "coverage of sets by class",
    "sets_by_class_size": "mean size of sets by class",
}


def higher_is_better(name: str) -> bool:
    """Whether the best value of a metric is its highest; `name` may have a prefix, as in `eval_loss`."""
    return not any(name == metric or name.endswith(f"_{metric}") for metric in LOWER_IS_BETTER)


def watched_metrics(tasks: Sequence[Task]) -> list[str]:
    """Names of the numbers of [`evaluation_metrics`] that are logged and plotted.

    Args:
        tasks: The main task, and behind it the auxiliary ones.
    """
    main, *others = tasks
    beside = [f"{task.name}_{name}" for task in others for name in WATCHED[task.problem_type]]
    return [*WATCHED[main.problem_type], *beside]


def evaluation_metrics(
    decision: Decision,
    references: np.ndarray,
    auxiliary_references: np.ndarray | None = None,
    uncalibrated: Decision | None = None,
) -> dict[str, Any]:
    """Compare the predictions of all tasks with the truth.

    Args:
        decision: For N proteins.
        references: What [`task_metrics`] takes for the main task.
        auxiliary_references: (N, A'), the targets of the auxiliary tasks side by side, `num_targets` columns each;
            NaN where unknown. None leaves the auxiliary tasks out.
        uncalibrated: What the decision would be without calibration, see [`decide_uncalibrated`].

    Returns:
        What [`task_metrics`] returns for the main task, and `{task}_{metric}` for each auxiliary one. An auxiliary task
        without a known answer is left out. With `uncalibrated`, calibrated tasks also have [`score_metrics`] of that:
        `uncalibrated_ece` and so on.

    Raises:
        ValueError: No proteins, or shapes that do not fit.
    """
    metrics = {**task_metrics(decision, references), **_uncalibrated_metrics(uncalibrated, references)}
    if auxiliary_references is None:
        return metrics
    for name, targets in split_references(decision, auxiliary_references).items():
        if not np.isnan(targets).all():
            before = None if uncalibrated is None else uncalibrated.auxiliary[name]
            found = {**task_metrics(decision.auxiliary[name], targets), **_uncalibrated_metrics(before, targets)}
            metrics.update({f"{name}_{metric}": value for metric, value in found.items()})
    return metrics


def _uncalibrated_metrics(before: Decision | None, references: np.ndarray) -> dict[str, float]:
    if before is None or not before.task.is_calibrated:
        return {}
    return {f"uncalibrated_{name}": value for name, value in score_metrics(before, references).items()}


def split_references(decision: Decision, auxiliary_references: np.ndarray) -> dict[str, np.ndarray]:
    """The targets of each auxiliary task, (N,) for a single label and (N, C) else, from all of them, (N, A')."""
    references = np.asarray(auxiliary_references)
    widths = [answers.task.num_targets for answers in decision.auxiliary.values()]
    if references.ndim != 2 or references.shape[1] != sum(widths):
        raise ValueError(f"auxiliary references of shape {references.shape}: expected {sum(widths)} columns")
    parts = np.split(references, np.cumsum(widths)[:-1], axis=1) if widths else []
    return {
        name: part[:, 0] if answers.task.problem_type == SINGLE_LABEL else part
        for (name, answers), part in zip(decision.auxiliary.items(), parts, strict=True)
    }


def task_metrics(decision: Decision, references: np.ndarray) -> dict[str, Any]:
    """Compare the predictions of one task with the truth.

    Args:
        decision: For N proteins.
        references: (N,), the true class, -100 or NaN where unknown, for `single_label_classification`; (N, C), 0 or 1
            for `multi_label_classification` and numbers for `regression`, NaN where unknown. Unknown ones are left out.

    Returns:
        For a single label what [`classification_metrics`] returns, for several [`multi_label_metrics`], for numbers
        [`regression_metrics`]; of a classification also [`score_metrics`], and [`set_metrics`] where its model can give
        prediction sets.

    Raises:
        ValueError: No known reference, or shapes that do not fit.
    """
    references = np.asarray(references)
    expected = decision.scores.shape[: 1 if decision.task.problem_type == SINGLE_LABEL else 2]
    if references.shape != expected:
        raise ValueError(f"references of shape {references.shape} for task {decision.task.name!r}: expected {expected}")
    found = METRICS[decision.task.problem_type](decision, references)
    return {**found, **score_metrics(decision, references), **set_metrics(decision, references)}


def _single_label(decision: Decision, references: np.ndarray) -> dict[str, Any]:
    known = known_references(references)
    return classification_metrics(decision.best[known], references[known].astype(np.int64), decision.task.labels)


def _multi_label(decision: Decision, references: np.ndarray) -> dict[str, Any]:
    task = decision.task
    return multi_label_metrics(decision.chosen, decision.scores, references, task.labels, task.thresholds)


def _regression(decision: Decision, references: np.ndarray) -> dict[str, Any]:
    return regression_metrics(decision.scores, references, decision.task.labels)


METRICS: dict[str, Callable[[Decision, np.ndarray], dict[str, Any]]] = {
    SINGLE_LABEL: _single_label,
    MULTI_LABEL: _multi_label,
    REGRESSION: _regression,
}


def classification_metrics(
    predictions: Sequence[int] | np.ndarray, references: Sequence[int] | np.ndarray, labels: Sequence[str]
) -> dict[str, Any]:
    """Compare predicted classes with the true ones.

    Args:
        predictions: (N,), predicted class, 0..C-1.
        references: (N,), true class, 0..C-1.
        labels: (C,), names of the classes.

    Returns:
        `accuracy` (Q10 in the literature of ten locations), `mcc` (Gorodkin's multi-class Matthews correlation,
        doi:10.1016/j.compbiolchem.2004.09.006), `macro_f1` and `balanced_accuracy` (the mean recall) over the classes
        that have proteins, `per_class` (name -> `precision`, `recall`, `f1`, `mcc` of this class against all others,
        `support`; None where a class has no protein, for the precision and MCC of one that is never predicted, and for
        the MCC of one that all proteins have or are predicted to have) and `confusion_matrix` (C rows of true classes,
        C columns of predicted ones).

    Raises:
        ValueError: No proteins, or lengths that differ.
    """
    if len(references) == 0 or len(predictions) != len(references):
        raise ValueError(
            f"{len(predictions)} predictions for {len(references)} references; expected as many, at least 1"
        )
    indices = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(
        references, predictions, labels=indices, zero_division=0.0
    )
    matrix = confusion_matrix(references, predictions, labels=indices)
    predicted, against_others = matrix.sum(0) > 0, class_mcc(matrix[None])[0]
    per_class = {}
    for index, name in enumerate(labels):
        known = bool(support[index])
        per_class[name] = {
            "precision": float(precision[index]) if known and predicted[index] else None,
            "recall": float(recall[index]) if known else None,
            "f1": float(f1[index]) if known else None,
            "mcc": None if np.isnan(against_others[index]) else float(against_others[index]),
            "support": int(support[index]),
        }
    return {
        "accuracy": float(accuracy_score(references, predictions)),
        # with a single class, predicted without an error, there is none; scikit-learn says 0 and warns
        "mcc": float(matthews_corrcoef(references, predictions)) if len({*predictions, *references}) > 1 else 0.0,
        "macro_f1": float(np.mean(f1[support > 0])),
        "balanced_accuracy": float(np.mean(recall[support > 0])),
        "per_class": per_class,
        "confusion_matrix": matrix.tolist(),
    }


def class_mcc(matrices: np.ndarray) -> np.ndarray:
    """The Matthews correlation of each class against all others, (R, C), of confusion matrices, (R, C, C).

    NaN where it is not defined: a class that no protein has or is predicted to have, or that all have or are.
    """
    counts = matrices.astype(np.float64)
    total, right = counts.sum((1, 2))[:, None], np.einsum("rcc->rc", counts)
    true, predicted = counts.sum(2), counts.sum(1)
    spread = np.sqrt(true * (total - true) * predicted * (total - predicted))
    covariance = right * total - true * predicted
    return np.divide(covariance, spread, out=np.full(spread.shape, np.nan), where=spread > 0)


def multi_label_metrics(
    chosen: np.ndarray,
    scores: np.ndarray,
    references: np.ndarray,
    labels: Sequence[str],
    thresholds: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Compare sets of predicted labels with the true ones. Unknown answers count neither as right nor as wrong.

    Args:
        chosen: (N, C), bool: the predicted labels.
        scores: (N, C), probabilities.
        references: (N, C), 0 or 1, NaN where unknown.
        labels: (C,), names of the labels.
        thresholds: (C,), for the table; 0.5 if None.

    Returns:
        `micro_f1`, `macro_f1` over the labels that have proteins, `jaccard` (mean over the proteins), `subset_accuracy`
        (share of proteins with exactly the true labels), `mcc` and `average_precision` (means over the labels that have
        one) and `per_class` (name -> `precision`, `recall`, `f1`, `mcc`, `average_precision`, `threshold`, `support`;
        None where a label has no protein, for the `mcc` where every protein has it, and for the precision where it is
        never predicted).

    Raises:
        ValueError: No known reference.
    """
    known = known_references(references)
    rows = known.any(1)
    if not rows.any():
        raise ValueError("no known labels to compare with; expected at least 1")
    known, scores = known[rows], scores[rows]
    true, predicted = (references[rows] == 1) & known, chosen[rows] & known
    per_class = {
        name: {
            **_label_metrics(true[known[:, i], i], predicted[known[:, i], i], scores[known[:, i], i]),
            "threshold": float(thresholds[i]) if thresholds is not None else DEFAULT_THRESHOLD,
            "support": int(true[:, i].sum()),
        }
        for i, name in enumerate(labels)
    }
    return {
        "micro_f1": float(f1_score(true, predicted, average="micro", zero_division=0.0)),
        "macro_f1": _mean(per_class, "f1"),
        "jaccard": float(jaccard_score(true, predicted, average="samples", zero_division=1.0)),  # none of none is right
        "subset_accuracy": float(accuracy_score(true, predicted)),
        "mcc": _mean(per_class, "mcc"),
        "average_precision": _mean(per_class, "average_precision"),
        "per_class": per_class,
    }


def _label_metrics(true: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """The numbers of one label, from the proteins of which it is known, each (n,)."""
    if not true.any():
        return dict.fromkeys(("precision", "recall", "f1", "mcc", "average_precision"))
    precision, recall, f1, _ = precision_recall_fscore_support(true, predicted, average="binary", zero_division=0.0)
    return {
        "precision": float(precision) if predicted.any() else None,
        "recall": float(recall),
        "f1": float(f1),
        "mcc": float(matthews_corrcoef(true, predicted)) if not true.all() else None,
        # a training that diverged has scores that are NaN, and is reported by others
        "average_precision": float(average_precision_score(true, np.nan_to_num(scores))),
    }


def regression_metrics(predictions: np.ndarray, references: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Compare predicted numbers with the true ones, in the units of the data.

    Args:
        predictions: (N, C).
        references: (N, C), NaN where unknown.
        labels: (C,), names of the numbers.

    Returns:
        `spearman`, `pearson`, `r2` (coefficient of determination), `mae` (mean absolute error): means over the targets
        that have one, 0 for the correlations and R² if none has; and `per_target` (name -> the same four and `n`, known
        proteins). Correlations and R² are None where the true numbers are all equal; a correlation is 0 where only the
        predicted ones are.

    Raises:
        ValueError: No known reference.
    """
    known = known_references(references)
    if not known.any():
        raise ValueError("no known numbers to compare with; expected at least 1")
    per_target = {
        name: _number_metrics(
            np.asarray(predictions)[known[:, i], i].astype(np.float64), references[known[:, i], i].astype(np.float64)
        )
        for i, name in enumerate(labels)
    }
    return {**{name: _mean(per_target, name) for name in WATCHED[REGRESSION]}, "per_target": per_target}


def _number_metrics(predictions: np.ndarray, references: np.ndarray) -> dict[str, float | int | None]:
    """The numbers of one target, from the proteins of which it is known, each (n,)."""
    found: dict[str, float | int | None] = dict.fromkeys(WATCHED[REGRESSION])
    if not np.isfinite(predictions).all():  # of a training that diverged, which others report
        return {"spearman": 0.0, "pearson": 0.0, "r2": float("nan"), "mae": float("nan"), "n": len(references)}
    if len(references):
        found["mae"] = float(mean_absolute_error(references, predictions))
    if len(references) > 1 and np.ptp(references) > 0:
        varied = np.ptp(predictions) > 0
        found["spearman"] = float(stats.spearmanr(references, predictions).statistic) if varied else 0.0
        found["pearson"] = float(stats.pearsonr(references, predictions).statistic) if varied else 0.0
        found["r2"] = float(r2_score(references, predictions))
    return {**found, "n": len(references)}


def _mean(parts: dict[str, dict[str, Any]], name: str) -> float:
    """Over the labels or targets that have this number; 0 if none has."""
    values = [part[name] for part in parts.values() if part[name] is not None]
    return float(np.mean(values)) if values else 0.0
