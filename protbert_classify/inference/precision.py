"""In which precision a classifier computes, and what that needs."""

import logging
from typing import Any

import torch

from ..errors import OptionError
from ..model import ProteinClassifier

logger = logging.getLogger(__name__)

LARGE = 5_000_000  # parameters; a round number: the 0.2 million of the demo gain nothing (benchmarks.precision)
BODY = ("backbone", "pooling")  # children of a classifier below its heads
PRECISIONS = ("auto", "bfloat16", "float32", "int8")


def set_precision(model: ProteinClassifier, precision: str = "auto", packing: bool = True) -> str:
    """Make a loaded classifier compute in a precision; heads stay in float32, so that scores keep their digits.

    Args:
        model: On its device.
        precision: `bfloat16`, `float32`, `int8` (the backbone's linear layers, weights and activations; torchao, CPU
            only), or `auto`: bfloat16 on a GPU that computes in it, float32 elsewhere, so that a CPU gives the scores
            of the pipeline to the last digit.
        packing: Pack proteins where that can be done and pays.

    Returns:
        The precision, `auto` resolved.

    Raises:
        OptionError: An unknown precision, or int8 without torchao or off the CPU.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"precision={precision!r}: expected one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        fast = has_native_bf16(model.device)
        precision = "bfloat16" if fast and model.device.type == "cuda" else "float32"
        if fast and precision == "float32" and model.num_parameters() >= LARGE:
            logger.info("this CPU has bfloat16 instructions: precision bfloat16 would be faster")
    if precision == "bfloat16":
        _round(model)
        for network in model.networks:
            for name, module in network.named_children():
                if name not in BODY:
                    module.float()
    else:
        model.float()  # a checkpoint may be stored in half precision
    if packing:
        model.enable_packing()  # where it can be and pays; else padded
    if precision == "int8":
        _quantize(model)
    return precision


def has_gpu_backend() -> bool:
    """Whether processes here can talk to each other from device to device; Apple's GPUs cannot."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return device is not None and device.type != "mps"


def has_native_bf16(device: torch.device | str) -> bool:
    """Whether a device has instructions for bfloat16; emulated, it would be slower than float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.device(device).type == "cpu" and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _round(model: ProteinClassifier) -> None:
    """To bfloat16, but for ESM's rotary frequencies: rounded, they would turn far residues to wrong places.

    transformers 5.5.3, which containers have, computes positions in their type, too: past 256, neighbors meet.
    """
    frequencies = {name: buffer for name, buffer in model.named_buffers() if name.endswith("inv_freq")}
    model.to(torch.bfloat16)
    for name, buffer in frequencies.items():
        module, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(module), attribute, buffer)


def _quantize(model: ProteinClassifier) -> None:
    if model.device.type != "cpu":
        raise OptionError(f"precision='int8' on {model.device.type}: expected device='cpu'")
    try:
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    except ImportError:
        raise OptionError("precision='int8' needs torchao: pip install 'protbert_classify[int8]'") from None
    for network in model.networks:
        quantize_(network.backbone, Int8DynamicActivationInt8WeightConfig())
