"""The model and tokenizer that a training begins with."""

import copy
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedTokenizerBase

from ..data.tokenizer import PROTBERT_VOCABULARY, load_tokenizer, protbert_tokenizer
from ..errors import OptionError, first_line
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model.adapter import find_targets
from ..model.backbone import count_special_tokens, random_backbone
from ..model.configuration import TRAINED_FURTHER
from ..model.layers import check_layers
from ..model.tasks import Task
from ..model_source import backbone_shape, cannot_load, check_max_length, resolve_model_path
from .arguments import DataArguments, EncoderArguments, ModelArguments

MODEL_FIELDS = (
    "pooling",
    "head",
    "loss",
    "classifier_dropout",
    "light_attention_kernel_size",
    "light_attention_layers",
    "light_attention_dropout",
    "freeze_backbone",
    "freeze_layers",
)
POSITION_SCALE = 0.1  # of position embeddings that start at random, as a share of the usual length


def build_tokenizer(arguments: EncoderArguments, max_length: int) -> PreTrainedTokenizerBase:
    """The protein tokenizer for a backbone, which stops at `max_length` like the model.

    Raises:
        InputError: The model cannot be loaded, or has too few positions.
    """
    if arguments.backbone_config is not None:
        shape = scratch_config(arguments).backbone_config
        check_max_length(shape, max_length)
        _check_layer(arguments, shape)
        tokenizer: PreTrainedTokenizerBase = protbert_tokenizer()
    else:
        name = resolve_model_path(arguments.model_name_or_path)
        try:
            config = AutoConfig.from_pretrained(name, revision=arguments.model_revision, trust_remote_code=False)
            tokenizer = load_tokenizer(name, revision=arguments.model_revision)
        except (OSError, ValueError) as error:
            raise cannot_load(name, error) from error
        if getattr(config, "members", None):
            raise OptionError(f"{name}: {TRAINED_FURTHER}")
        shape = getattr(config, "backbone_config", config)
        check_max_length(shape, max_length)
        _check_layer(arguments, shape)
        _check_targets(arguments, shape)
    tokenizer.model_max_length = max_length
    return tokenizer


def _check_layer(arguments: EncoderArguments, backbone: PretrainedConfig) -> None:
    """Refuse a layer that the backbone does not have before anything large is read; `auto` needs some to cut."""
    layer = getattr(arguments, "layer", None)  # a pretraining has no such option
    if layer is not None:
        try:
            check_layers(backbone, backbone.num_hidden_layers if layer == "auto" else int(layer), f"layer={layer}")
        except ValueError as error:
            raise OptionError(first_line(error)) from error


def _check_targets(arguments: EncoderArguments, backbone: PretrainedConfig) -> None:
    """Refuse targets of an adapter that the backbone does not have before any protein is read."""
    if isinstance(arguments, ModelArguments) and arguments.tuning == "lora":
        try:
            with torch.device("meta"):
                shape = random_backbone(copy.deepcopy(backbone), "mean")
            find_targets(shape, list(arguments.lora_targets or ()), arguments.lora_kind)
        except ValueError as error:
            raise OptionError(first_line(error)) from error


def build_model(arguments: ModelArguments, data_args: DataArguments, tasks: tuple[Task, ...]) -> ProteinClassifier:
    """A classifier with fresh heads on a pretrained encoder, or a network from scratch.

    Raises:
        InputError: The model cannot be loaded, or an option does not fit it.
    """
    fields = model_fields(arguments, data_args, tasks)
    try:
        if arguments.backbone_config is not None:
            model = ProteinClassifier(scratch_config(arguments, **fields))
            weaken_positions(model.get_position_embeddings())
            return keep_layers(model, arguments)
        return set_up_tuning(keep_layers(load_pretrained(arguments, fields), arguments), arguments)
    except OSError as error:
        raise cannot_load(arguments.model_name_or_path, error) from error
    except (KeyError, ZeroDivisionError) as error:  # of transformers, for a function that it does not know, or no heads
        raise OptionError(f"backbone_config: {first_line(error)} is no value that transformers knows") from error
    except (ImportError, ValueError) as error:
        raise error if isinstance(error, OptionError) else OptionError(first_line(error)) from error


def load_pretrained(arguments: ModelArguments, fields: dict[str, Any]) -> ProteinClassifier:
    """The pretrained model, with an adapter that it came with merged if its backbone is to be frozen.

    Args:
        arguments: That name it.
        fields: Of its configuration.
    """
    name = resolve_model_path(arguments.model_name_or_path)
    if arguments.freeze_backbone or arguments.freeze_layers:
        config = AutoConfig.from_pretrained(name, revision=arguments.model_revision, trust_remote_code=False)
        if getattr(config, "adapter", None):
            whole = {**fields, "freeze_backbone": False, "freeze_layers": 0}
            model = ProteinClassifier.from_pretrained(name, **whole).merge_adapter()
            model.freeze(arguments.freeze_backbone, arguments.freeze_layers)
            return model
    return ProteinClassifier.from_pretrained(name, **fields)


def keep_layers(model: ProteinClassifier, arguments: ModelArguments) -> ProteinClassifier:
    """Cut the backbone after the layer that the options name, an adapter that it came with merged.

    Raises:
        ImportError: `peft` is not installed.
        ValueError: See [`ProteinClassifier.keep_first_layers`].
    """
    if arguments.layer is not None:
        model.merge_adapter().keep_first_layers(int(arguments.layer))
    return model


def set_up_tuning(model: ProteinClassifier, arguments: ModelArguments) -> ProteinClassifier:
    """Merge the adapter that a pretrained model came with, and give it a fresh one with `tuning="lora"`.

    Raises:
        OptionError: An adapter that does not fit the model, or `peft` is not installed.
    """
    try:
        model.merge_adapter()
        if arguments.tuning == "lora":
            model.add_lora(
                resolve_model_path(arguments.model_name_or_path),
                arguments.model_revision,
                kind=arguments.lora_kind,
                rank=arguments.lora_rank,
                alpha=arguments.lora_alpha,
                dropout=arguments.lora_dropout,
                targets=arguments.lora_targets,
                bits=arguments.lora_bits,
            )
    except (ImportError, ValueError) as error:
        raise OptionError(first_line(error)) from error
    return model


def weaken_positions(table: nn.Embedding | None) -> None:
    """Let the vectors of positions begin shorter than those of residues.

    If both are equally long, the hundreds of positions, each seen a few times in a small set of proteins, hide the
    residues in noise.

    Args:
        table: Of absolute positions; None where there is none.
    """
    if table is not None:
        with torch.no_grad():
            table.weight.mul_(POSITION_SCALE)


def model_fields(arguments: ModelArguments, data_args: DataArguments, tasks: tuple[Task, ...]) -> dict[str, Any]:
    """The options of a model as keyword arguments of `ProteinClassifier.from_pretrained` or of the configuration."""
    main, *others = tasks
    fields: dict[str, Any] = {
        "labels": list(main.labels),
        "problem_type": main.problem_type,
        "task_name": main.name,
        "auxiliary_tasks": others,
        "max_sequence_length": data_args.max_length,
        "crop": data_args.crop,
        "class_weights": None,  # not those that a classifier was trained with before: see fit_model
        "dtype": torch.float32,
    }
    fields.update((name, getattr(arguments, name)) for name in MODEL_FIELDS)
    if arguments.attn_implementation is not None:
        fields["attn_implementation"] = arguments.attn_implementation
    if arguments.backbone_config is None:
        fields["revision"] = arguments.model_revision
    return fields


def backbone_fields(arguments: EncoderArguments) -> dict[str, Any]:
    """The shape of an encoder from scratch, with ProtBERT's vocabulary unless it says otherwise."""
    assert arguments.backbone_config is not None
    ours = {"vocab_size": len(PROTBERT_VOCABULARY), "pad_token_id": 0}
    return {**ours, **backbone_shape(arguments.backbone_config)}


def scratch_config(arguments: EncoderArguments, **fields: Any) -> ProteinClassifierConfig:
    """The configuration of a network from scratch, for the ids of ProtBERT's tokenizer.

    Raises:
        OptionError: Not an encoder, or a field with a wrong value.
    """
    fields["special_tokens"] = count_special_tokens(protbert_tokenizer())
    try:
        return ProteinClassifierConfig(backbone_fields(arguments), **fields)
    except StrictDataclassError as error:
        raise OptionError(f"backbone_config: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise error if isinstance(error, OptionError) else OptionError(first_line(error)) from error
