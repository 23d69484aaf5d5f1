"""Encoded proteins to logits; `evaluation/decision.py` makes probabilities of them.

Shapes: N proteins, B of a batch, T tokens of a protein, t vectors of an embedded one, H hidden size, C logits of the
main task, A of all auxiliary ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..data.collators import PackingCollator, PaddingCollator, padded_length
from ..model import ProteinClassifier
from ..model.attention import PADDING_FREE
from ..model_source import non_finite_error
from .engine import PAD_TO_ON_CPU, batches_at_a_time, default_tokens, run_batches


def predict_logits(
    model: ProteinClassifier,
    encoded: Sequence[np.ndarray],
    tokens_per_batch: int | None = None,
    progress: Callable[[int], object] | None = None,
    *,
    autocast: torch.dtype | None = None,
    **options: Any,
) -> np.ndarray:
    """Run the model over proteins, batched by length, on its device; packed if its packing is enabled.

    A batch that does not fit into memory is computed in halves.

    Args:
        model: In evaluation mode.
        encoded: (N,), the token ids of each protein, (T,).
        tokens_per_batch: Tokens of a batch, at most, padding included; a longer protein goes alone. If None, what suits
            the device.
        progress: Called after each batch with the number of its proteins.
        autocast: A half precision to compute in; the heads stay in float32.
        options: `forward`, `finite` and `rounds`; see [`batched_logits`].

    Returns:
        (N, C), float32, in the order of `encoded`; (N, C + A) if the model has auxiliary tasks.

    Raises:
        ModelError: A logit is NaN or infinite.
    """
    batches = encoded_batches(model, encoded)
    return batched_logits(model, *batches, tokens_per_batch, progress, autocast=autocast, **options)


def encoded_batches(
    model: ProteinClassifier, encoded: Sequence[np.ndarray]
) -> tuple[list[int], Callable[[list[int]], dict[str, Any]]]:
    """How [`run_batches`] is to batch encoded proteins for a model: packed if its packing is enabled, else padded.

    On a CPU, padded lengths are rounded up: every new one makes new kernels, which stay in memory.

    Args:
        model: On its device.
        encoded: (N,), the token ids of each protein, (T,).

    Returns:
        Tokens that each protein takes in a batch, and what makes a batch of rows.
    """
    multiple = PAD_TO_ON_CPU if model.device.type == "cpu" else None
    lengths = [len(protein) for protein in encoded]
    collate: PackingCollator | PaddingCollator
    if model.backbone.config._attn_implementation == PADDING_FREE:
        collate = PackingCollator(multiple, model.max_positions)
    else:
        collate = PaddingCollator(model.config.pad_token_id or 0, multiple, model.max_positions)
        lengths = [padded_length(length, multiple, model.max_positions) for length in lengths]
    return lengths, lambda rows: collate([{"input_ids": encoded[row]} for row in rows])


def batched_logits(
    model: ProteinClassifier,
    lengths: Sequence[int] | np.ndarray,
    collate: Callable[[list[int]], Mapping[str, Any]],
    tokens_per_batch: int | None = None,
    progress: Callable[[int], object] | None = None,
    *,
    autocast: torch.dtype | None = None,
    forward: Callable[..., Any] | None = None,
    finite: bool = True,
    rounds: int | None = None,
) -> np.ndarray:
    """[`predict_logits`] of whatever a collator makes of rows: token ids, or proteins that are embedded already.

    Args:
        model: In evaluation mode.
        lengths: (N,), tokens of each protein, or its vectors, t.
        collate: Makes a batch of rows, 0..N-1, for the model's `forward`.
        tokens_per_batch: See [`predict_logits`].
        progress: See there.
        autocast: See there.
        forward: Called in place of `model`: the same model, wrapped for several processes.
        finite: Refuse logits that are NaN or infinite.
        rounds: Forward passes of this process; see [`run_batches`].

    Returns:
        (N, C) or (N, C + A), float32, in the order of `lengths`.

    Raises:
        ModelError: A logit is NaN or infinite.
    """

    def compute(batch: dict[str, Any]) -> np.ndarray:
        logits = _every_logit((forward or model)(**batch))
        return (_finite(model, logits) if finite else logits).cpu().numpy()

    found = np.empty((0, model.num_labels), dtype=np.float32)
    tokens = tokens_per_batch or default_tokens(model)
    # autocast holds for this thread alone, and processes that compute together must do so in one order
    together = 1 if autocast is not None or rounds is not None else batches_at_a_time(model)
    with torch.autocast(model.device.type, autocast, enabled=autocast is not None):
        for rows, logits in run_batches(lengths, collate, compute, model.device, tokens, progress, rounds, together):
            if not len(found):
                found = np.empty((len(lengths), logits.shape[1]), dtype=np.float32)
            found[rows] = logits
    return found


def finite_logits(model: ProteinClassifier, batch: dict[str, Any]) -> torch.Tensor:
    """The logits of a batch, (B, C) or (B, C + A), float32, on the model's device.

    Raises:
        ModelError: One is NaN or infinite, as a training that diverged leaves them, or float16's range.
    """
    return _finite(model, _every_logit(model(**batch)))


def _every_logit(output: Any) -> torch.Tensor:
    """(B, C) or, with auxiliary tasks, (B, C + A), float32."""
    auxiliary = getattr(output, "auxiliary_logits", None)
    logits = output.logits.float()
    return logits if auxiliary is None else torch.cat([logits, auxiliary.float()], dim=-1)


def _finite(model: ProteinClassifier, logits: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(logits).all():
        raise non_finite_error(model.name_or_path, model.dtype == torch.float16)
    return logits
