"""The metrics as a module of `evaluate`; its path loads offline: `evaluate.load(protein_classification.__file__)`."""

from typing import Any

import datasets
import evaluate

from protbert_classify.evaluation.metrics import classification_metrics

_DESCRIPTION = "Accuracy (Q10), multi-class MCC, macro F1, per-class precision and recall, confusion matrix."
_INPUTS = """
Args:
    predictions: predicted classes, 0..C-1.
    references: true classes, 0..C-1.
    labels: names of the classes; '0', '1', ... up to the highest seen if None.
"""


class ProteinClassificationMetric(evaluate.Metric):
    """`classification_metrics` for code that speaks `evaluate`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: Any, references: Any, labels: list[str] | None = None) -> dict[str, Any]:
        if labels is None:
            labels = [str(index) for index in range(max([*predictions, *references], default=-1) + 1)]
        return classification_metrics(predictions, references, labels)
