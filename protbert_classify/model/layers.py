"""The first layers of a backbone as a smaller backbone, and what a backbone would give if it ended after a layer.

Layers are counted from 1. A norm that the backbone applies after its last layer (ESM-2, ESM C, T5) stays: it is applied
after the last layer that is kept.

Shapes: B proteins, T tokens of the longest, H hidden size of the backbone.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from .backbone import encoder_layers, random_backbone

LAYER_LISTS = ("layer_types", "mlp_layer_types", "attention_window")  # fields with a value for each layer
SHARED = "num_hidden_groups"  # of ALBERT, whose layers share their weights
# model type -> the linear layers whose output each layer divides by the root of a multiple of their number
DIVIDED_BY_DEPTH = {"esmc": ("self_attn.o_proj", "mlp.down_proj")}
FINAL_NORMS = ("emb_layer_norm_after", "final_layer_norm", "final_norm", "norm")  # ESM-2, T5, ModernBERT, ESM C


def check_layers(config: PretrainedConfig, count: int, asked: str | None = None) -> None:
    """Refuse to cut a backbone that does not have so many layers, or whose layers cannot be cut.

    What is left must be what the shorter configuration describes, so that it loads as any other model does. This is
    tried without weights, on the meta device.

    Args:
        config: Of the backbone.
        count: Layers to keep.
        asked: What the message begins with; `layer=` and the count if None.

    Raises:
        ValueError: Says how many layers there are, or why they cannot be cut.
    """
    layers, asked = config.num_hidden_layers, asked or f"layer={count}"
    if layers == 0:
        raise ValueError(f"{asked}: the backbone has no layers to choose from")
    if not 1 <= count <= layers:
        if layers == 1:
            raise ValueError(f"{asked}: the backbone has 1 layer; expected 1")
        raise ValueError(f"{asked}: the backbone has {layers} layers; expected 1 to {layers}")
    if hasattr(config, SHARED):
        raise ValueError(
            f"{asked}: the layers of a model of type {config.model_type} share their weights: none can be left out"
        )
    try:
        with torch.device("meta"):
            cut = random_backbone(copy.deepcopy(config), "mean")
            _cut(cut, count)
            expected = random_backbone(copy.deepcopy(cut.config), "mean")
    except ValueError as error:
        raise ValueError(f"{asked}: {error}") from error
    if _shapes(cut) != _shapes(expected) or not _numbers(expected).items() <= _numbers(cut).items():
        raise ValueError(
            f"{asked}: a model of type {config.model_type} has parts that depend on the number of its layers: none can "
            "be left out"
        )


def keep_first_layers(backbone: PreTrainedModel, count: int) -> None:
    """Remove all layers but the first, and say so in the configuration.

    ESM's contact head, which the logits do not depend on, keeps the weights of the layers that are kept.

    Args:
        backbone: Changed in place.
        count: Layers to keep.

    Raises:
        ValueError: See [`check_layers`].
    """
    check_layers(backbone.config, count)
    _cut(backbone, count)


def set_layer_count(config: PretrainedConfig, count: int) -> None:
    """Let a configuration describe a backbone with as many layers."""
    layers = config.num_hidden_layers
    for name in LAYER_LISTS:
        values = getattr(config, name, None)
        if isinstance(values, (list, tuple)) and len(values) == layers:
            setattr(config, name, list(values[:count]))
    config.num_hidden_layers = count  # T5 has it under another name, which its configuration knows


@contextmanager
def watching_layers(backbone: PreTrainedModel, see: Callable[[torch.Tensor], Any]) -> Iterator[None]:
    """Let each forward pass call `see` after each layer, with the last hidden state of the backbone cut there.

    Args:
        backbone: With a stack of layers.
        see: Takes (B, T, H) or, of packed proteins, (1, T, H).

    Raises:
        ValueError: No stack of layers.
    """
    stack = encoder_layers(backbone)
    norm = final_norm(backbone)

    def after_layer(_module: nn.Module, _inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        see(hidden if norm is None else norm(hidden))

    hooks = [layer.register_forward_hook(after_layer) for layer in stack]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def final_norm(backbone: PreTrainedModel) -> nn.Module | None:
    """The norm that the backbone applies after its last layer; None if it has none."""
    stack = encoder_layers(backbone)
    parent = next(module for module in backbone.modules() if any(child is stack for child in module.children()))
    found = (getattr(parent, name, None) for name in FINAL_NORMS)
    return next((norm for norm in found if isinstance(norm, nn.Module)), None)


def _cut(backbone: PreTrainedModel, count: int) -> None:
    stack = encoder_layers(backbone)
    layers = len(stack)
    if count == layers:
        return
    del stack[count:]
    _keep_residuals(backbone.config.model_type, stack, count / layers)
    for module in backbone.modules():  # T5's encoder has a configuration of its own
        config = getattr(module, "config", None)
        if isinstance(config, PretrainedConfig) and config.num_hidden_layers == layers:
            set_layer_count(config, count)
    _cut_contact_head(backbone, count)


def _keep_residuals(model_type: str, stack: nn.ModuleList, share: float) -> None:
    """What layers divide by the root of their number, they will divide by less: the weights take up the difference."""
    ratio = math.sqrt(share)
    layer: Any
    for layer in stack if model_type in DIVIDED_BY_DEPTH else ():
        layer.scaling_factor *= ratio
        for name in DIVIDED_BY_DEPTH[model_type]:
            for parameter in layer.get_submodule(name).parameters():
                parameter.data.mul_(ratio)


def _cut_contact_head(backbone: PreTrainedModel, count: int) -> None:
    """ESM's contact head reads the attention of all layers, a weight for each of their heads."""
    head = getattr(backbone, "contact_head", None)
    if head is None:
        return
    inputs = count * backbone.config.num_attention_heads
    linear = head.regression
    linear.weight = nn.Parameter(linear.weight.data[:, :inputs].clone(), requires_grad=linear.weight.requires_grad)
    head.in_features = linear.in_features = inputs


def _shapes(backbone: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in backbone.state_dict().items()}


def _numbers(backbone: PreTrainedModel) -> dict[str, str]:
    """What modules compute with beside their weights, to nine digits."""
    return {
        f"{name}.{key}": f"{value:.9g}"
        for name, module in backbone.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, (int, float))
    }
