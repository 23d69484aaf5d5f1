"""What a training would cost in memory and time, from the shape of the model alone: no weights, no GPU."""

from dataclasses import dataclass

import numpy as np

from ..model import ProteinClassifier
from .flops import frozen_flops, training_flops
from .step_memory import step_memory

# Lengths in residues, the 0th, 5th, ... 100th percentile, of 1,655 training proteins of DeepLoc 1.0 (Almagro Armenteros
# et al. 2017, doi:10.1093/bioinformatics/btx431) with one of its 10 locations, as far as we had them at hand
DEEPLOC_PERCENTILES = (
    42, 83, 128, 168, 207, 244, 280, 318, 348, 378, 416, 458, 487, 528, 585, 635, 717, 819, 981, 1331, 13100,
)  # fmt: skip
# the 10-location set has 13,858 proteins (ibid.), 2,768 of them for the test
DEEPLOC_TRAINING_PROTEINS = 13_858 - 2_768


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The cost of a training; bytes, FLOPs and seconds.

    Args:
        parameters: Of the whole model.
        trained_parameters: Those that get a gradient.
        weights: Bytes of all parameters, float32.
        weight_copies: Bytes of the copies in half precision that autocast keeps during a step; 0 in float32.
        gradients: Bytes, float32.
        optimizer: Bytes of AdamW's two moments, float32.
        activations: Bytes that forward keeps for backward, of a step.
        working: Bytes of what comes on top at the fullest moment of a step, mostly in backward.
        inference: Bytes to classify a batch of as many tokens.
        flops_per_epoch: Of all proteins, without padding.
        seconds_per_epoch: At the rate given.
        seconds_per_later_epoch: From the second one on: if the backbone is frozen, `train` reads saved embeddings.
    """

    parameters: int
    trained_parameters: int
    weights: int
    weight_copies: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    inference: int
    flops_per_epoch: float
    seconds_per_epoch: float
    seconds_per_later_epoch: float

    def seconds(self, epochs: float) -> float:
        """Of so many passes over the proteins, evaluation not included."""
        return self.seconds_per_epoch * min(epochs, 1) + self.seconds_per_later_epoch * max(epochs - 1, 0)

    @property
    def step(self) -> int:
        """Bytes of a whole training step."""
        return self.fixed + self.activations + self.working

    @property
    def fixed(self) -> int:
        """Bytes of a step that do not depend on its tokens."""
        return self.weights + self.weight_copies + self.gradients + self.optimizer


def estimate(
    model: ProteinClassifier,
    lengths: np.ndarray,
    *,
    tokens_per_batch: int,
    flops_per_second: float,
    half_precision: bool = False,
    gradient_checkpointing: bool = False,
    fused_attention: bool = True,
    packed: bool = False,
) -> Estimate:
    """What training a model on proteins costs.

    Args:
        model: On the meta device, as [`planned_model`] builds it.
        lengths: (N,), tokens of each training protein, special ones included.
        tokens_per_batch: Of a forward and backward pass; as many proteins of the largest length as they make, attention
            costs those most.
        flops_per_second: That the device reaches in training.
        half_precision: bfloat16 or float16 through autocast, with float32 weights.
        gradient_checkpointing: Keep a hidden state a layer, compute the rest again in backward.
        fused_attention: As on any GPU, where attention and dropout keep least; else as on a CPU.
        packed: Without padding, and so without the attention mask that each layer keeps.
    """
    memory = step_memory(
        model,
        int(np.max(lengths)),
        half_precision=half_precision,
        gradient_checkpointing=gradient_checkpointing,
        fused_attention=fused_attention,
        packed=packed,
    )
    measured = memory.activations
    activations = int(measured.kept * tokens_per_batch)
    flops = training_flops(model, lengths, gradient_checkpointing)
    saved = frozen_flops(model, lengths) if model.config.freeze_backbone else 0.0
    return Estimate(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained_parameters=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        weights=memory.weights,
        weight_copies=measured.weight_copies,
        gradients=memory.gradients,
        optimizer=memory.optimizer,
        activations=activations,
        working=memory.step(tokens_per_batch) - memory.fixed - activations,
        inference=memory.weights + measured.weight_copies + int(measured.inference * tokens_per_batch),
        flops_per_epoch=flops,
        seconds_per_epoch=flops / flops_per_second,
        seconds_per_later_epoch=(flops - saved) / flops_per_second,
    )


def deeploc_lengths() -> np.ndarray:
    """Residues of as many proteins as DeepLoc 1.0 trains on, (11090,), between its percentiles at equal steps."""
    rank = (np.arange(DEEPLOC_TRAINING_PROTEINS) + 0.5) / DEEPLOC_TRAINING_PROTEINS
    known = np.linspace(0, 1, len(DEEPLOC_PERCENTILES))
    return np.interp(rank, known, DEEPLOC_PERCENTILES).round().astype(np.int64)


def encoded_lengths(residues: np.ndarray, model: ProteinClassifier, max_length: int) -> np.ndarray:
    """Tokens of proteins, (N,): the special ones included, the longer ones cropped."""
    return np.minimum(np.asarray(residues) + sum(model.special_tokens), max_length)
