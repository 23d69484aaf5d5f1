"""Encoded proteins to logits."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..model import ProteinClassifier
from ..training.batching import PaddingCollator


def predict_logits(
    model: ProteinClassifier,
    encoded: Sequence[np.ndarray],
    batch_size: int = 32,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Run the model over proteins, batched by length, on its device.

    Args:
        model: In evaluation mode.
        encoded: (N,), the token ids of each protein, (T,).
        batch_size: Proteins a batch.
        progress: Told after each batch how many proteins it had.

    Returns:
        (N, C), float32, in the order of `encoded`.
    """
    collate = PaddingCollator(model.config.pad_token_id or 0)
    order = sorted(range(len(encoded)), key=lambda index: -len(encoded[index]))
    logits = np.empty((len(encoded), model.num_labels), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = collate([{"input_ids": encoded[row]} for row in rows])
            output = model(**{name: tensor.to(model.device) for name, tensor in batch.items()})
            logits[rows] = output.logits.float().cpu().numpy()
            if progress is not None:
                progress(len(rows))
    return logits


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the classes, (N, C)."""
    return torch.from_numpy(logits).softmax(-1).numpy()
