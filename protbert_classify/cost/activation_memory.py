"""What a training step keeps in memory beside weights, gradients and optimizer.

Measured, not computed: forward and backward run on fake tensors, which have shapes and no content, and every storage
that is alive is counted. No formula can forget a term, and neither weights nor a GPU are needed.

Shapes: B proteins, T tokens of the longest.
"""

import contextlib
import copy
import logging
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.modeling_outputs import BaseModelOutput

from ..model import ProteinClassifier
from ..model.adapter import adapted_layers
from ..model.attention import PADDING_FREE
from ..model.four_bits import FourBitLinear
from ..model.packing import why_not_packed

logger = logging.getLogger(__name__)

TOKENS = 8192  # of the smaller batch that is measured: its activations outweigh the gradient of any one weight
PROTEINS = 4  # of that batch, where attention takes them one by one, which takes time
# attention by name: a GPU keeps a seed where a CPU keeps all weights for their dropout
FUSED = "fused_padded"
FUSED_PACKED = "fused_packed"
NEEDS_VALUES = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException)


@dataclass(frozen=True, kw_only=True)
class ActivationMemory:
    """Bytes of a training step beside weights, gradients and optimizer.

    Args:
        kept: Bytes a token that forward keeps for backward.
        peak: Bytes a token at the fullest moment of forward and backward; what is kept is part of it.
        inference: Bytes a token at the fullest moment of a forward pass without gradients.
        weight_copies: Bytes of the copies in half precision that autocast keeps, whatever the number of tokens.
        transient: Bytes that the fullest moment has besides, whatever the number of tokens: the gradient of a weight
            before it is added to that of the micro-batches before.
    """

    kept: float
    peak: float
    inference: float
    weight_copies: int
    transient: int


def activation_memory(
    model: ProteinClassifier,
    length: int,
    *,
    half_precision: bool,
    gradient_checkpointing: bool,
    fused_attention: bool = True,
    packed: bool = False,
) -> ActivationMemory:
    """Measure a training step on proteins of `length` tokens.

    Two batches are measured and their difference taken: what does not grow with the tokens is not an activation.

    Args:
        model: On any device, the meta device included; it stays as it is.
        length: Tokens of each protein.
        half_precision: bfloat16 or float16 through autocast.
        gradient_checkpointing: Keep a hidden state a layer, compute the rest again in backward.
        fused_attention: As on any GPU, where attention and dropout keep least; else as on a CPU.
        packed: Without padding, and so without the attention mask that each layer keeps.
    """
    stand_in = _without_content(model)
    _choose_attention(stand_in, half_precision, fused_attention, packed)
    settings = (length, half_precision, gradient_checkpointing, fused_attention)
    try:
        return _measure(stand_in, *settings)
    except NEEDS_VALUES:
        logger.warning(
            "pooling %r looks at the values of its input, which an estimate does not have: its own memory is left out",
            model.config.pooling,
        )
        stand_in.pooling = _AnyPooling(model.pooling.output_size)
        return _measure(stand_in, *settings)


def _measure(
    model: ProteinClassifier, length: int, half_precision: bool, gradient_checkpointing: bool, fused: bool
) -> ActivationMemory:
    model = copy.deepcopy(model)
    if gradient_checkpointing:
        model.backbone.config.use_cache = False  # else transformers warns that it switches it off
        # later versions of transformers have it under another name
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        # no mode outside of backward is active where it computes a layer again
        again = {"context_fn": lambda: (contextlib.nullcontext(), _FusedDropout())} if fused else {}
        enable({"use_reentrant": False, **again})
    proteins = PROTEINS if model.config._attn_implementation == PADDING_FREE else -(-TOKENS // length)
    tokens = proteins * length
    # a model on the meta device beside fake tensors on the CPU: the kernels of the CPU keep what those of a GPU do
    with FakeTensorMode(allow_non_fake_inputs=True), _FusedDropout() if fused else contextlib.nullcontext():
        model = model.to_empty(device="cpu").train()
        for parameter in model.parameters():
            if parameter.requires_grad:  # micro-batches add up their gradients
                parameter.grad = torch.zeros_like(parameter)
        few, many = (_bytes_of_a_step(model, count, length, half_precision) for count in (proteins, 2 * proteins))
    kept, forward, backward, inference = ((b - a) / tokens for a, b in zip(few, many, strict=True))
    copies = round(few[0] - kept * tokens) if half_precision else 0
    besides = max(few[1] - forward * tokens, few[2] - backward * tokens)
    return ActivationMemory(
        kept=kept,
        peak=max(forward, backward),
        inference=inference,
        weight_copies=copies,
        transient=max(round(besides) - copies, 0),
    )


def _bytes_of_a_step(
    model: ProteinClassifier, proteins: int, length: int, half_precision: bool
) -> tuple[int, int, int, int]:
    """Bytes of a batch: kept after forward; at the fullest moment of forward, of backward, of forward alone."""
    batch = {
        "input_ids": torch.zeros(proteins, length, dtype=torch.long),  # (B, T)
        "attention_mask": torch.ones(proteins, length, dtype=torch.long),
    }
    with torch.autocast("cpu", torch.bfloat16, enabled=half_precision), _Live() as live:
        logits = model(**batch).logits
        kept, forward = live.now, live.most  # with the copies of the weights, which autocast drops when it ends
    with live:
        live.most = 0
        logits.float().sum().backward()
    del logits
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half_precision), _Live() as inference:
        model(**batch)
    return kept, forward, live.most, inference.most


def _without_content(model: ProteinClassifier) -> ProteinClassifier:
    """A copy on the meta device: one of the weights themselves could need more memory than there is."""
    shells: dict[int, Any] = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
        for parameter in model.parameters()
    }
    shells.update((id(buffer), torch.empty_like(buffer, device="meta")) for buffer in model.buffers())
    for adapter in four_bit_adapters(model):
        shells[id(adapter.base_layer)] = _stand_in(adapter)
    return copy.deepcopy(model, shells)


def four_bit_adapters(model: ProteinClassifier) -> list[Any]:
    """The adapters of layers in 4 bits. The layers of a planned model, on the meta device, are still whole.

    A model that was loaded with such an adapter has none: it holds rounded weights as they are.
    """
    if (model.config.adapter or {}).get("bits") != 4:
        return []
    adapters = adapted_layers(model.backbone).values()
    return [each for each in adapters if isinstance(each.base_layer, FourBitLinear) or each.base_layer.weight.is_meta]


def _stand_in(adapter: Any) -> nn.Linear:
    """For a layer in 4 bits. Plain LoRA keeps no copy of a frozen weight, so that a whole one may take its place."""
    layer = adapter.base_layer
    plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
    return plain.requires_grad_(False) if adapter.is_plain() else _InFourBits(layer)


class _InFourBits(nn.Linear):
    """In place of a layer in 4 bits: it keeps nothing for backward, as bitsandbytes keeps only the packed weight."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.requires_grad_(False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        return _Unkept.apply(hidden, self.out_features)


class _Unkept(torch.autograd.Function):
    """A linear layer without its numbers."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, width: int) -> torch.Tensor:
        ctx.shape = hidden.shape
        return hidden.new_empty(*hidden.shape[:-1], width)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0].new_empty(ctx.shape), None


def _choose_attention(model: ProteinClassifier, half_precision: bool, fused: bool, packed: bool) -> None:
    """The attention that training takes on the device, as far as it can run on a CPU."""
    attention = model.config._attn_implementation
    if fused and attention != "eager":
        model.set_attn_implementation(FUSED_PACKED if packed else FUSED)
    elif half_precision and attention == "sdpa" and why_not_packed(model.config.backbone_config) is None:
        model.set_attn_implementation(PADDING_FREE)


class _Live(TorchDispatchMode):
    """Bytes of the tensors made within that are alive: now, and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view:
            return result
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.known:
            self.known.add(key)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, nbytes: int) -> None:
        self.known.discard(key)
        self.now -= nbytes


class _FusedDropout(TorchFunctionMode):
    """Dropout as a GPU computes it, which keeps a byte an element where a CPU keeps a number."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.dropout:
            return self._dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropout(
        self, input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        return torch.native_dropout(input, p, training)[0] if training and 0 < p < 1 else input


class _AnyPooling(nn.Module):
    """Some vector of the right size, in place of a pooling that cannot run on fake tensors."""

    def __init__(self, output_size: int) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, output: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        mean = output.last_hidden_state.mean(1)  # (B, H)
        return mean.repeat(1, -(-self.output_size // mean.shape[1]))[:, : self.output_size]


def _fused_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=0.0, **kwargs)


def _no_mask(*args: Any, **kwargs: Any) -> None:
    return None


for _name, _mask in ((FUSED, sdpa_mask), (FUSED_PACKED, _no_mask)):
    AttentionInterface.register(_name, _fused_attention)
    AttentionMaskInterface.register(_name, _mask)
