"""A loaded classifier as the server and the hooks use it: records to token ids, to logits, to answers."""

from collections.abc import Callable, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from ..data.records import Record
from ..evaluation.decision import Decision, decide
from ..inference.engine import default_tokens
from ..inference.logits import predict_logits
from ..inference.saved_classifier import classifier_encoder
from ..model import ProteinClassifier


class ServedModel:
    """Gives the scores of [`ProteinClassificationPipeline`], for many proteins at once.

    Args:
        model: In evaluation mode.
        tokenizer: Its own.
        tokens_per_batch: Tokens of a forward pass, at most, padding included; what suits the device if None.
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
        """(N, C), or (N, C + A) with auxiliary tasks; `passed` is told the proteins of each forward pass."""
        return predict_logits(self.model, encoded, self.tokens_per_batch, passed)

    def decide(self, logits: np.ndarray) -> Decision:
        """The answers for N proteins, from their logits."""
        return decide(logits, self.model.config)

    def truncated(self, records: Sequence[Record]) -> list[bool]:
        """For each record, whether it is longer than the model reads."""
        return [self.encoder.is_cropped(len(record.residues)) for record in records]
