"""A saved classifier and its tokenizer, from a run's folder, a model's folder or the Hub."""

import logging
import os
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase

from ..data.encoder import ProteinEncoder
from ..data.tokenizer import load_tokenizer
from ..errors import ModelError, OptionError, first_line
from ..model import ProteinClassifier
from ..model.from_pretrained import NoClassesError
from ..model_source import cannot_load, resolve_model_path
from .precision import set_precision

logger = logging.getLogger(__name__)


def load_classifier(
    name_or_path: str | os.PathLike[str], device: str | None = None, precision: str = "float32", compiled: bool = False
) -> tuple[ProteinClassifier, PreTrainedTokenizerBase]:
    """Load a fine-tuned classifier for inference.

    Args:
        name_or_path: The folder of a run (its `model/` is taken), the folder of a model, or a Hub id.
        device: `cpu`, `cuda`, ...; the GPU if there is one.
        precision: What it computes in; see [`set_precision`].
        compiled: Compile the backbone with torch.compile: a minute before the first call, faster ones after it.

    Raises:
        ModelError: No model there, one without classes, or damaged weights.
        OptionError: No such device here, or a precision that it does not have.
    """
    name = resolve_model_path(name_or_path)
    try:
        model, tokenizer, _ = load_with_tokenizer(name)
    except NoClassesError as error:
        raise ModelError(
            f"{name}: an encoder without classes; fine-tune it first: "
            f"protbert-classify train --data LABELLED.fasta --model_name_or_path {name}"
        ) from error
    if model.config.id2label[0] == "LABEL_0":
        logger.warning("%s does not name its classes: they are LABEL_0, LABEL_1, ...", name)
    return ready(model, device, precision, compiled), tokenizer


def load_with_tokenizer(name: str, **fields: Any) -> tuple[ProteinClassifier, PreTrainedTokenizerBase, set[str]]:
    """A model as its weights are stored, on the CPU; its tokenizer; and the names of weights that were not there.

    Args:
        name: Of a folder or on the Hub, resolved.
        fields: What else `ProteinClassifier.from_pretrained` takes.

    Raises:
        NoClassesError: An encoder, and no `labels` among the fields.
        ModelError: No model there, or damaged weights.
    """
    try:
        model, info = ProteinClassifier.from_pretrained(name, output_loading_info=True, **fields)
    except NoClassesError:
        raise
    except (ImportError, OSError, ValueError) as error:  # an ImportError: peft is missing, which an adapter needs
        raise cannot_load(name, error) from error
    except (SafetensorError, UnpicklingError) as error:
        reason = f"its weights are damaged ({first_line(error)}); copy or download them again"
        raise ModelError(f"{name}: {reason}") from error
    try:
        tokenizer = load_tokenizer(name)
    except (OSError, ValueError) as error:
        if os.path.isdir(name):
            raise ModelError(f"{name}: no tokenizer there; expected tokenizer.json beside the weights") from error
        raise cannot_load(name, error) from error
    # merged, it is faster, and the logits are the same
    return model.merge_adapter(), tokenizer, set(info["missing_keys"])


def ready(model: ProteinClassifier, device: str | None, precision: str, compiled: bool) -> ProteinClassifier:
    """The same model, made ready to compute; see [`load_classifier`].

    Raises:
        OptionError: No such device here, or a precision that it does not have.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        model.to(device).eval()
    except (AssertionError, NotImplementedError, RuntimeError) as error:  # torch has no one type for this
        if "out of memory" in str(error):
            raise
        raise OptionError(f"device {device!r} cannot be used here: {first_line(error)}") from error
    # compiled for a CPU, the loop over packed proteins would be compiled again for each number of them
    computes = set_precision(model, precision, packing=not (compiled and model.device.type == "cpu"))
    logger.info("computing in %s on %s", computes, device)
    if compiled:
        for network in model.networks:
            network.backbone.compile(dynamic=True)
    return model


def classifier_encoder(
    model: ProteinClassifier, tokenizer: PreTrainedTokenizerBase, max_length: int | None = None
) -> ProteinEncoder:
    """Crops proteins as in the model's training, or to another number of tokens."""
    longest = max_length or model.config.max_sequence_length or model.max_positions
    return ProteinEncoder(tokenizer, longest, model.config.crop)
