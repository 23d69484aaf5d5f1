"""What a training would cost in memory and time, from the shape of the model alone: no weights, no GPU."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, PretrainedConfig

from ..data.tokenizer import protbert_tokenizer
from ..errors import InputError, OptionError, first_line
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model.flops import training_flops
from ..model_source import cannot_load, model_folder
from .arguments import ModelArguments
from .options import backbone_shape
from .run import check_max_length
from .weighing import measure

# Lengths in residues, the 0th, 5th, ... 100th percentile, of 1,655 training proteins of DeepLoc 1.0 (Almagro Armenteros
# et al. 2017, doi:10.1093/bioinformatics/btx431) with one of its 10 locations, as far as we had them at hand
DEEPLOC_PERCENTILES = (
    42, 83, 128, 168, 207, 244, 280, 318, 348, 378, 416, 458, 487, 528, 585, 635, 717, 819, 981, 1331, 13100,
)  # fmt: skip
# the 10-location set has 13,858 proteins (ibid.), 2,768 of them for the test
DEEPLOC_TRAINING_PROTEINS = 13_858 - 2_768

FLOAT32 = 4  # bytes
HALF = 2
ADAMW_STATE = 8  # bytes a trained parameter: two moments in float32


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
        working: Bytes of what an operation needs for a moment, of a step.
        inference: Bytes to classify a batch of as many tokens.
        flops_per_epoch: Of all proteins, without padding.
        seconds_per_epoch: At the rate given.
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

    @property
    def step(self) -> int:
        """Bytes of a training step, all of it."""
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
) -> Estimate:
    """What training a model on proteins costs.

    Args:
        model: On the meta device, as [`planned_model`] builds it.
        lengths: (N,), tokens of each training protein, special ones included.
        tokens_per_batch: Of a step; as many proteins of the largest length as they make, attention costs those most.
        flops_per_second: That the device reaches in training.
        half_precision: bfloat16 or float16 through autocast, with float32 weights.
        gradient_checkpointing: Keep a hidden state a layer, compute the rest again in backward.
        fused_attention: Attention never keeps the (T, T) weights: any GPU, and a CPU as long as they have no dropout.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trained_parameters = sum(parameter.numel() for parameter in trained)
    measured = measure(model, int(np.max(lengths)), half_precision, fused_attention)
    kept = measured.checkpointed if gradient_checkpointing else measured.saved
    weights = FLOAT32 * parameters
    copies = HALF * _cast_weights(model) if half_precision else 0
    working = int(measured.working * tokens_per_batch)
    flops = training_flops(model, lengths, gradient_checkpointing)
    return Estimate(
        parameters=parameters,
        trained_parameters=trained_parameters,
        weights=weights,
        weight_copies=copies,
        gradients=FLOAT32 * trained_parameters,
        optimizer=ADAMW_STATE * trained_parameters,
        activations=int(kept * tokens_per_batch),
        working=working,
        inference=weights + copies + working,
        flops_per_epoch=flops,
        seconds_per_epoch=flops / flops_per_second,
    )


def planned_model(
    arguments: ModelArguments, max_length: int, labels: int | None = None, pooling: str | None = None
) -> ProteinClassifier:
    """The classifier that a training would begin with, on the meta device; of a model only its configuration is read.

    Args:
        arguments: `model_name_or_path` or `backbone_config`, and what trains.
        max_length: Tokens of the longest input: an absolute position table is cut to it, as in training.
        labels: Number of classes; None for those of a saved classifier, 10 for an encoder.
        pooling: None for that of a saved classifier, mean for an encoder.

    Raises:
        InputError: No such model, or one that cannot be what is asked for.
    """
    try:
        config = _model_config(arguments)
        trained = config if isinstance(config, ProteinClassifierConfig) else None
        backbone = copy.deepcopy(trained.backbone_config if trained else config)
        check_max_length(backbone.to_dict(), max_length)
        backbone.dtype = torch.float32  # whatever the weights were saved in, training holds float32
        fields: dict[str, Any] = {
            "pooling": pooling or (trained.pooling if trained else "mean"),
            "freeze_backbone": arguments.freeze_backbone,
            "freeze_layers": arguments.freeze_layers,
            "num_labels": labels or (trained.num_labels if trained else 10),
        }
        with torch.device("meta"):
            model = ProteinClassifier(ProteinClassifierConfig(backbone, **fields))
    except (ImportError, ValueError, KeyError) as error:
        raise error if isinstance(error, InputError) else OptionError(first_line(error)) from error
    if model.max_positions is not None:
        model.resize_position_embeddings(max_length)
    return model


def trained_length(arguments: ModelArguments) -> int | None:
    """Tokens of the longest input that a saved classifier was trained on; None for an encoder."""
    return getattr(_model_config(arguments), "max_sequence_length", None)


def _model_config(arguments: ModelArguments) -> PretrainedConfig:
    if arguments.backbone_config is not None:
        ours = {"vocab_size": len(protbert_tokenizer()), "pad_token_id": 0}
        return ProteinClassifierConfig({**ours, **backbone_shape(arguments.backbone_config)}).backbone_config
    name = model_folder(arguments.model_name_or_path)
    try:
        return AutoConfig.from_pretrained(name, revision=arguments.model_revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise cannot_load(name, error) from error


def deeploc_lengths() -> np.ndarray:
    """Residues of as many proteins as DeepLoc 1.0 trains on, (11090,), between its percentiles at equal steps."""
    rank = (np.arange(DEEPLOC_TRAINING_PROTEINS) + 0.5) / DEEPLOC_TRAINING_PROTEINS
    known = np.linspace(0, 1, len(DEEPLOC_PERCENTILES))
    return np.interp(rank, known, DEEPLOC_PERCENTILES).round().astype(np.int64)


def encoded_lengths(residues: np.ndarray, model: ProteinClassifier, max_length: int) -> np.ndarray:
    """Tokens of proteins, (N,): the special ones included, the longer ones cropped."""
    return np.minimum(np.asarray(residues) + sum(model.special_tokens), max_length)


def _cast_weights(model: ProteinClassifier) -> int:
    """Parameters of which autocast keeps a copy until the step ends; those that do not train are cast each time."""
    products = (module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv1d))
    return sum(p.numel() for module in products for p in module.parameters() if p.requires_grad)
