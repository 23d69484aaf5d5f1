"""The mean hidden state of each protein after each layer, in one pass over the proteins.

Shapes: N proteins, L layers of the backbone, H its hidden size.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput

from ..errors import ModelError, OptionError, ProteinClassifierError
from ..inference.engine import default_tokens, run_batches
from ..inference.logits import encoded_batches
from ..model import ProteinClassifier
from ..model.attention import unpack
from ..model.layers import watching_layers
from ..model.pooling import POOLINGS, residue_mask

TOLERANCE = 0.01  # of their size, between what the last layer and the backbone give; in half precision they may round


def layer_means(
    model: ProteinClassifier,
    encoded: Sequence[np.ndarray],
    path: str | os.PathLike[str],
    tokens_per_batch: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Run a backbone over proteins once, and keep the mean over the residues after each of its layers.

    The mean after layer n is what `mean` pooling gives of the backbone cut after n layers
    ([`ProteinClassifier.keep_first_layers`]): a norm at the backbone's end is applied to each layer. The means are in a
    file, so that memory does not grow with the proteins.

    Args:
        model: In evaluation mode, on its device; its pooling and head are not run.
        encoded: (N,), the token ids of each protein, (T,).
        path: Of the file, which is written.
        tokens_per_batch: Of a batch, at most; what suits the device if None.
        progress: Called after each batch with the number of its proteins.

    Returns:
        (L, N, H), float32, memory-mapped, in the order of `encoded`.

    Raises:
        OptionError: A backbone without a stack of layers, or one that computes more than a norm after its last.
        ModelError: A value is NaN or infinite.
        ProteinClassifierError: No room on the disk.
    """
    count, width = model.config.num_hidden_layers, model.config.hidden_size
    shape = (count, len(encoded), width)
    _check_room(path, 4 * int(np.prod(shape)))
    found = np.memmap(path, dtype=np.float32, mode="w+", shape=shape)
    lengths, collate = encoded_batches(model, encoded)
    tokens = tokens_per_batch or default_tokens(model)
    pooling: Any = POOLINGS["mean"](model.config)

    def compute(batch: dict[str, Any]) -> np.ndarray:
        return _means(model, pooling, batch).cpu().numpy()

    for rows, means in run_batches(lengths, collate, compute, model.device, tokens, progress):
        found[:, rows] = means
    return found


def _means(model: ProteinClassifier, pooling: Any, batch: dict[str, Any]) -> torch.Tensor:
    """(L, B, H) of a batch."""
    means: list[torch.Tensor] = []
    mask, unpacked = _residues(model, batch)  # before the pass: a layer's hidden states are let go when the next begins

    def see(hidden: torch.Tensor) -> None:
        means.append(pooling(BaseModelOutput(last_hidden_state=unpacked(hidden).float()), mask))

    try:
        with watching_layers(model.backbone, see):
            output, _ = model.read_residues(**batch)
    except ValueError as error:
        raise OptionError(f"{error}; its layers cannot be probed") from error
    found = torch.stack(means)
    if not torch.isfinite(found).all():
        name = model.name_or_path or model.backbone.name_or_path
        raise ModelError(f"{name} gives hidden states that are not numbers: its weights are damaged")
    expected = pooling(BaseModelOutput(last_hidden_state=output.last_hidden_state.float()), mask)
    if len(means) != model.config.num_hidden_layers or not _close(means[-1], expected):
        raise OptionError(
            f"the layers of a {model.config.backbone_config.model_type} cannot be probed: it computes more after its "
            "last layer than is known here; give the number of a layer, or leave layer out"
        )
    return found


def _residues(
    model: ProteinClassifier, batch: dict[str, Any]
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """Where the residues are, (B, T), and what makes (B, T, H) of the hidden states of a batch."""
    borders = batch.get("cu_seq_lens_q")
    if borders is None:
        return residue_mask(batch["attention_mask"], *model.special_tokens), lambda hidden: hidden
    longest = batch["max_length_q"]
    attended = torch.arange(longest, device=borders.device) < borders.diff()[:, None]
    return residue_mask(attended, *model.special_tokens), lambda hidden: unpack(hidden, borders, longest)[0]


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).norm() <= TOLERANCE * expected.norm())


def _check_room(path: str | os.PathLike[str], needed: int) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    free = shutil.disk_usage(folder).free
    if needed > free:  # a memory map that finds no room ends the process without a word
        raise ProteinClassifierError(
            f"the hidden states of all layers need {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free; "
            "free some space, set TMPDIR to a larger disk, or probe fewer proteins"
        )
