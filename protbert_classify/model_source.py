"""Resolves the name of a model (a Hub id, a run's folder, a model's folder), and explains why it cannot be loaded.

What is resolved is loaded in `model/from_pretrained.py`.
"""

import glob
import json
import os
from typing import TYPE_CHECKING, Any

from .errors import ModelError, OptionError, ProteinClassifierError, first_line
from .model.repository_names import is_path

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def resolve_model_path(name_or_path: str | os.PathLike[str]) -> str:
    """The folder or Hub id of a model: `model/` for a run's folder, else the name itself.

    Raises:
        ModelError: The name is a path, and there is no folder or no model in it, or an unfinished training.
    """
    name = os.fspath(name_or_path)
    inside = os.path.join(name, "model")
    if os.path.isfile(os.path.join(inside, "config.json")):
        return inside
    if os.path.isdir(name) and not os.path.isfile(os.path.join(name, "config.json")):
        if glob.glob("checkpoint-*/config.json", root_dir=name):
            raise ModelError(
                f"{name}: no model yet, its training was interrupted; the same train command with --resume finishes it"
            )
        if _is_baseline(name):
            raise ModelError(f"{name}: a baseline, for comparisons only; it has no model that can predict")
        raise ModelError(f"{name}: no model there (no config.json); expected the output_dir of a run, or its model/")
    if is_path(name) and not os.path.isdir(name):
        raise ModelError(
            f"{name}: no such folder; expected the output_dir of a training, a model folder, or owner/name on the Hub"
        )
    return name


def _is_baseline(folder: str) -> bool:
    """Whether `protbert-classify baselines` wrote the folder: a run that nothing was trained in."""
    try:
        with open(os.path.join(folder, "run.json"), encoding="utf-8") as file:
            record = json.load(file)
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and "tasks" in record and "training_arguments" not in record


def non_finite_error(name: str, half: bool = False) -> ModelError:
    """The error for a model whose scores are NaN or infinite.

    Args:
        name: Its folder or Hub id; empty if it was never saved.
        half: It was cast to float16, which ends at 65,504.
    """
    where = f"the model in {name}" if name else "the model"
    if half:
        return ModelError(f"{where} gives scores beyond float16's range; compute in bfloat16 or float32")
    return ModelError(
        f"{where} gives scores that are not numbers: its training diverged; train it again with a lower learning_rate"
    )


def cannot_load(name: str, error: Exception) -> ProteinClassifierError:
    """The error for a model that transformers could not load: the network's fault, or the name's."""
    reason = first_line(error)
    if os.path.isdir(name):
        for file in sorted(os.listdir(name)):
            if not os.access(os.path.join(name, file), os.R_OK):  # transformers says that it is not there
                return ModelError(f"{os.path.join(name, file)}: may not be read; ask its owner for: chmod a+r")
    if "couldn't connect" in reason.lower():  # an OSError like any other, whatever the cause
        return ProteinClassifierError(
            f"{name}: no such folder here, and the Hub cannot be reached; check the name, or the network"
        )
    return ModelError(f"{name}: cannot be loaded as a model: {reason}")


def backbone_shape(backbone_config: str) -> dict[str, Any]:
    """The fields of `--backbone_config`, a JSON file or JSON itself.

    Raises:
        OptionError: Neither, or no `model_type`.
    """
    from transformers import CONFIG_MAPPING

    text = backbone_config
    if not text.lstrip().startswith("{"):
        if not os.path.isfile(text):
            raise OptionError(f"backbone_config {text!r}: no such file; expected a JSON file or JSON")
        with open(text, encoding="utf-8") as file:
            text = file.read()
    try:
        shape = json.loads(text)
    except json.JSONDecodeError as error:
        raise OptionError(f"backbone_config is not valid JSON: {error}") from None
    if not isinstance(shape, dict) or "model_type" not in shape:
        raise OptionError('backbone_config has no model_type; expected, say, {"model_type": "bert", ...}')
    if shape["model_type"] not in CONFIG_MAPPING:
        raise OptionError(f"backbone_config: unknown model_type {shape['model_type']!r}; expected bert, esm, t5, ...")
    return shape


def check_max_length(backbone: "PretrainedConfig", max_length: int) -> None:
    """Refuse what absolute positions cannot reach, before data and weights are loaded.

    Raises:
        OptionError: The encoder has fewer positions.
    """
    from .model.backbone import longest_input

    positions = longest_input(backbone)
    if positions is not None and max_length > positions:
        raise OptionError(f"max_length={max_length}: the backbone has {positions} positions; expected no more")
