"""How good the calls are: accuracy, MCC, macro F1 and each class on its own, computed by scikit-learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, matthews_corrcoef, precision_recall_fscore_support


def classification_metrics(
    predictions: Sequence[int] | np.ndarray, references: Sequence[int] | np.ndarray, labels: Sequence[str]
) -> dict[str, Any]:
    """Compare calls with the truth.

    Args:
        predictions: (N,), called class, 0..C-1.
        references: (N,), true class, 0..C-1.
        labels: (C,), names of the classes.

    Returns:
        `accuracy` (Q10 in the literature of ten locations), `mcc` (Gorodkin's multi-class Matthews correlation,
        doi:10.1016/j.compbiolchem.2004.09.006), `macro_f1` over the classes that have proteins, `per_class` (name ->
        `precision`, `recall`, `f1`, `support`; None where a class has no protein, and for the precision of one that is
        never called) and `confusion_matrix` (C rows of true classes, C columns of called ones).

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
    called = np.bincount(predictions, minlength=len(labels)) > 0
    per_class = {}
    for index, name in enumerate(labels):
        known = bool(support[index])
        per_class[name] = {
            "precision": float(precision[index]) if known and called[index] else None,
            "recall": float(recall[index]) if known else None,
            "f1": float(f1[index]) if known else None,
            "support": int(support[index]),
        }
    return {
        "accuracy": float(accuracy_score(references, predictions)),
        # of a single class, called without an error, there is none; scikit-learn says 0 and warns
        "mcc": float(matthews_corrcoef(references, predictions)) if len({*predictions, *references}) > 1 else 0.0,
        "macro_f1": float(np.mean(f1[support > 0])),
        "per_class": per_class,
        "confusion_matrix": confusion_matrix(references, predictions, labels=indices).tolist(),
    }
