"""From the hidden states of a protein's residues to one vector a protein.

A pooling is a module that is built from the configuration. It has `output_size`, D, and `forward(output, mask)`: the
backbone's output with `last_hidden_state` (B, T, H), and where the residues are (B, T), to (B, D). Its attribute
`embeds` says what of a frozen backbone's hidden states it needs, so that no more is kept on disk: those of all
`residues` (the default), their `mean`, or that of the `first` token.

Shapes: B proteins, T tokens of the longest, H hidden size of the backbone.
"""

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput

from .registry import Registry

if TYPE_CHECKING:
    from .configuration import ProteinClassifierConfig

POOLINGS: Registry[type[nn.Module]] = Registry("pooling")
EMBEDS = ("residues", "mean", "first")


def embeds(pooling: str) -> str:
    """What of the hidden states a pooling needs: one of `EMBEDS`.

    Raises:
        ValueError: The pooling says something else.
    """
    found = getattr(POOLINGS[pooling], "embeds", "residues")
    if found not in EMBEDS:
        raise ValueError(f"pooling {pooling!r}: embeds={found!r}: expected one of {', '.join(EMBEDS)}")
    return found


def residue_mask(attention_mask: torch.Tensor, prefix: int, suffix: int) -> torch.Tensor:
    """Where the residues are: attended tokens without the special ones at both ends.

    Args:
        attention_mask: (B, T), nonzero where a token is attended to; padded on either side.
        prefix: Special tokens before the residues (1 for BERT and ESM, 0 for T5).
        suffix: Special tokens after them.

    Returns:
        (B, T), bool.
    """
    attended = attention_mask.bool()
    position = attended.cumsum(-1)  # 1 at the first attended token
    count = position[:, -1:]
    return attended & (position > prefix) & (position <= count - suffix)


@POOLINGS.register("mean")
class MeanPooling(nn.Module):
    """The mean over residues; special tokens and padding are left out."""

    embeds = "mean"

    def __init__(self, config: "ProteinClassifierConfig") -> None:
        super().__init__()
        self.output_size = config.hidden_size

    def forward(self, output: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        hidden = output.last_hidden_state  # (B, T, H)
        weight = mask[..., None].to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)  # (B, H)


@POOLINGS.register("cls")
class ClsPooling(nn.Module):
    """The hidden state of the first token."""

    embeds = "first"

    def __init__(self, config: "ProteinClassifierConfig") -> None:
        super().__init__()
        self.output_size = config.hidden_size

    def forward(self, output: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        return output.last_hidden_state[:, 0]  # (B, H)


@POOLINGS.register("pooler")
class PoolerPooling(nn.Module):
    """The backbone's own pooler over the first token: dense, tanh in BERT."""

    embeds = "first"

    def __init__(self, config: "ProteinClassifierConfig") -> None:
        super().__init__()
        self.output_size = config.hidden_size

    def forward(self, output: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        return output.pooler_output  # (B, H)


class ConvolutionalLayer(nn.Module):
    """Layer norm, convolution over the residues, GELU, linear, dropout, added to the input.

    Args:
        width: H.
        kernel_size: Residues that a convolution sees, odd.
        dropout: 0..1.
    """

    def __init__(self, width: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2)
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """(B, T, H), and (B, T, 1), 1 for a residue and else 0, to (B, T, H)."""
        convolved = self.convolution((self.norm(hidden) * inside).transpose(1, 2)).transpose(1, 2)
        return hidden + self.dropout(self.dense(functional.gelu(convolved)))


@POOLINGS.register("light_attention")
class LightAttentionPooling(nn.Module):
    """Light attention (Stärk et al. 2021, doi:10.1093/bioadv/vbab035, figure 1), masked.

    Two convolutions over the residues: one gives features, the other their weights, normalised over the residues of the
    protein. The weighted sum and the maximum of the features are concatenated. Everything that is not a residue is zero
    for the convolutions and has no weight, so padding changes nothing.

    With `light_attention_layers`, as many residual convolutional layers come first, and the mean of what they give is
    concatenated, too; the paper has neither.
    """

    def __init__(self, config: "ProteinClassifierConfig") -> None:
        super().__init__()
        width, kernel, count = config.hidden_size, config.light_attention_kernel_size, config.light_attention_layers
        dropout = config.light_attention_dropout
        self.layers = nn.ModuleList(ConvolutionalLayer(width, kernel, dropout) for _ in range(count))
        self.norm = nn.LayerNorm(width) if count else nn.Identity()
        self.features = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.attention = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(dropout)
        self.output_size = (3 if count else 2) * width

    def forward(self, output: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        inside = mask[..., None].to(output.last_hidden_state.dtype)
        hidden = output.last_hidden_state
        for layer in self.layers:
            hidden = layer(hidden, inside)
        hidden = (self.norm(hidden) * inside).transpose(1, 2)  # (B, H, T)
        outside = ~mask[:, None]  # (B, 1, T)
        features = self.dropout(self.features(hidden))
        lowest = torch.finfo(features.dtype).min
        weights = self.attention(hidden).masked_fill(outside, lowest).softmax(-1)
        attended = (features * weights).sum(-1)
        highest = features.masked_fill(outside, lowest).amax(-1)
        pooled = torch.cat([attended, highest, *self._means(hidden, inside)], dim=-1)  # (B, 2H), or with layers (B, 3H)
        return pooled.masked_fill(outside.all(-1), 0.0)  # without a residue there is no maximum

    def _means(self, hidden: torch.Tensor, inside: torch.Tensor) -> list[torch.Tensor]:
        """Of (B, H, T) over the residues, (B, H); the paper has no layers, and no mean."""
        return [hidden.sum(-1) / inside.sum(1).clamp(min=1)] if self.layers else []
