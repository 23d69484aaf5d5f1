"""How many tokens a forward and backward pass can have on a device."""

from typing import Any

from ..model import ProteinClassifier
from .devices import ROOM
from .step_memory import ADAMW_BYTES, step_memory

MULTIPLE = 256  # tokens
MOST = 32_768  # tokens; any GPU is busy with less, so that a larger pass would take memory and save no time


def fitting_tokens(
    model: ProteinClassifier,
    longest: int,
    *,
    half_precision: bool,
    gradient_checkpointing: bool,
    fused_attention: bool,
    free_bytes: int,
    packed: bool = False,
    shards: int = 1,
    data_parallel: bool = False,
    optimizer_bytes: float = ADAMW_BYTES,
    most: int = MOST,
) -> int:
    """Tokens of the largest micro-batch whose training step fits into a device's memory.

    It is computed from what `protbert-classify estimate` measures, and leaves as much room as that does.

    Args:
        model: On any device, the meta device included; it stays as it is.
        longest: Tokens of the longest protein.
        half_precision: bfloat16 or float16 through autocast, with weights in float32.
        gradient_checkpointing: Keep a hidden state a layer, compute the rest again in backward.
        fused_attention: The device is a GPU, where attention and dropout keep least.
        free_bytes: What the device has for all of the training, the weights included if they are there already, see
            [`free_memory`].
        packed: Without padding, and so without the attention mask that each layer keeps.
        shards: Devices that share weights, gradients and optimizer (FSDP).
        data_parallel: Several devices with all weights each: DistributedDataParallel holds the gradients twice.
        optimizer_bytes: Of the optimizer's state, a trained parameter; AdamW's if not given.
        most: No more than so many tokens, whatever fits; a processor is fastest with few.

    Returns:
        A multiple of 256, at least `longest` (whether it fits or not), else at most `most`.
    """
    settings: dict[str, Any] = {
        "half_precision": half_precision,
        "gradient_checkpointing": gradient_checkpointing,
        "fused_attention": fused_attention,
        "packed": packed,
        "shards": shards,
        "data_parallel": data_parallel,
        "optimizer_bytes": optimizer_bytes,
    }
    memory = step_memory(model, longest, **settings)
    tokens = min(memory.tokens(ROOM * free_bytes), most) // MULTIPLE * MULTIPLE
    return max(tokens, -(-longest // MULTIPLE) * MULTIPLE)
