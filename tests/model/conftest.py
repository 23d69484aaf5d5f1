"""Tiny pretrained checkpoints of three families, and proteins as token ids."""

import pytest
import torch
from transformers import BertForSequenceClassification

from protbert_classify import ProteinClassifier

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
# model type -> prefix of the backbone's tensors in the model of its pretraining
BACKBONES = {"bert": "bert.", "esm": "esm.", "t5": ""}
POOLINGS = ["mean", "cls", "pooler", "light_attention"]
COMBINATIONS = [(kind, pooling) for kind in BACKBONES for pooling in POOLINGS if (kind, pooling) != ("t5", "pooler")]


def pretrained(kind):
    """A random model as pretraining would leave it: with the head that we do not want, and dropout."""
    import torch
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        EsmConfig,
        EsmForMaskedLM,
        T5Config,
        T5ForConditionalGeneration,
    )

    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    size["initializer_range"] = 0.2  # large enough for different proteins to have different logits
    if kind == "bert":
        config = BertConfig(vocab_size=30, max_position_embeddings=64, pad_token_id=0, **size)
        return BertForMaskedLM(config)
    if kind == "esm":
        config = EsmConfig(
            vocab_size=33,
            max_position_embeddings=64,
            position_embedding_type="rotary",
            token_dropout=True,
            pad_token_id=1,
            mask_token_id=32,
            hidden_dropout_prob=0.1,
            **size,
        )
        return EsmForMaskedLM(config)
    config = T5Config(
        vocab_size=30, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, pad_token_id=0, decoder_start_token_id=0
    )
    return T5ForConditionalGeneration(config)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Saved tiny pretrained models: kind -> (folder, tensors)."""
    saved = {}
    for kind in BACKBONES:
        source = pretrained(kind)
        folder = str(tmp_path_factory.mktemp(kind))
        source.save_pretrained(folder)
        saved[kind] = folder, source.state_dict()
    return saved


@pytest.fixture
def proteins():
    """Three proteins of 5, 11 and 1 residues as ids, with a special token at both ends."""
    import torch

    generator = torch.Generator().manual_seed(1)
    return [
        torch.cat([torch.tensor([2]), torch.randint(5, 25, (length,), generator=generator), torch.tensor([3])])
        for length in (5, 11, 1)
    ]


@pytest.fixture
def pad():
    """Pad proteins to one batch: (proteins, pad id, side, length) -> input_ids and attention_mask, (B, T)."""
    import torch

    def pad(proteins, pad_token_id=0, side="right", length=16):
        ids = torch.full((len(proteins), length), pad_token_id)
        mask = torch.zeros_like(ids)
        for row, protein in enumerate(proteins):
            place = slice(0, len(protein)) if side == "right" else slice(length - len(protein), length)
            ids[row, place] = protein
            mask[row, place] = 1
        return {"input_ids": ids, "attention_mask": mask}

    return pad


@pytest.fixture
def fresh(checkpoint):
    """A fresh head on a tiny pretrained backbone."""

    def build(kind="bert", labels=LABELS, **fields):
        torch.manual_seed(1)
        return ProteinClassifier.from_pretrained(checkpoint[kind][0], labels=labels, **fields)

    return build


@pytest.fixture
def bert_classifier(tmp_path):
    """A `BertForSequenceClassification` with labels of its own: (folder, model)."""
    config = pretrained("bert").config
    config.num_labels = 3
    config.id2label = {0: "M", 1: "S", 2: "U"}
    config.label2id = {"M": 0, "S": 1, "U": 2}
    config.classifier_dropout = 0.3
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "bert_classifier")
    return str(tmp_path / "bert_classifier"), model
