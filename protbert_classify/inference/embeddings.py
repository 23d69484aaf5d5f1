"""Encoded proteins to vectors.

Shapes: N proteins, B of a batch, T tokens of the longest, R residues of a protein that the model reads, H hidden size
of the backbone, D values of a vector: H, or what a pooling gives.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import ModelError, OptionError
from ..model import ProteinClassifier
from .engine import batches_at_a_time, default_tokens, run_batches
from .logits import encoded_batches


def embed_proteins(
    model: ProteinClassifier,
    encoded: Sequence[np.ndarray],
    *,
    per_residue: bool = False,
    dtype: torch.dtype = torch.float32,
    tokens_per_batch: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[np.ndarray]:
    """Run the backbone over proteins as [`predict_logits`] does, in the same batches, and keep its vectors.

    Args:
        model: In evaluation mode; its head is not run.
        encoded: (N,), the token ids of each protein, (T,).
        per_residue: The last hidden state of each residue; else what the model's pooling makes of them.
        dtype: Of the vectors, whatever the model computes in.
        tokens_per_batch: See [`predict_logits`].
        progress: See there.

    Returns:
        (N,), in the order of `encoded`: (D,) each or, per residue, (R, H), without special tokens.

    Raises:
        ModelError: A value is NaN or infinite.
        OptionError: One is finite, but not in `dtype`.
    """

    def compute(batch: dict[str, Any]) -> list[np.ndarray]:
        output, mask = model.read_residues(**batch)
        vectors = output.last_hidden_state[mask] if per_residue else model.pooling(output, mask)
        found = _finite(model, vectors, dtype).cpu().numpy()
        return np.split(found, mask.sum(1).cumsum(0)[:-1].cpu().numpy()) if per_residue else list(found)

    lengths, collate = encoded_batches(model, encoded)
    tokens = tokens_per_batch or default_tokens(model)
    by_row: dict[int, np.ndarray] = {}
    together = batches_at_a_time(model)
    for rows, vectors in run_batches(lengths, collate, compute, model.device, tokens, progress, at_a_time=together):
        by_row.update(zip(rows, vectors, strict=True))
    return [by_row[row] for row in range(len(encoded))]


def _finite(model: ProteinClassifier, vectors: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if not torch.isfinite(vectors).all():
        raise ModelError(
            f"{model.name_or_path or model.backbone.name_or_path} gives vectors that are not numbers: its weights are "
            "damaged, or its training diverged"
        )
    converted = vectors.to(dtype)
    if not torch.isfinite(converted).all():
        raise OptionError("dtype=float16: the vectors have values beyond its range (65,504); expected float32")
    return converted
