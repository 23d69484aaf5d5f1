"""A loaded classifier as the server and the hooks use it: records to token ids, to scores, to calls."""

from collections.abc import Callable, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from ..data.records import Record
from ..inference.engine import default_tokens
from ..inference.loading import classifier_encoder
from ..inference.logits import predict_logits, probabilities
from ..inference.tables import Call, call_of
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
        self.labels: list[str] = model.config.labels
        self.tokens_per_batch = tokens_per_batch or default_tokens(model.device)

    def encode(self, record: Record) -> np.ndarray:
        """(T,), the token ids of a checked record, cropped as in the model's training."""
        return np.frombuffer(self.encoder(record.residues), dtype=np.uint8)

    def scores(self, encoded: Sequence[np.ndarray], passed: Callable[[int], object] | None = None) -> np.ndarray:
        """Probabilities of encoded proteins, (N, C); `passed` is told the proteins of each forward pass."""
        return probabilities(predict_logits(self.model, encoded, self.tokens_per_batch, passed))

    def calls(self, records: Sequence[Record], scores: np.ndarray) -> list[Call]:
        """The calls of records, in their order, from their probabilities, (N, C)."""
        return [
            call_of(record, row, self.labels, self.encoder.is_cropped(len(record.residues)))
            for record, row in zip(records, scores, strict=True)
        ]
