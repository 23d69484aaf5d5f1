"""What devices have: memory and arithmetic, by their datasheets or, of this machine, measured.

torch is imported where it is needed: a `--help` that lists the devices does not wait for it.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..errors import OptionError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Device:
    """What the vendor's datasheet says of one device.

    Args:
        memory: GB of 10^9 bytes. Vendors often mean 2^30, of which driver and ECC take a part: the smaller one is safe.
        half: Peak TFLOP/s in half precision, float32 sums, without sparsity.
        float32: Peak TFLOP/s outside of tensor cores, which is what torch takes for float32 unless told otherwise.
        source: The datasheet.
        bf16: Whether half precision can be bfloat16; fp16 only if not.
    """

    memory: float
    half: float
    float32: float
    source: str
    bf16: bool = True


DEVICES = {
    "T4": Device(16, 65, 8.1, "NVIDIA T4 datasheet", bf16=False),
    "V100": Device(16, 125, 15.7, "NVIDIA V100 datasheet, SXM2 16 GB", bf16=False),
    "A10G": Device(24, 70, 35, "NVIDIA A10G datasheet"),
    "L4": Device(24, 121, 30.3, "NVIDIA L4 datasheet, 242 TFLOP/s with sparsity"),
    "A100-40GB": Device(40, 312, 19.5, "NVIDIA A100 datasheet"),
    "A100-80GB": Device(80, 312, 19.5, "NVIDIA A100 datasheet"),
    "H100": Device(80, 989, 67, "NVIDIA H100 datasheet, SXM, 1,979 TFLOP/s with sparsity"),
    "H200": Device(141, 989, 67, "NVIDIA H200 datasheet, SXM, 1,979 TFLOP/s with sparsity"),
    "RTX-4090": Device(24, 165.2, 82.6, "NVIDIA Ada architecture whitepaper, GeForce RTX 4090"),
}
HERE = "here"
ROOM = 0.9  # share of the memory that a step may fill: the allocator leaves gaps, the driver takes its part
PRECISIONS = ("float32", "bf16", "fp16")


class Means(NamedTuple):
    """What a device has for a training.

    Args:
        memory: Bytes; of this machine, those that are free.
        rate: Peak FLOP/s in the precision asked for.
        source: Where the peak is from.
    """

    memory: int
    rate: float
    source: str


def usual_precision(device: str) -> str:
    """What train would take on a device of this name: bf16 on GPUs that have it."""
    if device != HERE:
        return "bf16" if DEVICES[device].bf16 else "float32"
    from ..inference.precision import has_native_bf16

    return "bf16" if accelerator() == "cuda" and has_native_bf16("cuda") else "float32"


def means_of(name: str, precision: str) -> Means:
    """What a device has.

    Args:
        name: One of `DEVICES`, or `HERE`: that is measured, for a second.
        precision: One of `PRECISIONS`.

    Raises:
        OptionError: It does not compute in this precision.
    """
    if name == HERE:
        return _measured(precision)
    device = DEVICES[name]
    if precision == "bf16" and not device.bf16:
        raise OptionError(f"a {name} has no bf16; expected precision fp16 or float32")
    rate = device.float32 if precision == "float32" else device.half
    return Means(int(device.memory * 1e9), rate * 1e12, device.source)


def accelerator() -> str | None:
    """The kind of accelerator of this machine, such as `cuda`; None without one."""
    import torch

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return None if device is None else device.type


def free_memory(device: "torch.device", model: "nn.Module | None" = None, processes: int = 1) -> int:
    """Bytes that a training can have of a device's memory: of a CPU, the host's.

    Args:
        device: Where the training computes. Under FSDP that is not where its model lies before it is sharded.
        model: The model to train: what its weights take of this memory already is theirs to have.
        processes: That share the host's memory; a GPU belongs to one of them.
    """
    import psutil
    import torch

    if device.type == "cpu":
        free = psutil.virtual_memory().available // processes
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    else:
        backend = torch.get_device_module(device)  # torch.cuda, torch.xpu
        unused = backend.memory_reserved(device) - backend.memory_allocated(device)  # freed, kept by the allocator
        free = backend.mem_get_info(device)[0] + unused
    weights = [] if model is None else [p for p in model.parameters() if p.device.type == device.type]
    return free + sum(weight.numel() * weight.element_size() for weight in weights)


def _measured(precision: str, seconds: float = 1.0) -> Means:
    """This machine: its free memory, and the rate of a product of two large matrices."""
    import torch

    device = torch.device(accelerator() or "cpu")
    size = 1024 if device.type == "cpu" else 8192
    kind = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    memory = free_memory(device)
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    float((a @ b)[0, 0])  # warm: libraries are loaded, kernels chosen
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(4):
            a @ b
        float((a @ b)[0, 0])  # waits until a GPU is done
        count += 5
    rate = count * 2 * size**3 / (time.perf_counter() - start)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"its {device.type.upper()}"
    threads = f", threads: {torch.get_num_threads()}" if device.type == "cpu" else ""
    return Means(memory, rate, f"measured now on {name}{threads}: products of matrices, {precision}")
