"""How much arithmetic a classifier costs, counted from the shapes of its weights; a model on the meta device will do.

One multiply-add is two FLOPs, as vendors count their peak rates. Everything but matrix products (norms,
softmax, activations) is left out: below one percent at the sizes of protein language models.

Shapes: N proteins, T tokens of one, H hidden size, D size of all attention heads together (H but for some T5).
"""

from typing import Any

import numpy as np
from torch import nn

from ..model.backbone import encoder_layers


def forward_flops(model: Any, lengths: np.ndarray) -> float:
    """FLOPs of one forward pass over proteins, without any padding.

    A weight of an `nn.Linear` of the backbone costs 2 FLOPs a token, attention 4 T² D a layer and protein (the scores
    and the weighted sum; Kaplan et al. 2020, arXiv:2001.08361, table 1), the head and the pooler once a protein.

    Args:
        model: A [`ProteinClassifier`].
        lengths: (N,), tokens of each protein, special ones included.
    """
    return sum(flops for _, flops, _ in _parts(model, lengths))


def training_flops(model: Any, lengths: np.ndarray, gradient_checkpointing: bool = False) -> float:
    """FLOPs of one forward and backward pass: three times the forward for what trains, once for what is frozen.

    Backward costs as much as forward for the gradient of the weights, and again for that of the input, which a head on
    a frozen backbone does not need. A layer with an adapter needs the gradient of the adapter's weights only.

    Args:
        model: A [`ProteinClassifier`]; what trains has `requires_grad`.
        lengths: (N,), tokens of each protein, special ones included.
        gradient_checkpointing: The layers that train are computed a second time, in backward.
    """
    total, something_below = 0.0, False
    layers = list(encoder_layers(model.backbone))
    for module, flops, frozen in _parts(model, lengths):
        is_layer = any(module is layer for layer in layers)
        trains = any(parameter.requires_grad for parameter in module.parameters())
        passes = (something_below or is_layer) + (is_layer and gradient_checkpointing)
        total += flops + ((1 + passes) * flops - frozen if trains else 0)
        something_below = something_below or trains
    return total


def frozen_flops(model: Any, lengths: np.ndarray) -> float:
    """FLOPs of one forward pass through the modules of which nothing trains.

    Args:
        model: A [`ProteinClassifier`]; what trains has `requires_grad`.
        lengths: (N,), tokens of each protein, special ones included.
    """
    parts = _parts(model, lengths)
    return sum(flops for module, flops, _ in parts if not any(weight.requires_grad for weight in module.parameters()))


def _parts(model: Any, lengths: np.ndarray) -> list[tuple[nn.Module, float, float]]:
    """The modules from the input to the logits, the FLOPs of their forward, and the part that is for frozen weights."""
    lengths = np.asarray(lengths, dtype=np.float64)
    proteins, tokens = len(lengths), float(lengths.sum())
    attention = 4 * float(np.square(lengths).sum()) * _attention_width(model.backbone.config)
    layers = list(encoder_layers(model.backbone))
    parts = []
    for name, child in model.backbone.named_children():
        # ESM's contact head is never run; the layers lie in one of the children, which has little else
        if name not in ("pooler", "contact_head"):
            inside = {id(module) for module in child.modules()}
            own = _weights(child) - sum(_weights(layer) for layer in layers if id(layer) in inside)
            parts.append((child, 2 * own * tokens, 0.0))
    parts += [
        (layer, 2 * _weights(layer) * tokens + attention, 2 * _weights(layer, frozen=True) * tokens) for layer in layers
    ]
    if model.config.pooling == "pooler":
        parts.append((model.backbone.pooler, 2 * _weights(model.backbone.pooler) * float(proteins), 0.0))
    parts.append((model.pooling, 2 * _weights(model.pooling) * tokens, 0.0))
    parts.append((model.head, 2 * _weights(model.head) * float(proteins), 0.0))
    return parts


def _weights(module: nn.Module, frozen: bool = False) -> int:
    """Weights that meet each token once: of linear layers and, over the residues, of convolutions.

    `frozen` leaves out those that train.
    """
    linear = [part.weight for part in module.modules() if isinstance(part, nn.Linear | nn.Conv1d)]
    return sum(weight.numel() for weight in linear if not (frozen and weight.requires_grad))


def _attention_width(config: Any) -> int:
    """D: ProtT5's 32 heads of 128 are 4,096 wide, its hidden states 1,024."""
    per_head = getattr(config, "d_kv", None) or getattr(config, "head_dim", None)
    return config.num_attention_heads * per_head if per_head else config.hidden_size
