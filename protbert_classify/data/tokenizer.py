"""One fast tokenizer for raw, spaced and lower-case sequences, made from any backbone's vocabulary."""

import os
import string
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..errors import ModelError, first_line
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model.backbone import FAMILIES, check_encoder, count_special_tokens, family
from .alphabet import LETTERS, STANDARD

# vocab.txt of Rostlab/prot_bert and prot_bert_bfd, in the order of the ids
PROTBERT_VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWXUBZO")


def protein_tokenizer(
    source: PreTrainedTokenizerBase, *, map_rare: str = FAMILIES["bert"].rare_to_x
) -> PreTrainedTokenizerFast:
    """A tokenizer with the ids of `source` that reads `"MKT"`, `"M K T"` and `"m k t"` alike.

    Everything happens in normalizer steps (whitespace out, upper case, rare letters to X), so the saved
    `tokenizer.json` works with `AutoTokenizer` and no code of ours.

    Args:
        source: The backbone's own tokenizer (BERT's, ESM's, T5's, Ankh's), for vocabulary and special tokens.
        map_rare: Letters that become X although the vocabulary may have them, ProtBERT's by default; letters it lacks
            always do.

    Raises:
        ModelError: The vocabulary lacks one of the 20 standard residues.
    """
    ids = _residue_ids(source)
    vocabulary = {token: index for token, index in source.get_vocab().items() if index not in set(ids.values())}
    vocabulary.update(ids)
    unknown = source.unk_token
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    to_x = [letter for letter in LETTERS if letter != "X" and (letter in map_rare or letter not in ids)]
    core.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"\s+"), ""),
            *(normalizers.Replace(lower, lower.upper()) for lower in string.ascii_lowercase),
            *(normalizers.Replace(letter, "X") for letter in to_x),
        ]
    )
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.post_processor = _template(source)
    names = ("unk_token", "pad_token", "mask_token", "cls_token", "sep_token", "bos_token", "eos_token")
    special = {name: getattr(source, name) for name in names if getattr(source, name, None) is not None}
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=source.model_max_length,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **special,
    )


def protbert_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of ProtBERT, from its vocabulary; nothing is downloaded."""
    from transformers import BertTokenizer

    vocabulary = {token: index for index, token in enumerate(PROTBERT_VOCABULARY)}
    return protein_tokenizer(BertTokenizer(vocab=vocabulary, do_lower_case=False))


def load_tokenizer(name_or_path: str | os.PathLike[str], **kwargs: Any) -> PreTrainedTokenizerBase:
    """The tokenizer for a saved classifier, as it was saved, or for a backbone, rebuilt from its own.

    Args:
        name_or_path: A folder or a Hub id.
        kwargs: What `AutoTokenizer.from_pretrained` takes (`revision`, `token`, ...).

    Raises:
        ModelError: The vocabulary lacks one of the 20 standard residues.
        ValueError: The model is a decoder, or no tokenizer can be made from its files.
        OSError: There is no such model.
    """
    kwargs["trust_remote_code"] = False
    config = AutoConfig.from_pretrained(name_or_path, **kwargs)
    ours = isinstance(config, ProteinClassifierConfig)
    if not ours:
        check_encoder(config)
    source = AutoTokenizer.from_pretrained(name_or_path, config=config, **kwargs)
    return source if ours else protein_tokenizer(source, map_rare=family(config, source.get_vocab()).rare_to_x)


def tokenizer_for(model: ProteinClassifier) -> PreTrainedTokenizerBase:
    """The tokenizer of a classifier, which stops at the model's longest input.

    It is loaded from where the classifier came from or, for a fresh head, its backbone. A BERT from scratch with a
    vocabulary of ProtBERT's size gets ProtBERT's tokenizer.

    Raises:
        ModelError: There is none.
    """
    tokenizer = _loaded_tokenizer(model)
    tokenizer.model_max_length = model.config.max_sequence_length or model.max_positions or tokenizer.model_max_length
    return tokenizer


def _loaded_tokenizer(model: ProteinClassifier) -> PreTrainedTokenizerBase:
    reason = "the model was not loaded from anywhere"
    for part in (model.config, model.config.backbone_config):
        if part.name_or_path:
            try:
                return load_tokenizer(part.name_or_path, revision=getattr(part, "_commit_hash", None))
            except (OSError, TypeError, ValueError) as error:  # TypeError: ESM's tokenizer without its vocab.txt
                reason = f"{part.name_or_path}: {first_line(error)}"
    backbone = model.config.backbone_config
    if (backbone.model_type, backbone.vocab_size) == ("bert", len(PROTBERT_VOCABULARY)):
        return protbert_tokenizer()
    raise ModelError(
        f"no tokenizer is known for this model ({reason}); pass one: processing_class=..., or give a BERT from scratch "
        f"vocab_size={len(PROTBERT_VOCABULARY)} in its backbone_config, for ProtBERT's vocabulary"
    )


def _residue_ids(source: PreTrainedTokenizerBase) -> dict[str, int]:
    """Letter -> id; SentencePiece (T5) stores a letter after a space as `▁M`."""
    vocabulary = source.get_vocab()
    ids = {}
    for letter in LETTERS:
        index = vocabulary.get("▁" + letter, vocabulary.get(letter))
        if index is not None:
            ids[letter] = index
    missing = [letter for letter in STANDARD if letter not in ids]
    if missing:
        raise ModelError(
            f"the backbone's vocabulary lacks the residues {', '.join(missing)}; expected a protein language model's"
        )
    return ids


def _template(source: PreTrainedTokenizerBase) -> Any:
    """The special tokens around a sequence, as `source` itself puts them."""
    before, after = count_special_tokens(source)
    around = source("A")["input_ids"]
    specials = [(source.convert_ids_to_tokens(i), i) for i in [*around[:before], *around[len(around) - after :]]]
    tokens = [token for token, _ in specials]
    return processors.TemplateProcessing(
        single=[*tokens[:before], "$A", *tokens[before:]],
        pair=[*tokens[:before], "$A", *tokens[before:], "$B:1", *(f"{token}:1" for token in tokens[before:])],
        special_tokens=specials,
    )
