"""How many tokens a step can have: measured before the first one."""

import contextlib

import psutil
import torch
from torch.autograd.graph import saved_tensors_hooks

from ..data.collators import PaddingCollator
from ..model import ProteinClassifier

MOST = 32_768  # tokens; a bound on what `auto` takes, so that an epoch keeps many steps
USABLE = 0.7  # share of the free memory: what backward needs for a moment comes on top of what forward leaves
OPTIMIZER = 12  # bytes a trained parameter: its gradient and two moments in float32


def fitting_tokens(
    model: ProteinClassifier,
    longest: int,
    autocast: contextlib.AbstractContextManager[object] | None = None,
) -> int:
    """Tokens of the largest batch that a training step has room for on the model's device.

    Args:
        model: On its device, in float32.
        longest: Tokens of the longest protein; attention costs it most.
        autocast: The context that training computes in.

    Returns:
        A multiple of 256 between `longest` and 32,768.
    """
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    room = USABLE * (free_memory(model.device) - OPTIMIZER * trained)
    tokens = int(room / saved_bytes_per_token(model, longest, autocast)) // 256 * 256
    return max(min(tokens, MOST), -(-longest // 256) * 256)


def saved_bytes_per_token(
    model: ProteinClassifier, longest: int, autocast: contextlib.AbstractContextManager[object] | None = None
) -> float:
    """What a forward pass over the longest protein keeps for backward, a token."""
    ids = [5] * longest  # any residue
    batch = PaddingCollator(model.config.pad_token_id or 0)([{"input_ids": ids, "labels": 0}])
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage  # held, so that no address comes twice
        return tensor

    training = model.training
    model.train()
    with saved_tensors_hooks(keep, lambda tensor: tensor), autocast or contextlib.nullcontext():
        model(**{name: tensor.to(model.device) for name, tensor in batch.items()})
    model.train(training)
    return sum(storage.nbytes() for storage in kept.values()) / longest


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
