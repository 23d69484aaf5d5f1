"""What one training step holds in the memory of a device: the model behind `estimate` and `tokens_per_batch auto`."""

from dataclasses import dataclass, replace

from torch import nn

from ..model import ProteinClassifier
from ..model.backbone import encoder_layers
from ..model.four_bits import BYTES
from .activation_memory import ActivationMemory, activation_memory, four_bit_adapters

ADAMW_BYTES = 8  # a trained parameter: two moments in float32


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes of a training step on one device.

    Args:
        weights: The device's share of the weights.
        gradients: Of the gradients.
        optimizer: Of the optimizer's state.
        communication: What several devices need besides, to exchange weights and gradients.
        activations: What forward and backward take.
    """

    weights: int
    gradients: int
    optimizer: int
    communication: int
    activations: ActivationMemory

    @property
    def fixed(self) -> int:
        """Bytes that do not depend on the number of tokens."""
        held = self.weights + self.gradients + self.optimizer + self.communication
        return held + self.activations.weight_copies

    def step(self, tokens: int) -> int:
        """Bytes of a step whose forward and backward pass reads so many tokens."""
        return self.fixed + self.activations.transient + int(self.activations.peak * tokens)

    def tokens(self, memory: float) -> int:
        """Tokens of the largest step that fits into so many bytes; 0 if none does."""
        return max(int((memory - self.fixed - self.activations.transient) / self.activations.peak), 0)


def step_memory(
    model: ProteinClassifier,
    longest: int,
    *,
    half_precision: bool,
    gradient_checkpointing: bool,
    fused_attention: bool = True,
    packed: bool = False,
    shards: int = 1,
    data_parallel: bool = False,
    optimizer_bytes: float = ADAMW_BYTES,
) -> StepMemory:
    """Measure what a training step on proteins of the largest length holds in the memory of a device.

    Args:
        model: On any device, the meta device included; it stays as it is.
        longest: Tokens of the longest protein: attention costs it most.
        half_precision: bfloat16 or float16 through autocast, with weights in float32.
        gradient_checkpointing: Keep a hidden state a layer, compute the rest again in backward.
        fused_attention: As on any GPU, where attention and dropout keep least; else as on a CPU.
        packed: Without padding, and so without the attention mask that each layer keeps.
        shards: Devices that share weights, gradients and optimizer (FSDP).
        data_parallel: Several devices with all weights each: DistributedDataParallel holds the gradients twice.
        optimizer_bytes: Of the optimizer's state, a trained parameter.
    """
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    activations = activation_memory(
        model,
        longest,
        half_precision=half_precision,
        gradient_checkpointing=gradient_checkpointing,
        fused_attention=fused_attention,
        packed=packed,
    )
    small = [adapter.base_layer for adapter in four_bit_adapters(model)]
    as_held = sum(layer.weight.nbytes for layer in small)
    in_four_bits = int(BYTES * sum(layer.in_features * layer.out_features for layer in small))
    in_use = max((4 * layer.in_features * layer.out_features for layer in small), default=0)  # unpacked, one at a time
    activations = replace(activations, transient=activations.transient + in_use)
    if shards > 1:
        activations = replace(activations, weight_copies=0)  # FSDP gathers the weights in half precision
    return StepMemory(
        weights=(_nbytes(model) - as_held + in_four_bits) // shards,
        gradients=_nbytes(model, trained=True) // shards,
        optimizer=int(optimizer_bytes * trained) // shards,
        communication=_gathered(model) if shards > 1 else _nbytes(model, trained=True) if data_parallel else 0,
        activations=activations,
    )


def _gathered(model: ProteinClassifier) -> int:
    """Bytes that FSDP gathers: what is outside of the layers, and a layer at work while the next one arrives.

    Of a layer the gradient is there as a whole, too, until every device has its share.
    """
    layers = [_nbytes(layer) for layer in encoder_layers(model.backbone)]
    outside = _nbytes(model) - sum(layers)
    return outside + 3 * max(layers)


def _nbytes(module: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad or not trained)
