"""What a masked-language model is measured by.

Shapes: V tokens of the vocabulary.
"""

import math
from typing import NamedTuple

import numpy as np

MASKED_METRICS = {"loss": False, "perplexity": False, "masked_accuracy": True}  # -> whether more is better
LARGEST_EXPONENT = 700.0  # of a number that a float holds


class MaskedSums(NamedTuple):
    """Sums over the residues that a model was asked to predict.

    Args:
        loss: Of their cross-entropies, in nats.
        right: How many of them the model gives the highest score.
        counts: (V,), ints, how often each token was the one to predict.
    """

    loss: float
    right: int
    counts: np.ndarray

    def __add__(self, other: "MaskedSums") -> "MaskedSums":  # type: ignore[override]  # not a concatenation
        return MaskedSums(self.loss + other.loss, self.right + other.right, self.counts + other.counts)

    def metrics(self) -> dict[str, float]:
        """`loss`, the mean over residues in nats; `perplexity`, its exponential; `masked_accuracy`, 0..1."""
        residues = max(int(self.counts.sum()), 1)
        loss = self.loss / residues
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, LARGEST_EXPONENT)) if math.isfinite(loss) else loss,
            "masked_accuracy": self.right / residues,
        }


def frequency_loss(wanted: np.ndarray, trained: np.ndarray) -> float:
    """The loss of a model that knows nothing but how frequent each residue is, in nats.

    Args:
        wanted: (V,), how often each token was the one to predict.
        trained: (V,), how often the training proteins have it; one is added to each that was to predict.
    """
    there = wanted > 0
    frequencies = (trained[there] + 1) / (trained[there] + 1).sum()
    return float(-(wanted[there] * np.log(frequencies)).sum() / max(wanted.sum(), 1))
