"""Frozen weights in 4 bits beside an adapter, through `bitsandbytes`: QLoRA, Dettmers et al. 2023 (arXiv:2305.14314).

Training holds them as NF4. A saved adapter is loaded onto the same rounded weights in full precision, so that it gives
the scores that training saw.
"""

from typing import Any

import torch
from torch import nn

FORMAT = {"quant_type": "nf4", "compress_statistics": True}  # the scales are quantized, too
BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8  # of a number, with its share of the scales
NO_BITSANDBYTES = "lora_bits=4 needs the package bitsandbytes: pip install 'protbert_classify[qlora]'"


def load_bitsandbytes() -> Any:
    """The package.

    Raises:
        ImportError: It is not installed.
    """
    try:  # transformers asks readers of published code for every package that is imported outside of a try
        import bitsandbytes
    except ImportError as error:
        raise ImportError(NO_BITSANDBYTES, name="bitsandbytes") from error
    return bitsandbytes


class FourBitLinear(nn.Linear):
    """A frozen linear layer whose weight takes about 4.1 bits a number instead of 32.

    Its gradient is that of the rounded weight. It follows autocast as a plain layer does; the `Linear4bit` of
    bitsandbytes keeps the type of its first input, and converts its bias to it for good.

    Args:
        layer: The plain layer; its bias is shared.

    Raises:
        ImportError: `bitsandbytes` is not installed.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        weight: Any = load_bitsandbytes().nn.Params4bit(layer.weight.data, requires_grad=False, **FORMAT)
        self.weight = weight.to(layer.weight.device)  # this is what quantizes it
        self.dtype = layer.weight.dtype
        self.bias = layer.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        kind = hidden.device.type
        if torch.is_autocast_enabled(kind):
            hidden = hidden.to(torch.get_autocast_dtype(kind))
        bias = None if self.bias is None else self.bias.to(hidden.dtype)
        weight: Any = self.weight
        return load_bitsandbytes().matmul_4bit(hidden, weight.t(), bias=bias, quant_state=weight.quant_state)

    def dequantized(self) -> nn.Linear:
        """The plain layer with the rounded weight."""
        plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        plain.weight = nn.Parameter(whole_weight(self.weight.data, quant_state(self), self.dtype), requires_grad=False)
        plain.bias = self.bias
        return plain


def quant_state(layer: nn.Linear) -> Any:
    """What bitsandbytes knows of a weight in 4 bits; None of a plain one."""
    return getattr(layer.weight, "quant_state", None)


def whole_weight(weight: torch.Tensor, state: Any, dtype: torch.dtype) -> torch.Tensor:
    """A weight in a type; one in 4 bits has a `quant_state`."""
    whole = weight if state is None else load_bitsandbytes().functional.dequantize_4bit(weight, state)
    return whole.to(dtype)


def round_to_four_bits(layer: nn.Linear) -> None:
    """Give a plain linear layer the weight that [`FourBitLinear`] computes with."""
    functional = load_bitsandbytes().functional
    small, state = functional.quantize_4bit(layer.weight.data.float(), **FORMAT)
    layer.weight.data.copy_(functional.dequantize_4bit(small, state))


def count_parameters(model: nn.Module) -> int:
    """Numbers that the weights stand for: two in a byte where they are in 4 bits."""
    layers = [module for module in model.modules() if isinstance(module, FourBitLinear)]
    packed = sum(layer.in_features * layer.out_features - layer.weight.numel() for layer in layers)
    return packed + sum(parameter.numel() for parameter in model.parameters())
