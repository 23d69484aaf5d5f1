"""Tiny masked-language models of three families, saved with their tokenizers."""

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    EsmcConfig,
    EsmcForMaskedLM,
    EsmConfig,
    EsmcTokenizer,
    EsmForMaskedLM,
    EsmTokenizer,
)

from protbert_classify.data.tokenizer import protbert_tokenizer

FAMILIES = ("bert", "esm", "esmc")
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ESM_TOKENS = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]


def small_lm(kind, **options):
    """A model with random weights, and dropout as it is by default."""
    torch.manual_seed(0)
    if kind == "bert":
        shape = {"vocab_size": 30, "max_position_embeddings": 128, "pad_token_id": 0}
        return BertForMaskedLM(BertConfig(**SIZE, **shape, **options))
    if kind == "esmc":
        return EsmcForMaskedLM(EsmcConfig(**SIZE, **options))
    shape = {"pad_token_id": 1, "mask_token_id": 32, "position_embedding_type": "rotary", "token_dropout": True}
    return EsmForMaskedLM(EsmConfig(**SIZE, vocab_size=len(ESM_TOKENS), **shape, **options))


def save_tokenizer(kind, folder):
    """The tokenizer as it stands beside a model of the family."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "bert":
        protbert_tokenizer().save_pretrained(folder)
    elif kind == "esmc":
        EsmcTokenizer().save_pretrained(folder)
    else:
        (folder / "vocab.txt").write_text("\n".join(ESM_TOKENS))
        EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)


def save_lm(kind, folder, **options):
    """A model and its tokenizer in a folder, which is returned."""
    save_tokenizer(kind, folder)
    small_lm(kind, **options).save_pretrained(folder)
    return str(folder)
