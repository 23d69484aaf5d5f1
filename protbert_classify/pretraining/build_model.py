"""The masked-language model that a pretraining begins with."""

import logging
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

from ..errors import ModelError, OptionError, first_line
from ..model import ProteinClassifierConfig
from ..model.backbone import check_encoder, position_table
from ..model_source import cannot_load, resolve_model_path
from ..training.build_model import scratch_config, weaken_positions
from .arguments import PretrainedEncoderArguments

logger = logging.getLogger(__name__)

EXPECTED = "expected an encoder such as ProtBERT (bert), ESM-2 (esm) or ESM C (esmc)"


def build_masked_lm(arguments: PretrainedEncoderArguments, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """An encoder with its masked-language head, pretrained or from scratch, in float32.

    Args:
        arguments: Which encoder.
        tokenizer: Of the encoder, for the id of its mask.

    Raises:
        InputError: The model cannot be loaded, or has no masked-language head.
    """
    options = {} if arguments.attn_implementation is None else {"attn_implementation": arguments.attn_implementation}
    config = masked_lm_config(arguments)
    try:
        if arguments.backbone_config is not None:
            if getattr(config, "mask_token_id", 0) is None:  # ESM's, for its token dropout
                config.mask_token_id = tokenizer.mask_token_id
            model = AutoModelForMaskedLM.from_config(config, dtype=torch.float32, **options)
            weaken_positions(position_table(model.base_model))
        else:
            model = _pretrained(arguments, config, options)
    except OSError as error:
        raise cannot_load(arguments.model_name_or_path, error) from error
    except (ImportError, ValueError) as error:
        raise error if isinstance(error, OptionError | ModelError) else OptionError(first_line(error)) from error
    return model


def masked_lm_config(arguments: PretrainedEncoderArguments) -> PretrainedConfig:
    """The configuration of the encoder, which is refused here if it has no masked-language head.

    Raises:
        InputError: See [`build_masked_lm`].
    """
    if arguments.backbone_config is not None:
        config: Any = scratch_config(arguments).backbone_config
        return _with_head(f"backbone_config of model_type {config.model_type}", config)
    name = resolve_model_path(arguments.model_name_or_path)
    try:
        config = AutoConfig.from_pretrained(name, revision=arguments.model_revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise cannot_load(name, error) from error
    return _with_head(name, config)


def _with_head(name: str, config: PretrainedConfig) -> PretrainedConfig:
    if isinstance(config, ProteinClassifierConfig):
        raise ModelError(
            f"{name}: a fine-tuned classifier, which has no masked-language head any more; expected the encoder that "
            "it was fine-tuned from"
        )
    try:
        check_encoder(config)
    except ValueError as error:
        raise ModelError(f"{name}: {error}") from error
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
        raise ModelError(f"{name}: a model of type {config.model_type} has no masked-language head; {EXPECTED}")
    return config


def _pretrained(
    arguments: PretrainedEncoderArguments, config: PretrainedConfig, options: dict[str, Any]
) -> PreTrainedModel:
    name = resolve_model_path(arguments.model_name_or_path)
    model, info = AutoModelForMaskedLM.from_pretrained(
        name,
        config=config,
        revision=arguments.model_revision,
        dtype=torch.float32,
        output_loading_info=True,
        trust_remote_code=False,
        **options,
    )
    missing = [key for key in sorted(info["missing_keys"]) if "contact_head" not in key]  # never trained
    of_encoder = [key for key in missing if key.startswith(f"{model.base_model_prefix}.")]
    if of_encoder:
        raise ModelError(
            f"{name} is not the encoder that its configuration says: {len(of_encoder)} weights are missing "
            f"({of_encoder[0]}, ...)"
        )
    if missing:
        logger.warning("%s has no masked-language head: it starts with random weights", name)
    return model
