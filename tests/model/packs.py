"""Tiny classifiers of the families that can be packed, and the same proteins packed and padded."""

import numpy as np
import torch
from torch import nn

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.data.collators import PackingCollator, PaddingCollator

from .conftest import LABELS

RESIDUES = [40, 700, 13, 255, 1, 90]
ENDS = np.cumsum(np.array(RESIDUES) + 2)
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
# initializer_range: large enough for different proteins to have different logits
SIZE.update(max_position_embeddings=720, initializer_range=0.2)
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SHAPES = {
    "bert": {"model_type": "bert", "vocab_size": 30, "pad_token_id": 0, **SIZE, **NO_DROPOUT},
    "esm": {
        **{"model_type": "esm", "vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
        **{"position_embedding_type": "rotary", "token_dropout": True, **SIZE, **NO_DROPOUT},
    },
    "esmc": {"model_type": "esmc", "vocab_size": 64, "pad_token_id": 1, "mask_token_id": 32, **SIZE},
    "t5": {"model_type": "t5", "vocab_size": 30, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
}
PACKABLE = ["bert", "esm", "esmc"]


def classifier(kind="bert", pooling="light_attention", packing=True, **shape):
    """A classifier without dropout, ready for packed batches if it can be."""
    torch.manual_seed(0)
    config = ProteinClassifierConfig(
        {**SHAPES[kind], **shape},
        **{"pooling": pooling, "classifier_dropout": 0.0, "light_attention_dropout": 0.0},
        **{"id2label": dict(enumerate(LABELS)), "label2id": {label: index for index, label in enumerate(LABELS)}},
    )
    model = ProteinClassifier(config).eval()
    nn.init.normal_(model.head[1].weight)
    if packing:
        assert model.enable_packing() is None
    return model


def encoded(seed=0):
    generator = np.random.default_rng(seed)
    return [
        {"input_ids": np.array([2, *generator.integers(5, 25, count), 3]), "labels": index % 3}
        for index, count in enumerate(RESIDUES)
    ]


def packed(proteins=None, **changes):
    batch = {**PackingCollator()(encoded() if proteins is None else proteins), **changes}
    return {name: value for name, value in batch.items() if value is not None}


def padded(kind="bert", proteins=None):
    return PaddingCollator(SHAPES[kind]["pad_token_id"])(encoded() if proteins is None else proteins)


def logits(model, batch):
    with torch.no_grad():
        return model(**batch).logits


def gradients(model, batch):
    model.zero_grad()
    model(**batch).loss.backward()
    return {name: tensor.grad.clone() for name, tensor in model.named_parameters() if tensor.grad is not None}


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    largest = max(tensor.abs().max() for tensor in expected.values())
    assert largest > 1e-3
    for name, tensor in expected.items():
        # some, such as the bias of the keys, are zero but for rounding
        assert (found[name] - tensor).abs().max() <= 1e-4 * tensor.abs().max() + 1e-6 * largest, name
