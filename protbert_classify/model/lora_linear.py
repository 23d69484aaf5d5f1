"""A linear layer with LoRA that takes less time and memory to train than `peft`'s.

`peft` computes `linear(x) + B(A(x)) * scale` in operations of PyTorch that write four tensors as large as the output.
Here the products of the small matrices are added in place, forward and backward, as Unsloth does on a GPU
(https://github.com/unslothai/unsloth). And a layer after a GELU computes that again in the backward pass: its input,
the widest tensor of a BERT's layer, is not kept.
"""

import contextlib
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers.activations import GELUActivation

try:  # transformers asks readers of published code for every package that is imported outside of a try
    from peft.tuners.lora import Linear
except ImportError as error:
    raise ImportError("LoRA needs the package peft", name="peft") from error

from .four_bits import FourBitLinear, quant_state, whole_weight


class LoraLinear(Linear):
    """`peft`'s layer, with its weights and their names. Whatever is not plain LoRA is computed as `peft` does.

    Plain LoRA has no second derivatives here.
    """

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args or kwargs or not self.is_plain():
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        base: Any = self.base_layer
        state = quant_state(base)
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        kind = x.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        else:
            dtype = x.dtype
            unpacked = [base.weight, base.bias] if state is None else [base.bias]
            if any(weight is not None and weight.dtype != dtype for weight in (*unpacked, down, up)):
                return super().forward(x)
        settings = (self.scaling[name], dtype, state)
        return _LoraProduct.apply(x, base.weight, base.bias, down, up, *settings, *_made_from(x))

    def is_plain(self) -> bool:
        """Whether one pair of small matrices is added to a frozen layer, and nothing else happens here."""
        if self.disable_adapters or self.merged or self.lora_variant or len(self.active_adapters) != 1:
            return False
        (name,) = self.active_adapters
        base: Any = self.base_layer
        return (
            name in self.lora_A
            and not self.lora_bias[name]
            and not isinstance(self.lora_dropout[name], nn.Dropout)
            and _is_bare(base, nn.Linear, FourBitLinear)
            and _is_bare(self.lora_A[name], nn.Linear)
            and _is_bare(self.lora_B[name], nn.Linear)
            and not base.weight.requires_grad
            and not (base.bias is not None and base.bias.requires_grad)
        )


def _is_bare(layer: Any, *types: type) -> bool:
    """Whether nothing is attached to a layer: hooks, another forward, or a weight that is sharded or quantized."""
    hooks = (layer._forward_pre_hooks, layer._forward_hooks, layer._backward_pre_hooks, layer._backward_hooks)
    return (
        type(layer) in types
        and not any(hooks)
        and "forward" not in vars(layer)
        and not is_traceable_wrapper_subclass(layer.weight)
    )


def note_activations(layers: nn.Module) -> None:
    """Let the output of each GELU say what it was made from."""
    for module in layers.modules():
        if isinstance(module, GELUActivation):
            module.register_forward_hook(_note)


def forget_activations(layers: nn.Module) -> None:
    """Undo [`note_activations`]."""
    for module in layers.modules():
        for key in [key for key, hook in module._forward_hooks.items() if hook is _note]:
            del module._forward_hooks[key]


def _note(activation: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
    if torch.compiler.is_compiling():  # a compiler chooses itself what to compute again
        return
    hooked = activation._forward_pre_hooks or len(activation._forward_hooks) > 1  # they may have changed in- or output
    if output.requires_grad and not hooked:
        output.made_from = (activation, inputs[0], output._version)  # type: ignore[attr-defined]


def _made_from(x: torch.Tensor) -> tuple[nn.Module, torch.Tensor] | tuple[None, None]:
    """The activation function that gave x and what it was given; None if there is none, or if x has changed since."""
    activation, source, version = getattr(x, "made_from", (None, None, None))
    return (activation, source) if activation is not None and version == x._version else (None, None)


class _LoraProduct(torch.autograd.Function):
    """`x @ weight.T + bias + (x @ down.T) @ up.T * scale`, computed in `dtype`, for a frozen weight and bias.

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
        converted, down, up = x.to(dtype), down.to(dtype), up.to(dtype)
        rows, matrix = converted.reshape(-1, x.shape[-1]), whole_weight(weight, state, dtype).T
        output = rows.new_empty(
            *x.shape[:-1], len(up)
        )  # whole, as others may change an output in place, but not a view
        flat = output.view(-1, len(up))
        if bias is None:
            torch.mm(rows, matrix, out=flat)
        else:
            torch.addmm(bias.to(dtype), rows, matrix, out=flat)
        reduced = rows @ down.T
        torch.addmm(flat, reduced, up.T, alpha=scale, out=flat)
        of_x = ctx.needs_input_grad[0]
        ctx.save_for_backward(converted if activation is None else source, weight if of_x else None, down, up, reduced)
        ctx.scale, ctx.state, ctx.activation = scale, state, activation
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        source, weight, down, up, reduced = ctx.saved_tensors
        with _no_autocast(gradient.device.type):
            x = source if ctx.activation is None else ctx.activation.forward(source).to(reduced.dtype)
            gradient = gradient.reshape(-1, gradient.shape[-1])
            # a matrix of few rows on the left: MKL takes two to five times as long with one of few columns on the right
            of_reduced = (up.T @ gradient.T).mul_(ctx.scale)
            of_up = (reduced.T @ gradient).mul_(ctx.scale).T
            of_down = of_reduced @ x.reshape(-1, x.shape[-1])
            of_x = None
            if weight is not None:
                of_x = gradient @ whole_weight(weight, ctx.state, reduced.dtype)
                torch.addmm(of_x, of_reduced.T, down, out=of_x)
                of_x = of_x.view(x.shape)
        return of_x, None, None, of_down, of_up, None, None, None, None, None


def _no_autocast(kind: str) -> contextlib.AbstractContextManager[Any]:
    available = torch.amp.is_autocast_available(kind)
    return torch.autocast(kind, enabled=False) if available else contextlib.nullcontext()
