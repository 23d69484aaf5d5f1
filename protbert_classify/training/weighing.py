"""The memory of a forward pass, weighed on fake tensors, which have shapes and no content.

What autograd would keep for backward is added up; no formula can forget a term.

Shapes: B proteins, T tokens of the longest, H hidden size of the backbone.
"""

import copy
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from ..model import ProteinClassifier
from ..model.backbone import encoder_layers

PROTEINS = (2, 4)  # the batches that are measured: their difference is what grows with the tokens
# attention by name: a fake mask cannot be seen to hide nothing, and would be kept by every layer
UNMASKED = "estimate_unmasked"
FUSED = "estimate_fused"  # also without dropout: a CPU keeps all its weights for it, a GPU a seed


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Bytes a token of a training step.

    Args:
        saved: That forward keeps for backward.
        checkpointed: The same with gradient checkpointing.
        working: Of the largest moment of a forward that keeps nothing.
    """

    saved: float
    checkpointed: float
    working: float


def measure(model: ProteinClassifier, length: int, half_precision: bool, fused_attention: bool = True) -> Measured:
    """Run the model on fake proteins of `length` tokens and weigh what it makes.

    Two batches are weighed and their difference taken: what does not grow with the tokens is no activation.
    """
    stand_in = copy.deepcopy(model)
    if stand_in.config._attn_implementation == "sdpa":
        stand_in.set_attn_implementation(FUSED if fused_attention else UNMASKED)
    # a model on the meta device beside fake tensors on the CPU: the kernels of the CPU keep what those of a GPU do
    with FakeTensorMode(allow_non_fake_inputs=True):
        stand_in = stand_in.to_empty(device="cpu").train()
        few, many = (_weigh(stand_in, proteins, length, half_precision) for proteins in PROTEINS)
    tokens = (PROTEINS[1] - PROTEINS[0]) * length
    saved, checkpointed, working = ((b - a) / tokens for a, b in zip(few, many, strict=True))
    return Measured(saved=saved, checkpointed=min(saved, checkpointed), working=working)


def _weigh(model: ProteinClassifier, proteins: int, length: int, half_precision: bool) -> tuple[int, int, int]:
    """Bytes of a batch: kept, kept with gradient checkpointing, and at the largest moment without keeping."""
    batch = {
        "input_ids": torch.zeros(proteins, length, dtype=torch.long),
        "labels": torch.zeros(proteins, dtype=torch.long),
    }
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half_precision), kept_bytes(model) as kept:
        model(**batch)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half_precision), _Live() as live:
        model(**batch)
    inside = [kept.by_part[layer] for layer in range(len(kept.inputs))]
    checkpointed = kept.total - sum(inside) + sum(kept.inputs) + max(inside, default=0)
    return kept.total, checkpointed, live.most


class Kept:
    """What autograd keeps, by the layer that made it; None for what is outside of the layers.

    Args:
        parameters: Whose storages are not counted.
    """

    def __init__(self, parameters: Iterator[nn.Parameter]) -> None:
        self.seen = {parameter.untyped_storage()._cdata: parameter.untyped_storage() for parameter in parameters}
        self.by_part: dict[int | None, int] = defaultdict(int)
        self.inputs: list[int] = []  # of each layer that has something to do in backward
        self.part: int | None = None

    @property
    def total(self) -> int:
        return sum(self.by_part.values())

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.seen:
            self.seen[storage._cdata] = storage  # held, so that no address comes twice
            self.by_part[self.part] += storage.nbytes()
        return tensor


@contextmanager
def kept_bytes(model: ProteinClassifier) -> Iterator[Kept]:
    """Weigh the distinct storages, parameters left out, that the forward passes within keep for backward."""
    kept = Kept(model.parameters())
    hooks = []
    trained = [layer for layer in encoder_layers(model.backbone) if any(p.requires_grad for p in layer.parameters())]
    for index, layer in enumerate(trained):
        hooks += [layer.register_forward_pre_hook(_enter(kept, index)), layer.register_forward_hook(_leave(kept))]
    try:
        with saved_tensors_hooks(kept.add, lambda tensor: tensor):
            yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _enter(kept: Kept, index: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def enter(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        kept.part = index
        kept.inputs.append(inputs[0].nbytes)  # (B, T, H), all that a checkpointed layer keeps

    return enter


def _leave(kept: Kept) -> Callable[..., None]:
    def leave(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        kept.part = None

    return leave


class _Live(TorchDispatchMode):
    """Bytes of all tensors made within that are alive at the same time, at most."""

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


for _name, _attention in ((UNMASKED, sdpa_attention_forward), (FUSED, _fused_attention)):
    AttentionInterface.register(_name, _attention)
    AttentionMaskInterface.register(_name, _no_mask)
