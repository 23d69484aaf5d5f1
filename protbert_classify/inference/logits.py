"""Encoded proteins to logits.

Shapes: N proteins, B of a batch, T tokens of a protein, t vectors of an embedded one, H hidden size, C logits of the
main task, A of all auxiliary ones.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.collators import PackingCollator, PaddingCollator
from ..model import ProteinClassifier
from ..model.attention import PADDING_FREE
from ..model_source import diverged
from .engine import run_batches
from .precision import heads


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
        autocast: A half precision to compute the backbone and the pooling in; the heads stay in float32.
        options: `forward`, `finite` and `rounds`; see [`batched_logits`].

    Returns:
        (N, C), float32, in the order of `encoded`; (N, C + A) if the model has auxiliary tasks.

    Raises:
        ModelError: A logit is NaN or infinite.
    """
    packed = model.backbone.config._attn_implementation == PADDING_FREE
    collate = PackingCollator() if packed else PaddingCollator(model.config.pad_token_id or 0)
    return batched_logits(
        model,
        [len(protein) for protein in encoded],
        lambda rows: collate([{"input_ids": encoded[row]} for row in rows]),
        tokens_per_batch,
        progress,
        autocast=autocast,
        **options,
    )


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
        if finite:
            _check_finite(model, logits)
        return logits.cpu().numpy()

    found = np.empty((0, model.num_labels), dtype=np.float32)
    with _autocast(model, autocast):
        for rows, logits in run_batches(lengths, collate, compute, model.device, tokens_per_batch, progress, rounds):
            if not len(found):
                found = np.empty((len(lengths), logits.shape[1]), dtype=np.float32)
            found[rows] = logits
    return found


def finite_logits(model: ProteinClassifier, batch: dict[str, Any]) -> torch.Tensor:
    """The logits of a batch, (B, C), float32, on the model's device.

    Raises:
        ModelError: One is NaN or infinite, as a training that diverged leaves them, or float16's range.
    """
    logits = model(**batch).logits.float()
    _check_finite(model, logits)
    return logits


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the classes, (N, C)."""
    return torch.from_numpy(logits).softmax(-1).numpy()


def _every_logit(output: Any) -> torch.Tensor:
    """(B, C) or, with auxiliary tasks, (B, C + A), float32."""
    auxiliary = getattr(output, "auxiliary_logits", None)
    logits = output.logits.float()
    return logits if auxiliary is None else torch.cat([logits, auxiliary.float()], dim=-1)


def _check_finite(model: ProteinClassifier, logits: torch.Tensor) -> None:
    if not torch.isfinite(logits).all():
        raise diverged(model.name_or_path, model.dtype == torch.float16)


@contextlib.contextmanager
def _autocast(model: ProteinClassifier, dtype: torch.dtype | None) -> Iterator[None]:
    """Autocast for what is below the heads, which compute in the precision of their weights."""
    if dtype is None:
        yield
        return
    with contextlib.ExitStack() as stack, torch.autocast(model.device.type, dtype):
        for head in heads(model):
            stack.enter_context(_without_autocast(head, model.device.type))
        yield


@contextlib.contextmanager
def _without_autocast(module: nn.Module, device_type: str) -> Iterator[None]:
    """Switch autocast off whenever a module runs."""
    with contextlib.ExitStack() as stack:
        before = module.register_forward_pre_hook(
            lambda *_: stack.enter_context(torch.autocast(device_type, enabled=False)) and None
        )
        after = module.register_forward_hook(lambda *_: stack.close(), always_call=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()
