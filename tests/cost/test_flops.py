"""A wrong count would promise a wrong time, and a wrong price."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.cost.flops import forward_flops, training_flops
from protbert_classify.model.configuration import PROTBERT_SHAPE
from tests.conftest import TINY_SHAPE

ESM = {**TINY_SHAPE, "model_type": "esm", "position_embedding_type": "rotary", "mask_token_id": 29}
T5 = {
    "model_type": "t5",
    "vocab_size": 30,
    "d_model": 32,
    "d_kv": 24,  # two heads of 24 are wider than the hidden states, as in ProtT5
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
    "pad_token_id": 0,
}
POOLINGS = ["mean", "cls", "pooler", "light_attention"]


def classifier(shape, attention="eager", **fields):
    config = ProteinClassifierConfig(dict(shape), num_labels=10, attn_implementation=attention, **fields)
    return ProteinClassifier(config).train()


def counted(model, length, backward=False):
    """What torch counts; of attention on a CPU it knows the plain kernel only."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss = model(input_ids=torch.full((1, length), 5), labels=torch.zeros(1, dtype=torch.long)).loss
        if backward:
            loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("shape", "pooling"), [*((TINY_SHAPE, p) for p in POOLINGS), *((ESM, p) for p in POOLINGS), (T5, "mean")]
)
def test_the_forward_costs_what_torch_counts(shape, pooling, attention):
    model = classifier(shape, attention, pooling=pooling)
    lengths = np.array([17, 40])
    assert forward_flops(model, lengths) == pytest.approx(sum(counted(model, length) for length in lengths), rel=0.01)


def test_layers_before_light_attention_are_counted():
    model = classifier(TINY_SHAPE, pooling="light_attention", light_attention_layers=2)
    assert forward_flops(model, np.array([40])) == pytest.approx(counted(model, 40), rel=0.01)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"freeze_backbone": True, "pooling": "light_attention"},
        {"freeze_layers": 1},
        {"adapter": {"base_model": "", "rank": 2}},
        {"adapter": {"base_model": "", "rank": 8}, "pooling": "pooler"},
    ],
)
def test_the_training_costs_what_torch_counts(fields):
    model = classifier(TINY_SHAPE, **fields)
    # the lowest layer that trains passes no gradient further down: of its first products we count one too many
    assert training_flops(model, np.array([40])) == pytest.approx(counted(model, 40, backward=True), rel=0.08)


def test_all_that_trains_costs_three_times_the_forward_and_what_is_frozen_once():
    lengths = np.array([20, 60])
    whole = classifier(TINY_SHAPE)
    assert training_flops(whole, lengths) == pytest.approx(3 * forward_flops(whole, lengths))
    frozen = classifier(TINY_SHAPE, freeze_backbone=True)
    head = 2 * 32 * 10 * 2  # its weights have a gradient, its input has none
    assert training_flops(frozen, lengths) == forward_flops(frozen, lengths) + head


def test_an_adapter_saves_the_gradients_of_the_frozen_weights():
    shape = {**TINY_SHAPE, "hidden_size": 256, "intermediate_size": 1024}
    whole, adapted = classifier(shape), classifier(shape, adapter={"base_model": "", "rank": 1})
    lengths = np.array([40])
    saved = training_flops(whole, lengths) - training_flops(adapted, lengths)
    layers = 2 * 2 * 12 * 256**2 * 40
    assert saved == pytest.approx(layers, rel=0.05)  # a third of three passes; the adapter adds a little
    assert saved == pytest.approx(counted(whole, 40, True) - counted(adapted, 40, True), rel=0.15)


def test_checkpointing_computes_the_layers_once_more():
    model, lengths = classifier(TINY_SHAPE), np.array([20, 60])
    head = 2 * 32 * 10 * 2
    more = training_flops(model, lengths, gradient_checkpointing=True) - training_flops(model, lengths)
    assert more == forward_flops(model, lengths) - head
    frozen = classifier(TINY_SHAPE, freeze_backbone=True)
    assert training_flops(frozen, lengths, gradient_checkpointing=True) == training_flops(frozen, lengths)


def test_protbert_on_the_meta_device_costs_what_its_paper_shape_says():
    with torch.device("meta"):
        model = ProteinClassifier(ProteinClassifierConfig(dict(PROTBERT_SHAPE), num_labels=10))
    layer = 2 * 12 * 1024**2 * 512 + 4 * 512**2 * 1024  # 12 H² weights, and the attention
    assert forward_flops(model, np.array([512])) == 30 * layer + 2 * 1024 * 10


def test_attention_grows_with_the_square_of_the_length():
    model = classifier(TINY_SHAPE)
    short, long = (forward_flops(model, np.array([length])) for length in (1000, 2000))
    assert long - 2 * short == 2 * 4 * 2 * 1000**2 * 32 - 2 * 32 * 10  # two layers; the head comes once a protein
