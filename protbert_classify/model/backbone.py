"""What differs between encoders: their class, special tokens, pooler, layers and positions."""

import inspect
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING


def encoder_class(config: PretrainedConfig) -> Any:
    """`AutoModel`, or for an encoder-decoder (T5 and its kin) the class of its encoder alone."""
    return MODEL_FOR_TEXT_ENCODING_MAPPING[type(config)] if _is_half_of_t5(config) else AutoModel


def random_backbone(config: PretrainedConfig, pooling: str) -> PreTrainedModel:
    """An encoder with random weights."""
    door = encoder_class(config)
    build = door.from_config if door is AutoModel else door._from_config
    return build(config, **pooler_option(config, pooling))


def pooler_option(config: PretrainedConfig, pooling: str) -> dict[str, bool]:
    """BERT and ESM build a pooler that only one pooling uses; elsewhere it would be weights without a gradient.

    Raises:
        ValueError: `pooling` is `pooler`, and the encoder has none.
    """
    door = encoder_class(config)
    model_class = AutoModel._model_mapping[type(config)] if door is AutoModel else door
    takes_option = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    if pooling == "pooler" and not takes_option:
        raise ValueError(f"pooling='pooler': a {config.model_type} has no pooler; use mean, cls or light_attention")
    return {"add_pooling_layer": pooling == "pooler"} if takes_option else {}


def special_tokens(config: PretrainedConfig) -> tuple[int, int]:
    """How many special tokens stand before and after the residues; T5 has only the one at the end."""
    return (0, 1) if _is_half_of_t5(config) else (1, 1)


def frozen_parts(backbone: PreTrainedModel, whole: bool, layers: int) -> list[nn.Module]:
    """The modules that do not train.

    Args:
        backbone: The encoder.
        whole: All of it but its pooler, which belongs to the pooling.
        layers: If not all of it, the embeddings and so many layers, if any.
    """
    # ESM's contact head never reaches the logits: left trainable, it would stop DistributedDataParallel
    parts = [getattr(backbone, "contact_head", nn.Identity())]
    if whole:
        parts += [child for name, child in backbone.named_children() if name != "pooler"]
    elif layers:
        parts += [backbone.get_input_embeddings(), getattr(backbone, "embeddings", nn.Identity())]
        parts += encoder_layers(backbone)[:layers]
    return parts


def position_table(backbone: PreTrainedModel) -> nn.Embedding | None:
    """The absolute position table whose row i is position i; only BERT's kind is laid out so."""
    if backbone.config.model_type != "bert":
        return None
    return getattr(backbone.embeddings, "position_embeddings", None)


def keep_first_positions(backbone: PreTrainedModel, count: int) -> None:
    """Cut an absolute position table to its first rows; nothing is done where there is none.

    Raises:
        ValueError: More rows than the table has.
    """
    table = position_table(backbone)
    if table is None or count == table.num_embeddings:
        return
    if count > table.num_embeddings:
        raise ValueError(f"{count} positions asked for, {table.num_embeddings} there")
    table.weight = nn.Parameter(table.weight.data[:count].clone(), requires_grad=table.weight.requires_grad)
    table.num_embeddings = count
    for name in ("position_ids", "token_type_ids"):  # buffers of (1, positions), not saved
        buffer = getattr(backbone.embeddings, name, None)
        if isinstance(buffer, torch.Tensor):
            setattr(backbone.embeddings, name, buffer[:, :count].clone())
    backbone.config.max_position_embeddings = count


def _is_half_of_t5(config: PretrainedConfig) -> bool:
    # not config.is_encoder_decoder, which the encoder alone sets to False
    encoder = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
    return encoder is not None and encoder.__name__.endswith("EncoderModel")


def encoder_layers(backbone: PreTrainedModel) -> nn.ModuleList:
    """The stack of layers: the first list as long as the configuration says."""
    count = backbone.config.num_hidden_layers
    return next(m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == count)
