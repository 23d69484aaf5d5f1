"""Padded proteins through a backbone, with padding on either side, as token ids or as token embeddings.

Shapes: B proteins, T tokens of the longest, H hidden size of the backbone.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .token_dropout import backbone_inputs


def padded_output(
    backbone: PreTrainedModel,
    input_ids: torch.Tensor | None,
    inputs_embeds: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    *,
    reads_embeddings: bool,
    **kwargs: Any,
) -> tuple[ModelOutput, torch.Tensor]:
    """A backbone's output for padded proteins.

    Args:
        backbone: The encoder.
        input_ids: (B, T), token ids.
        inputs_embeds: (B, T, H), in their place.
        attention_mask: (B, T), 1 for tokens, 0 for padding on either side; all tokens if None.
        reads_embeddings: Whether the backbone takes `inputs_embeds`.
        kwargs: Passed to the backbone: `position_ids` and `token_type_ids` (B, T), ...

    Returns:
        The output, and the attention mask, (B, T); in both the padding comes last.
    """
    tokens = input_ids if input_ids is not None else inputs_embeds
    assert tokens is not None
    if attention_mask is None:
        attention_mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
    else:
        order = _padding_last(attention_mask)
        tokens, attention_mask = _reordered(tokens, order), _reordered(attention_mask, order)
        for name in ("position_ids", "token_type_ids"):
            if kwargs.get(name) is not None:
                kwargs[name] = _reordered(kwargs[name].expand(order.shape), order)
    table: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if input_ids is None and not reads_embeddings:
        table = _giving(backbone.get_input_embeddings(), tokens)
        input_ids = tokens = attention_mask.new_zeros(attention_mask.shape, dtype=torch.long)
    ids_or_embeds = (None, tokens) if input_ids is None else (tokens, None)
    around = {"attention_mask": attention_mask, "position_ids": kwargs.get("position_ids")}
    given = backbone_inputs(backbone, *ids_or_embeds, **around)
    with table:
        return backbone(**given, attention_mask=attention_mask, return_dict=True, **kwargs), attention_mask


def _padding_last(attention_mask: torch.Tensor) -> torch.Tensor:
    """The order of the tokens with padding on the left moved to the right, (B, T).

    Absolute positions and the first token are then what they were trained as.

    Args:
        attention_mask: (B, T).
    """
    length = attention_mask.shape[1]
    padding = (attention_mask.cumsum(-1) == 0).sum(-1, keepdim=True)  # (B, 1), on the left
    return (torch.arange(length, device=attention_mask.device) + padding) % length


def _reordered(tokens: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Tokens (B, T) or (B, T, H) in another order, (B, T).

    By `gather`: torch.compile and torch.export make one graph of it for all shapes, of `take_along_dim` one for each.
    """
    if tokens.dim() == 3:
        order = order[..., None].expand(-1, -1, tokens.shape[2])
    return tokens.gather(1, order)


@contextlib.contextmanager
def _giving(table: nn.Module, embedded: torch.Tensor) -> Iterator[None]:
    """Make a table of embeddings give `embedded` (B, T, H), for a backbone that takes no `inputs_embeds` (ESM C)."""
    hook = table.register_forward_hook(lambda *_: embedded)
    try:
        yield
    finally:
        hook.remove()
