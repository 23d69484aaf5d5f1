"""The part of a saved model that makes vectors of proteins, whether it was fine-tuned by this package or not."""

import os

from torch import nn
from transformers import PreTrainedTokenizerBase

from ..errors import ModelError, OptionError
from ..model import ProteinClassifier
from ..model.from_pretrained import NoClassesError
from ..model.pooling import POOLINGS
from ..model_source import resolve_model_path
from .saved_classifier import load_with_tokenizer, ready

NO_CLASSES = ["-"]  # the head on a bare encoder, which is never run
POOLER = "pooler"  # the one pooling whose weights a bare encoder may bring


def load_encoder(
    name_or_path: str | os.PathLike[str],
    pooling: str | None = None,
    device: str | None = None,
    precision: str = "float32",
    compiled: bool = False,
    layer: int | None = None,
) -> tuple[ProteinClassifier, PreTrainedTokenizerBase]:
    """Load an encoder and a pooling; the head is not for use.

    Args:
        name_or_path: The folder of a run or of a model, or a Hub id: a fine-tuned model or a bare encoder.
        pooling: Its name; if None, that of a fine-tuned model, and `mean` for a bare encoder.
        device: See [`load_classifier`], as for the others.
        precision: See there.
        compiled: See there.
        layer: Leave out the layers after this one, counted from 1.

    Raises:
        ModelError: No model there, no encoder, an ensemble, or damaged weights.
        OptionError: A pooling without trained weights here, no such layer or device, or a precision that it has not.
    """
    name = resolve_model_path(name_or_path)
    if pooling is not None and pooling not in POOLINGS:
        raise OptionError(f"pooling={pooling!r}: expected one of {', '.join(POOLINGS)}")
    try:
        model, tokenizer, _ = load_with_tokenizer(name)
    except NoClassesError:
        model, tokenizer = _bare_encoder(name, pooling)
    if model.config.members:
        raise ModelError(
            f"{name}: an ensemble, whose {len(model.networks)} members have an encoder each; expected one of them, "
            "such as the folder seed-0 or fold-1 in its run"
        )
    if pooling not in (None, model.config.pooling):
        model.pooling = _without_weights(name, model, POOLINGS.resolve(pooling))
    if layer is not None:
        _keep_layers(model, layer)
    return ready(model, device, precision, compiled), tokenizer


def _bare_encoder(name: str, pooling: str | None) -> tuple[ProteinClassifier, PreTrainedTokenizerBase]:
    loaded = POOLER if pooling == POOLER else "mean"
    model, tokenizer, missing = load_with_tokenizer(name, labels=NO_CLASSES, pooling=loaded)
    if any(key.startswith("backbone.pooler.") for key in missing):
        raise OptionError(f"pooling={pooling!r}: {name} has no weights of a pooler; expected mean or cls")
    return model, tokenizer


def _keep_layers(model: ProteinClassifier, layer: int) -> None:
    model.config.freeze_layers = 0  # nothing trains here
    layers = model.config.num_hidden_layers
    try:
        model.keep_first_layers(layer)
    except ValueError as error:
        raise OptionError(str(error)) from error
    if layer < layers and _learns(model.config.pooling, model.pooling):
        raise OptionError(
            f"layer={layer}: the pooling {model.config.pooling} was trained on layer {layers}; expected pooling mean "
            "or cls with another layer"
        )


def _learns(pooling: str, module: nn.Module) -> bool:
    return pooling == POOLER or next(module.parameters(), None) is not None


def _without_weights(name: str, model: ProteinClassifier, pooling: str) -> nn.Module:
    """Another pooling than the model's, which must have nothing to learn."""
    model.config.pooling = pooling
    module = POOLINGS[pooling](model.config)
    if _learns(pooling, module):
        raise OptionError(
            f"pooling={pooling!r}: its weights come from training, and {name} has none of them; expected mean or cls"
        )
    return module
