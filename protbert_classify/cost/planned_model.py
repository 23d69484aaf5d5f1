"""The classifier that a training would begin with, on the meta device: its shape without its weights."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, PretrainedConfig

from ..data.tokenizer import protbert_tokenizer
from ..errors import InputError, OptionError, first_line
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model.layers import check_layers, set_layer_count
from ..model_source import backbone_shape, cannot_load, check_max_length, resolve_model_path

# what a classifier is taken over with, unless it is asked for otherwise
OWN_FIELDS = (
    "pooling",
    "head",
    "task_name",
    "light_attention_kernel_size",
    "light_attention_layers",
    "num_labels",
    "problem_type",
    "auxiliary_tasks",
    "special_tokens",
)


def planned_model(
    name_or_path: str | None = None,
    *,
    max_length: int,
    revision: str = "main",
    backbone_config: str | None = None,
    num_labels: int | None = None,
    pooling: str | None = None,
    head: str | None = None,
    light_attention_kernel_size: int | None = None,
    light_attention_layers: int | None = None,
    tuning: str = "full",
    adapter: Mapping[str, Any] | None = None,
    freeze_layers: int = 0,
    layer: int | None = None,
) -> ProteinClassifier:
    """Build the classifier that a training would begin with; of a model only its configuration is read.

    Args:
        name_or_path: A folder or a Hub id of an encoder or a classifier, or the `output_dir` of a training.
        max_length: Tokens of the longest input: an absolute position table is cut to it, as in training.
        revision: Branch, tag or commit of a Hub model.
        backbone_config: In place of a name: the shape of an encoder, a JSON file or JSON itself.
        num_labels: Number of classes; None for those of a saved classifier, 10 for an encoder.
        pooling: A name in `POOLINGS`; None for that of a saved classifier, mean for an encoder.
        head: A name in `HEADS`; None for that of a saved classifier, linear for an encoder.
        light_attention_kernel_size: Width of its convolutions; None for that of a saved classifier, or 9.
        light_attention_layers: Convolutional layers before it; None for those of a saved classifier, or none.
        tuning: `full`, `lora` or `frozen`, as for train.
        adapter: With `lora`, fields of [`Adapter`] other than its defaults. With 4 bits, the weights of the planned
            model stay whole.
        freeze_layers: Leave the embeddings and the first N layers as they are.
        layer: The last layer of the backbone that is kept; None for all.

    Raises:
        InputError: No such model, or options that do not fit it.
    """
    try:
        config = _model_config(name_or_path, revision, backbone_config)
        trained = config if isinstance(config, ProteinClassifierConfig) else None
        backbone = copy.deepcopy(trained.backbone_config if trained else config)
        check_max_length(backbone, max_length)
        if layer is not None:
            check_layers(backbone, layer)
            set_layer_count(backbone, layer)
        backbone.dtype = torch.float32  # whatever the weights were saved in, training holds float32
        own = {name: getattr(trained, name) for name in OWN_FIELDS} if trained else {"num_labels": 10}
        asked = {
            "pooling": pooling,
            "head": head,
            "light_attention_kernel_size": light_attention_kernel_size,
            "light_attention_layers": light_attention_layers,
            "num_labels": num_labels,
        }
        fields: dict[str, Any] = {**own, **{name: value for name, value in asked.items() if value is not None}}
        trains: dict[str, Any] = {"freeze_backbone": tuning == "frozen", "freeze_layers": freeze_layers}
        if tuning == "lora":
            trains["adapter"] = {"base_model": name_or_path or "", **(adapter or {})}
        with torch.device("meta"):
            model = ProteinClassifier(ProteinClassifierConfig(backbone, **trains, **fields))
    except (ImportError, ValueError, KeyError) as error:
        raise error if isinstance(error, InputError) else OptionError(first_line(error)) from error
    if model.max_positions is not None:
        model.resize_position_embeddings(max_length)
    return model


def trained_length(name_or_path: str | None, revision: str = "main") -> int | None:
    """Tokens of the longest input that a saved classifier was trained on; None for an encoder or for no name."""
    if name_or_path is None:
        return None
    return getattr(_model_config(name_or_path, revision), "max_sequence_length", None)


def _model_config(name_or_path: str | None, revision: str, backbone_config: str | None = None) -> PretrainedConfig:
    if backbone_config is not None:
        ours = {"vocab_size": len(protbert_tokenizer()), "pad_token_id": 0}
        return ProteinClassifierConfig({**ours, **backbone_shape(backbone_config)}).backbone_config
    if name_or_path is None:
        raise OptionError("expected the name of a model, or backbone_config")
    name = resolve_model_path(name_or_path)
    try:
        return AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise cannot_load(name, error) from error
