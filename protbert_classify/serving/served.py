"""A loaded classifier as the server and the hooks use it: records to token ids, to logits, to answers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ..data.records import Record
from ..errors import OptionError
from ..evaluation.decision import Decision, decide
from ..evaluation.prediction_sets import check_sets
from ..inference.engine import default_tokens
from ..inference.logits import predict_logits
from ..inference.saved_classifier import classifier_encoder
from ..model import ProteinClassifier
from ..model.tasks import DEFAULT_THRESHOLD, MULTI_LABEL, Task
from .http_errors import Unprocessable
from .requests import Query


class ServedModel:
    """Gives the scores of [`ProteinClassificationPipeline`], for many proteins at once.

    Args:
        model: In evaluation mode.
        tokenizer: Of the model.
        tokens_per_batch: Most tokens of a forward pass, padding included; what suits the device if None.
    """

    def __init__(
        self, model: ProteinClassifier, tokenizer: PreTrainedTokenizerBase, tokens_per_batch: int | None = None
    ) -> None:
        self.model = model
        self.encoder = classifier_encoder(model, tokenizer)
        self.tokens_per_batch = tokens_per_batch or default_tokens(model)

    def encode(self, record: Record) -> np.ndarray:
        """(T,), the token ids of a checked record, cropped as in the model's training."""
        return np.frombuffer(self.encoder(record.residues), dtype=np.uint8)

    def logits(self, encoded: Sequence[np.ndarray], passed: Callable[[int], object] | None = None) -> np.ndarray:
        """(N, C), or (N, C + A) with auxiliary tasks; `passed` is called with the proteins of each forward pass."""
        return predict_logits(self.model, encoded, self.tokens_per_batch, passed)

    def check(self, query: Query) -> None:
        """Check that the model can give what a query asks for, before anything is computed.

        Raises:
            Unprocessable: Prediction sets of a model that cannot give them.
        """
        error = query.form.parameters.get("sets")
        try:
            if error is not None:
                check_sets(self.model.config.task, error)
        except OptionError as reason:
            raise Unprocessable(f"parameters, {reason}") from None

    def decide(self, logits: np.ndarray) -> Decision:
        """The answers for N proteins, from their logits."""
        return decide(logits, self.model.config)

    def truncated(self, records: Sequence[Record]) -> list[bool]:
        """For each record, whether it is longer than the model reads."""
        return [self.encoder.is_cropped(len(record.residues)) for record in records]

    def description(self) -> dict[str, Any]:
        """What clients may want to know about the model, as JSON has it."""
        config = self.model.config
        return {
            "backbone": config.backbone_config.model_type,
            "members": len(self.model.networks),
            "tasks": [_described(task) for task in config.tasks],
            "crop": self.encoder.crop,
            "cropped_to": self.encoder.room,
            "calibration": _calibration(config.task),
        }


def _calibration(task: Task) -> dict[str, Any] | None:
    """What calibrates the scores of the main task; None if nothing does."""
    if not task.is_calibrated:
        return None
    return {"temperature": task.temperature, "bias": None if task.bias is None else list(task.bias)}


def _described(task: Task) -> dict[str, Any]:
    """A task without the fields that only its training needs."""
    several = task.problem_type == MULTI_LABEL
    thresholds = list(task.thresholds or [DEFAULT_THRESHOLD] * len(task.labels)) if several else None
    return {
        "name": task.name,
        "problem_type": task.problem_type,
        "labels": list(task.labels),
        "thresholds": thresholds,
    }
