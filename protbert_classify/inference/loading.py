"""A saved classifier and its tokenizer, from a run's folder, a model's folder or the Hub."""

import os
from pickle import UnpicklingError

from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase

from ..data.encoding import ProteinEncoder
from ..data.tokenizer import load_tokenizer
from ..errors import ModelError, cannot_load, first_line
from ..model import ProteinClassifier


def load_classifier(name_or_path: str | os.PathLike[str]) -> tuple[ProteinClassifier, PreTrainedTokenizerBase]:
    """Load a fine-tuned classifier for inference.

    Args:
        name_or_path: The folder of a run (its `model/` is taken), the folder of a model, or a Hub id.

    Raises:
        ModelError: No model there, or an encoder without a head.
    """
    inside = os.path.join(name_or_path, "model")
    name = inside if os.path.isfile(os.path.join(inside, "config.json")) else os.fspath(name_or_path)
    if os.path.isdir(name) and not os.path.isfile(os.path.join(name, "config.json")):
        raise ModelError(f"{name}: no model there (no config.json); expected the output_dir of a run, or its model/")
    try:
        model = ProteinClassifier.from_pretrained(name)
        tokenizer = load_tokenizer(name)
    except (OSError, ValueError) as error:
        raise cannot_load(name, error) from error
    except (SafetensorError, UnpicklingError) as error:
        reason = f"its weights are damaged ({first_line(error)}); copy or download them again"
        raise ModelError(f"{name}: {reason}") from error
    return model.eval(), tokenizer


def classifier_encoder(model: ProteinClassifier, tokenizer: PreTrainedTokenizerBase) -> ProteinEncoder:
    """Crops proteins as in the model's training."""
    return ProteinEncoder(tokenizer, model.config.max_sequence_length or model.max_positions, model.config.crop)
