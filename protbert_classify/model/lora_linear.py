"""A linear layer with LoRA that takes less time and memory to train than `peft`'s.

`peft` computes `linear(x) + B(A(x)) * scale` in five operations of PyTorch, three of which write a tensor as large as
the output. Here the products of the small matrices are added in place, forward and backward, as Unsloth does on a GPU
(https://github.com/unslothai/unsloth). And a layer after an activation function computes that again in the backward
pass: its input, the widest tensor of a layer, is not kept.
"""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from transformers.activations import GELUActivation

try:  # transformers asks readers of published code for every package that is imported outside of a try
    from peft.tuners.lora import Linear
except ImportError as error:
    raise ImportError("LoRA needs the package peft", name="peft") from error

from .four_bits import FourBitLinear, dequantized, quant_state


class LoraLinear(Linear):
    """`peft`'s layer, with its weights and their names. Whatever is not plain LoRA is computed as `peft` does."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args or kwargs or not self.is_plain():
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        base: Any = self.base_layer
        state = quant_state(base)
        weights = (base.weight, base.bias, self.lora_A[name].weight, self.lora_B[name].weight)
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        elif all(weight is None or weight.dtype == x.dtype for weight in weights[state is not None :]):
            dtype = x.dtype
        else:
            return super().forward(x)
        settings = (self.scaling[name], dtype, state)
        return _LoraProduct.apply(x, *weights, *settings, *getattr(x, "made_from", (None, None)))

    def is_plain(self) -> bool:
        """Whether nothing but the two small matrices is added."""
        base = self.base_layer  # one that a wrapper shards has another type
        return (
            type(base) in (nn.Linear, FourBitLinear)
            and not (base._forward_hooks or base._forward_pre_hooks)  # such as those that fetch its weight
            and not any(parameter.requires_grad for parameter in base.parameters())
            and not (self.disable_adapters or self.merged or self.lora_variant)
            and len(self.active_adapters) == 1
            and not any(isinstance(module, nn.Dropout) for module in self.lora_dropout.values())
        )


def note_activations(layers: nn.Module) -> None:
    """Let the output of each activation function say what it was made from."""
    for module in layers.modules():
        if isinstance(module, GELUActivation):
            module.register_forward_hook(_note)


def _note(activation: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
    if output.requires_grad:
        output.made_from = (activation, inputs[0])  # type: ignore[attr-defined]


class _LoraProduct(torch.autograd.Function):
    """`x @ weight.T + bias + (x @ down.T) @ up.T * scale` in a type, for a frozen weight and bias.

    Shapes: x (..., in), weight (out, in), bias (out,) or None, down (rank, in), up (out, rank). A weight in 4 bits has
    a state. If x is `activation(source)`, source is kept for the backward pass instead. Each pass converts the weight
    for itself.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
        dtype: torch.dtype,
        state: Any,
        activation: nn.Module | None,
        source: torch.Tensor | None,
    ) -> torch.Tensor:
        kept = x.to(dtype)
        rows, down, up = kept.reshape(-1, x.shape[-1]), down.to(dtype), up.to(dtype)
        small = rows @ down.T
        whole = dequantized(weight, state, dtype).T
        found = rows @ whole if bias is None else torch.addmm(bias.to(dtype), rows, whole)
        torch.addmm(found, small, up.T, alpha=scale, out=found)
        of_x = ctx.needs_input_grad[0]
        ctx.save_for_backward(kept if activation is None else source, weight if of_x else None, down, up, small)
        ctx.scale, ctx.state, ctx.activation = scale, state, activation
        return found.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        source, weight, down, up, small = ctx.saved_tensors
        x = source if ctx.activation is None else ctx.activation(source).to(small.dtype)
        gradient = gradient.reshape(-1, gradient.shape[-1])
        # a matrix of few rows on the left: MKL takes two to five times as long with one of few columns on the right
        of_small = (up.T @ gradient.T).mul_(ctx.scale)
        of_up = (small.T @ gradient).mul_(ctx.scale).T
        of_down = of_small @ x.reshape(-1, x.shape[-1])
        of_x = None
        if weight is not None:
            of_x = gradient @ dequantized(weight, ctx.state, small.dtype)
            torch.addmm(of_x, of_small.T, down, out=of_x)
            of_x = of_x.view(x.shape)
        return of_x, None, None, of_down, of_up, None, None, None, None, None
