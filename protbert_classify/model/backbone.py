"""What differs between encoders: their class, special tokens, rare residues, pooler, layers and positions."""

import inspect
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.activations import GELUActivation
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_TEXT_ENCODING_MAPPING,
)
from transformers.models.esm.modeling_esm import EsmIntermediate

from .registry import Registry

logger = logging.getLogger(__name__)


def _no_table(config: PretrainedConfig) -> int | None:
    return None


def _row_zero(config: PretrainedConfig) -> int | None:
    return 0


def _row_after_padding(config: PretrainedConfig) -> int | None:
    return None if config.pad_token_id is None else config.pad_token_id + 1


def _row_of_esm(config: PretrainedConfig) -> int | None:
    """ESM-1b and ESM-1v have a table, ESM-2 rotary positions."""
    return _row_after_padding(config) if config.position_embedding_type == "absolute" else None


@dataclass(frozen=True, kw_only=True)
class Family:
    """The quirks of a family of encoders; the defaults are for a family that is not registered.

    Args:
        special_tokens: How many tokens its tokenizers put before and after the residues; counted wherever a tokenizer
            is at hand.
        rare_to_x: Letters that its authors replace by X before tokenizing, whether or not the vocabulary has them.
        first_position: The row of the absolute position table for a protein's first token, given the configuration;
            None if positions are relative or rotary.
    """

    special_tokens: tuple[int, int] = (1, 1)
    rare_to_x: str = "UZOB"
    first_position: Callable[[PretrainedConfig], int | None] = _no_table


FAMILIES: Registry[Family] = Registry("backbone family")
# ProtBERT and its siblings map U, Z, O and B to X (Elnaggar et al. 2021, doi:10.1109/TPAMI.2021.3095381)
for _name in ("bert", "albert", "electra"):
    FAMILIES.register(_name)(Family(first_position=_row_zero))
FAMILIES.register("roberta")(Family(first_position=_row_after_padding))
FAMILIES.register("esm")(Family(rare_to_x="", first_position=_row_of_esm))
FAMILIES.register("esmc")(Family(rare_to_x=""))
FAMILIES.register("t5")(Family(special_tokens=(0, 1)))
FAMILIES.register("ankh")(Family(special_tokens=(0, 1), rare_to_x=""))  # model_type t5, known by its vocabulary

READS_BOTH_SIDES = ("xlnet",)  # transformers lists it with the causal models; the encoder reads both sides
EXPECTED_ENCODER = "expected an encoder such as ProtBERT (bert), ESM-2 (esm), ESM C (esmc) or ProtT5 (t5)"


def family(config: PretrainedConfig, vocabulary: Any = ()) -> Family:
    """The family of an encoder.

    Args:
        config: Its configuration.
        vocabulary: Its tokens, where they are known: Ankh is a T5, but writes a residue `M` where ProtT5 has `▁M`.
    """
    name = config.model_type
    if name not in FAMILIES and _is_half_of_t5(config):
        name = "t5"
    if name == "t5" and "M" in vocabulary and "▁M" not in vocabulary:
        name = "ankh"
    return FAMILIES[name] if name in FAMILIES else Family()


def check_encoder(config: PretrainedConfig) -> None:
    """Refuse a model that does not read the tokens of a protein from both sides.

    Raises:
        ValueError: A decoder (GPT-2, Llama), an encoder-decoder without an encoder class of its own (BART), or a model
            that reads no tokens (ViT).
    """
    kind = type(config)
    if getattr(config, "is_decoder", False):
        raise ValueError(f"a model of type {config.model_type} with is_decoder=True is a decoder; {EXPECTED_ENCODER}")
    if _is_half_of_t5(config) or config.model_type in READS_BOTH_SIDES:
        return
    if config.is_encoder_decoder:
        raise ValueError(f"a model of type {config.model_type} is an encoder-decoder; {EXPECTED_ENCODER}")
    if not hasattr(config, "vocab_size"):
        raise ValueError(f"a model of type {config.model_type} reads no tokens; {EXPECTED_ENCODER}")
    two_sided = getattr(config, "use_bidirectional_attention", False) is True  # Gemma, turned into an encoder
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING and kind not in MODEL_FOR_MASKED_LM_MAPPING and not two_sided:
        raise ValueError(f"a model of type {config.model_type} is a decoder; {EXPECTED_ENCODER}")


def encoder_class(config: PretrainedConfig) -> Any:
    """`AutoModel`, or for an encoder-decoder (T5 and its kin) the class of its encoder alone."""
    return MODEL_FOR_TEXT_ENCODING_MAPPING[type(config)] if _is_half_of_t5(config) else AutoModel


def random_backbone(config: PretrainedConfig, pooling: str) -> PreTrainedModel:
    """An encoder with random weights."""
    door = encoder_class(config)
    build = door.from_config if door is AutoModel else door._from_config
    return build(config, **pooler_option(config, pooling))


class FusedEsmIntermediate(EsmIntermediate):
    """ESM's wide layer with torch's GELU: one operation in place of five, whose results training need not keep."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.activation(self.dense(hidden_states))


def fuse_gelu(backbone: PreTrainedModel) -> None:
    """Let an ESM compute its GELU in one operation; in float32, logits differ by less than 1e-6 of the largest."""
    for module in backbone.modules():
        if type(module) is EsmIntermediate:
            module.__class__ = FusedEsmIntermediate
            module.activation = GELUActivation()


def pooler_option(config: PretrainedConfig, pooling: str) -> dict[str, bool]:
    """BERT and ESM build a pooler that only one pooling uses; elsewhere it would be weights without a gradient.

    Raises:
        ValueError: `pooling` is `pooler`, and the encoder has none.
    """
    door = encoder_class(config)
    model_class = AutoModel._model_mapping[type(config)] if door is AutoModel else door
    takes_option = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    if pooling == "pooler" and not takes_option:
        raise ValueError(
            f"pooling='pooler': a model of type {config.model_type} has no pooler; use mean, cls or light_attention"
        )
    return {"add_pooling_layer": pooling == "pooler"} if takes_option else {}


def count_special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """How many special tokens a tokenizer puts before and after the residues.

    Raises:
        ValueError: It does not read a residue.
    """
    bare = tokenizer("A", add_special_tokens=False)["input_ids"]
    whole = tokenizer("A")["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if bare and whole[start : start + len(bare)] == bare:
            return start, len(whole) - start - len(bare)
    raise ValueError(f"the tokenizer reads the residue A as {bare} and as {whole} with special tokens")


def find_special_tokens(
    name_or_path: str | os.PathLike[str], config: PretrainedConfig, **kwargs: Any
) -> tuple[int, int] | None:
    """As [`count_special_tokens`], for the tokenizer saved with an encoder; None if it has none.

    Args:
        name_or_path: Folder or repository of the Hub.
        config: The configuration of the encoder.
        kwargs: What `AutoTokenizer.from_pretrained` takes (`revision`, `token`, ...).
    """
    try:
        return count_special_tokens(AutoTokenizer.from_pretrained(name_or_path, config=config, **kwargs))
    except Exception as error:  # transformers has no one type for a tokenizer that is missing
        logger.info(
            "%s: no tokenizer to count special tokens with (%s); assuming those of model type %s",
            name_or_path,
            str(error).strip().partition("\n")[0],
            config.model_type,
        )
        return None


def frozen_parts(backbone: PreTrainedModel, whole: bool, layers: int) -> list[nn.Module]:
    """The modules that do not train.

    Args:
        backbone: The encoder.
        whole: Everything but its pooler, which belongs to the pooling.
        layers: Otherwise, the embeddings and this many layers, if any.
    """
    # ESM's contact head never reaches the logits: left trainable, it would stop DistributedDataParallel
    parts = [getattr(backbone, "contact_head", nn.Identity())]
    if whole:
        parts += [child for name, child in backbone.named_children() if name != "pooler"]
    elif layers:
        parts += [backbone.get_input_embeddings(), getattr(backbone, "embeddings", nn.Identity())]
        parts += encoder_layers(backbone)[:layers]
    return parts


def longest_input(config: PretrainedConfig) -> int | None:
    """Most tokens that an encoder can read, special ones included; None where positions are relative or rotary."""
    first = family(config).first_position(config)
    return None if first is None else config.max_position_embeddings - first


def check_length(config: PretrainedConfig, longest: int, attention_mask: torch.Tensor | None = None) -> None:
    """Refuse a batch that an absolute position table cannot reach; torch would end with an index error.

    Args:
        config: The configuration of the encoder.
        longest: Tokens of its longest protein or, if it is padded, of all of them.
        attention_mask: (B, T), 1 for tokens, of a padded batch.

    Raises:
        ValueError: There are more tokens than positions.
    """
    limit = longest_input(config)
    if limit is None or longest <= limit:
        return
    if attention_mask is not None and family(config).first_position(config):
        longest = int(attention_mask.sum(-1).max())  # all padding takes one row, before those of the tokens
    if longest > limit:
        raise ValueError(f"a protein of {longest:,} tokens, but the backbone has positions for {limit:,}: crop it")


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
    """The stack of layers: the first list as long as the configuration says.

    Raises:
        ValueError: There is none: an ALBERT uses one layer several times.
    """
    count = backbone.config.num_hidden_layers
    for module in backbone.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ValueError(f"a model of type {backbone.config.model_type} has no stack of {count} layers")
