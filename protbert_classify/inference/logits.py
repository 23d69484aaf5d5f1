"""Encoded proteins to logits."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from ..data.collators import PackingCollator, PaddingCollator
from ..model import ProteinClassifier
from ..model.attention import PADDING_FREE
from ..model_source import diverged

CPU_TOKENS = 4096  # as benchmarks.cpu has them; more leaves the caches of a processor
DEVICE_TOKENS = 16_384


def predict_logits(
    model: ProteinClassifier,
    encoded: Sequence[np.ndarray],
    tokens_per_batch: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Run the model over proteins, batched by length, on its device; packed if its packing is enabled.

    A batch that does not fit into memory is computed in halves.

    Args:
        model: In evaluation mode.
        encoded: (N,), the token ids of each protein, (T,).
        tokens_per_batch: Tokens of a batch, at most, padding included; a longer protein goes alone. If None, what suits
            the device.
        progress: Told after each batch how many proteins it had.

    Returns:
        (N, C), float32, in the order of `encoded`.

    Raises:
        ModelError: A logit is no number.
    """
    tokens = tokens_per_batch or default_tokens(model.device)
    packed = model.backbone.config._attn_implementation == PADDING_FREE
    collate = PackingCollator() if packed else PaddingCollator(model.config.pad_token_id or 0)
    logits = np.empty((len(encoded), model.num_labels), dtype=np.float32)
    todo = list(batches_by_length([len(protein) for protein in encoded], tokens))[::-1]
    with torch.inference_mode():
        while todo:
            rows = todo.pop()
            found = _logits_or_none(model, collate([{"input_ids": encoded[row]} for row in rows]), len(rows))
            if found is None:
                todo += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
                continue
            logits[rows] = found
            if progress is not None:
                progress(len(rows))
    return logits


def default_tokens(device: torch.device) -> int:
    """Tokens of a batch that a device computes fast."""
    return CPU_TOKENS if device.type == "cpu" else DEVICE_TOKENS


def batches_by_length(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Rows of similar length, longest first, at most so many tokens with their padding; at least one row."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens_per_batch:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _logits_or_none(model: ProteinClassifier, batch: dict[str, Any], proteins: int) -> np.ndarray | None:
    """(B, C), or None if several proteins do not fit into memory together."""
    moved = {name: value.to(model.device) if torch.is_tensor(value) else value for name, value in batch.items()}
    try:
        return finite_logits(model, moved).cpu().numpy()
    except RuntimeError as error:
        if proteins < 2 or not should_reduce_batch_size(error):
            raise
    clear_device_cache()
    return None


def finite_logits(model: ProteinClassifier, batch: dict[str, Any]) -> torch.Tensor:
    """The logits of a batch, (B, C), float32, on the model's device: every score of a loaded model comes from here.

    Raises:
        ModelError: One is NaN or infinite, as a training that diverged leaves them, or float16's range.
    """
    logits = model(**batch).logits.float()
    if not torch.isfinite(logits).all():
        raise diverged(model.name_or_path, model.dtype == torch.float16)
    return logits


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the classes, (N, C)."""
    return torch.from_numpy(logits).softmax(-1).numpy()
