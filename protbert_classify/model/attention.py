"""Padding-free attention: the proteins of a batch stand one after the other in a single row, and none sees another.

Registered with transformers under the name [`PADDING_FREE`], for padded batches (as `sdpa`) and for packed ones alike.

Shapes: N proteins, T tokens of all of them together, h heads, d size of a head.
"""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

PADDING_FREE = "padding_free"
HALF = (torch.bfloat16, torch.float16)

logger = logging.getLogger(__name__)


def varlen_attention() -> Callable[..., Any] | None:
    """torch's attention over sequences of several lengths, `(q, k, v, cu, max_length, scale)`; None before torch 2.10.

    Its signature differs between versions: 2.10 has no `scale`.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    if "scale" in inspect.signature(varlen_attn).parameters:
        return lambda q, k, v, cu, longest, scale: varlen_attn(q, k, v, cu, cu, longest, longest, scale=scale)
    return lambda q, k, v, cu, longest, scale: varlen_attn(
        q * (scale * q.shape[-1] ** 0.5), k, v, cu, cu, longest, longest
    )


_varlen_attention = functools.cache(varlen_attention)


def why_no_kernel(device: torch.device, dtype: torch.dtype, dropout: float) -> str | None:
    """Why no single kernel computes the attention of packed proteins, which then takes a call a protein; else None.

    Args:
        device: Where queries, keys and values are.
        dtype: Of theirs.
        dropout: Of the attention weights, 0..1.
    """
    if device.type != "cuda":
        return f"no kernel for packed attention on {device.type}"
    if dtype not in HALF:
        return f"no kernel for packed attention in {str(dtype).removeprefix('torch.')}, only in half precision"
    if dropout:
        return f"no kernel for packed attention with an attention dropout of {dropout:g}"
    if _varlen_attention() is None:
        return f"no kernel for packed attention in torch {torch.__version__}: expected 2.10 or newer"
    return None


def padding_free_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each protein of a packed batch; of a padded one, as `sdpa`.

    CUDA in half precision takes torch's `varlen_attn`, anything else ([`why_no_kernel`]) a protein at a time:
    `scaled_dot_product_attention`, or plain matrix products where [`_pays_unfused`].

    Args:
        module: The layer that asks.
        query, key, value: (1, h, T, d) packed, or (B, h, T, d).
        attention_mask: None for a packed batch; else (B, 1, T, T), True where a token may be seen, or None.
        dropout: Of the attention weights, 0..1.
        scaling: Of the scores; 1/sqrt(d) if None.
        cu_seq_lens_q: (N + 1,), int32, where each protein begins and, last, T; None for a padded batch.
        max_length_q: Tokens of the longest protein.
        kwargs: What other attention functions take.

    Returns:
        (1, T, h, d) or (B, T, h, d), and no weights.

    Raises:
        ValueError: A packed batch with a mask, a position bias or a sliding window: proteins would see each other.
    """
    query, key, value = _in_autocast_dtype(query, key, value)
    if cu_seq_lens_q is None:
        if _pays_unfused(query):
            masks = query.shape[0] * [None] if attention_mask is None else attention_mask.split(1)
            rows = zip(query.split(1), key.split(1), value.split(1), masks, strict=True)
            return torch.cat([_unfused(*row, dropout, scaling) for row in rows]).transpose(1, 2), None
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    for name, found in (("attention_mask", attention_mask), *((n, kwargs.get(n)) for n in UNPACKABLE)):
        if found is not None:
            raise ValueError(f"a packed batch with {name}: this backbone cannot be packed")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    reason = why_no_kernel(query.device, query.dtype, dropout)
    varlen = _varlen_attention()
    if reason is None and varlen is not None:
        heads = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]  # (T, h, d)
        return varlen(*heads, cu_seq_lens_q, max_length_q, scaling)[None], None
    if query.device.type != "cpu":
        _warn_of_loop(reason)
    lengths = cu_seq_lens_q.diff().tolist()
    q, k, v = (tensor.split(lengths, dim=2) for tensor in (query, key, value))
    parts = zip(q, k, v, strict=True)
    return torch.cat([_one_protein(*part, dropout, scaling) for part in parts], dim=2).transpose(1, 2), None


UNPACKABLE = ("position_bias", "sliding_window")
UNFUSED = 1024  # tokens; a longer protein trains as fast by the fused kernel, which keeps no weights for backward


@functools.cache
def _warn_of_loop(reason: str | None) -> None:
    logger.warning("packed proteins attend one at a time, which is slow: %s", reason)


def _in_autocast_dtype(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As autocast casts them for torch's own attention: ESM C's normalized queries and keys come in float32."""
    device = tensors[0].device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)


def _one_protein(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float, scaling: float
) -> torch.Tensor:
    if _pays_unfused(query):
        return _unfused(query, key, value, None, dropout, scaling)
    return functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scaling)


def _pays_unfused(query: torch.Tensor) -> bool:
    """Whether plain matrix products are faster: on a CPU, whose fused kernel gains nothing from half precision."""
    short = query.shape[2] <= UNFUSED or not (torch.is_grad_enabled() and query.requires_grad)
    return query.device.type == "cpu" and query.dtype in HALF and short


def _unfused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """One protein, whose scores fit into the processor's caches: (1, h, T, d)."""
    scores = (query * (query.shape[-1] ** -0.5 if scaling is None else scaling)) @ key.transpose(-1, -2)  # (1, h, T, T)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    return functional.dropout(scores.softmax(-1), dropout) @ value


AttentionInterface.register(PADDING_FREE, padding_free_attention)
AttentionMaskInterface.register(PADDING_FREE, sdpa_mask)


def unpack(packed: torch.Tensor, cu_seq_lens: torch.Tensor, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The proteins of a packed batch in a row each, zeros behind them.

    Args:
        packed: (1, T, H), hidden states.
        cu_seq_lens: (N + 1,), where each protein begins and, last, T.
        longest: Tokens of the longest protein, L.

    Returns:
        (N, L, H), and the attention mask (N, L), int64.
    """
    lengths = cu_seq_lens.diff()
    mask = torch.arange(longest, device=packed.device) < lengths[:, None]  # (N, L)
    token = torch.arange(packed.shape[1], device=packed.device)
    protein = torch.repeat_interleave(torch.arange(len(lengths), device=packed.device), lengths, output_size=len(token))
    padded = packed.new_zeros(len(lengths), longest, packed.shape[2])
    padded = padded.index_put((protein, token - cu_seq_lens[:-1].long()[protein]), packed[0])
    return padded, mask.long()
