"""Packed proteins: the same numbers as padded ones, and none sees another."""

import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from protbert_classify import ProteinClassifier
from protbert_classify.data.collators import PackingCollator, PaddingCollator
from protbert_classify.model.attention import PADDING_FREE, padding_free_attention, unpack, varlen_attention
from protbert_classify.model.pooling import residue_mask
from tests.conftest import TINY_SHAPE

from .conftest import LABELS

RESIDUES = [40, 700, 13, 255, 1, 90]
ENDS = np.cumsum(np.array(RESIDUES) + 2)
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
# initializer_range: large enough for different proteins to have different logits
SIZE.update(max_position_embeddings=720, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
SIZE.update(initializer_range=0.2)
SHAPES = {
    "bert": {"model_type": "bert", "vocab_size": 30, "pad_token_id": 0, **SIZE},
    "esm": {
        **{"model_type": "esm", "vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
        **{"position_embedding_type": "rotary", "token_dropout": True, **SIZE},
    },
    "t5": {"model_type": "t5", "vocab_size": 30, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
}
POOLINGS = ["pooler", "cls", "mean", "light_attention"]
every_packable = pytest.mark.parametrize("kind", ["bert", "esm"])
every_pooling = pytest.mark.parametrize("pooling", POOLINGS)


@pytest.fixture
def build(tiny_classifier):
    """A classifier without dropout, ready for packed batches if it can be."""

    def build(kind="bert", pooling="light_attention", packing=True, **shape):
        fields = {"pooling": pooling, "classifier_dropout": 0.0, "light_attention_dropout": 0.0}
        model = tiny_classifier(shape={**SHAPES[kind], **shape}, **fields).eval()
        nn.init.normal_(model.head[1].weight)
        if packing:
            assert model.enable_packing() is None
        return model

    return build


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


# the same numbers


@every_pooling
@every_packable
def test_packed_proteins_have_the_logits_and_gradients_of_padded_ones(build, kind, pooling):
    model = build(kind, pooling)
    expected = logits(model, padded(kind))
    assert torch.pdist(expected).min() > 1e-3  # proteins differ, or the next line says nothing
    assert (logits(model, packed()) - expected).abs().max() <= 1e-5
    assert_same_gradients(gradients(model, packed()), gradients(model, padded(kind)))


def test_packed_proteins_have_their_logits_where_positions_are_absolute_and_not_from_zero(build):
    """ESM-1b: its table of positions begins behind the padding index."""
    model = build("esm", packing=False, position_embedding_type="absolute", max_position_embeddings=730)
    expected = logits(model, padded("esm"))
    if model.enable_packing() is None:
        assert (logits(model, packed()) - expected).abs().max() <= 1e-5


@every_packable
def test_gradient_checkpointing_changes_no_gradient_of_packed_proteins(build, kind):
    model = build(kind).train()
    expected = gradients(model, padded(kind))
    model.gradient_checkpointing_enable()
    assert_same_gradients(gradients(model, packed()), expected)


@pytest.mark.parametrize("side", ["right", "left"])
@every_packable
def test_padded_proteins_keep_their_logits_once_packing_is_enabled(build, pad, proteins, kind, side):
    model = build(kind, packing=False)
    batch = pad(proteins, SHAPES[kind]["pad_token_id"], side)
    before = logits(model, batch)
    assert model.enable_packing() is None
    assert torch.equal(logits(model, batch), before)
    assert model.enable_packing() is None  # asked twice
    assert torch.equal(logits(model, batch), before)


def test_a_single_protein_can_be_packed(build):
    model = build()
    one = encoded()[1:2]
    assert (logits(model, packed(one)) - logits(model, padded(proteins=one))).abs().max() <= 1e-5


# in half precision a CPU trains by plain matrix products


@pytest.fixture
def heads():
    """Queries, keys and values of proteins of 300 and 170 tokens, and what may be seen."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(2, 4, 300, 16, generator=generator).bfloat16().requires_grad_() for _ in range(3)]
    return rows, (torch.arange(300) < torch.tensor([300, 170])[:, None])[:, None, None].expand(2, 1, 300, 300)


def fused(rows, mask):
    return functional.scaled_dot_product_attention(*rows, attn_mask=mask).transpose(1, 2)


def test_training_in_half_precision_on_a_cpu_is_as_near_to_float32_as_the_fused_kernel(heads):
    rows, mask = heads
    exact_rows = [row.detach().float().requires_grad_() for row in rows]
    exact = fused(exact_rows, mask)
    weights = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    exact_grads = torch.autograd.grad((exact * weights).sum(), exact_rows)
    for attend in (lambda: padding_free_attention(nn.Identity(), *rows, mask)[0], lambda: fused(rows, mask)):
        found = attend()
        assert found.dtype == torch.bfloat16
        assert (found.float() - exact).abs().max() < 0.02 * exact.abs().max()
        for grad, expected in zip(torch.autograd.grad((found * weights).sum(), rows), exact_grads, strict=True):
            assert (grad.float() - expected).abs().max() < 0.02 * expected.abs().max()


def test_training_in_half_precision_on_a_cpu_sees_no_padding(heads):
    rows, mask = heads
    before = padding_free_attention(nn.Identity(), *rows, mask)[0]
    changed = [row.detach().clone() for row in rows]
    for row in changed[1:]:
        row[1, :, 170:] = 100.0
    after = padding_free_attention(nn.Identity(), *(row.requires_grad_() for row in changed), mask)[0]
    assert torch.equal(after, before)


def test_a_long_protein_trains_by_the_fused_kernel_which_keeps_no_weights(monkeypatch):
    monkeypatch.setattr("protbert_classify.model.attention._unfused", None)
    long = [torch.randn(1, 1, 1025, 16).bfloat16().requires_grad_() for _ in range(3)]
    assert padding_free_attention(nn.Identity(), *long, None)[0].shape == (1, 1025, 1, 16)


def test_packed_proteins_in_half_precision_on_a_cpu_are_those_of_the_padded_batch(heads):
    rows, mask = heads
    expected = padding_free_attention(nn.Identity(), *rows, mask)[0]
    packed = [torch.cat([row[0], row[1, :, :170]], dim=1)[None] for row in rows]
    borders = torch.tensor([0, 300, 470], dtype=torch.int32)
    found = padding_free_attention(nn.Identity(), *packed, None, cu_seq_lens_q=borders, max_length_q=300)[0]
    assert torch.equal(found[0, :300], expected[0])
    assert (found[0, 300:] - expected[1, :170]).abs().max() < 0.01 * expected.abs().max()


# none sees another


@every_pooling
@every_packable
def test_another_protein_in_the_pack_changes_no_logit_of_the_others(build, kind, pooling):
    model = build(kind, pooling)
    before = logits(model, packed())
    for changed in range(len(RESIDUES)):
        proteins = encoded()
        proteins[changed] = encoded(seed=1)[changed]
        after = logits(model, packed(proteins))
        others = [index for index in range(len(RESIDUES)) if index != changed]
        assert torch.equal(after[others], before[others])
        assert not torch.allclose(after[changed], before[changed], atol=1e-3)


@every_pooling
@every_packable
def test_no_gradient_reaches_another_protein(build, kind, pooling):
    model = build(kind, pooling)
    batch = packed(labels=None)
    embedded = model.get_input_embeddings()(batch.pop("input_ids")).detach().requires_grad_()
    found = model(inputs_embeds=embedded, **batch).logits
    for index, row in enumerate(found):
        (reached,) = torch.autograd.grad(row.square().sum(), embedded, retain_graph=True)
        own = slice(ENDS[index] - RESIDUES[index] - 2, ENDS[index])
        assert reached[0, own].abs().amax(-1).min() > 0  # every token of its own
        reached[0, own] = 0
        assert reached.abs().max() == 0


# what cannot be packed is refused


def test_a_t5_says_why_it_cannot_be_packed_and_refuses_a_packed_batch(build):
    model = build("t5", packing=False)
    assert "t5 cannot be packed" in model.enable_packing()
    assert model.backbone.config._attn_implementation != PADDING_FREE
    with pytest.raises(ValueError, match="packed batch"):
        model(**packed())


def test_a_decoder_cannot_be_packed(build):
    assert "decoder" in build(packing=False, is_decoder=True).enable_packing()


def test_a_packed_batch_is_refused_by_an_attention_that_would_mix_the_proteins(build):
    model = build(packing=False)
    assert model.backbone.config._attn_implementation == "sdpa"
    with pytest.raises(ValueError, match="sdpa.*see each other"):
        model(**packed())


def test_an_attention_that_the_user_asked_for_is_kept_and_not_packed(checkpoint):
    model = ProteinClassifier.from_pretrained(checkpoint["bert"][0], labels=LABELS, attn_implementation="eager")
    assert "eager" in model.enable_packing()
    assert model.backbone.config._attn_implementation == "eager"
    with pytest.raises(ValueError, match="eager.*see each other"):
        model(**packed())


@pytest.mark.parametrize("lacking", ["position_ids", "max_length_q"])
def test_a_packed_batch_without_positions_or_longest_length_is_refused(build, lacking):
    with pytest.raises(ValueError, match="without max_length_q or position_ids"):
        build()(**packed(**{lacking: None}))


@pytest.mark.parametrize("name", ["attention_mask", "position_bias", "sliding_window"])
def test_packed_attention_refuses_what_is_laid_out_for_padded_rows(name):
    rows = torch.randn(3, 1, 2, 7, 4)
    given = {"attention_mask": None, name: 5 if name == "sliding_window" else torch.zeros(1, 2, 7, 7)}
    with pytest.raises(ValueError, match=name):
        padding_free_attention(nn.Module(), *rows, cu_seq_lens_q=torch.tensor([0, 3, 7]), max_length_q=4, **given)


# the attention itself


def attention_of_each(query, key, value, ends, scale):
    """`scaled_dot_product_attention` of each protein by itself, (T, h, d)."""
    heads = [tensor.transpose(0, 1).tensor_split(ends[1:-1], dim=1) for tensor in (query, key, value)]
    attended = [functional.scaled_dot_product_attention(*part, scale=scale) for part in zip(*heads, strict=True)]
    return torch.cat(attended, dim=1).transpose(0, 1)


@pytest.mark.parametrize("scaling", [None, 1.0, 0.3])
def test_packed_attention_is_that_of_each_protein_with_the_scale_of_the_layer(scaling):
    torch.manual_seed(0)
    rows = torch.randn(3, 9, 2, 4)
    found, weights = padding_free_attention(
        *(nn.Module(), *rows.transpose(1, 2)[:, None], None),
        **{"scaling": scaling, "cu_seq_lens_q": torch.tensor([0, 2, 8, 9], dtype=torch.int32), "max_length_q": 6},
    )
    assert weights is None
    expected = attention_of_each(*rows, [0, 2, 8, 9], scaling or 0.5)
    torch.testing.assert_close(found, expected[None])


def test_installed_torch_has_attention_over_several_lengths():
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 10):
        pytest.skip("came with torch 2.10")
    assert callable(varlen_attention())


def old_varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False):
    assert (max_q, max_k) == (6, 6) and not is_causal and torch.equal(cu_seq_q, cu_seq_k)
    return attention_of_each(query, key, value, cu_seq_q.tolist(), None)


def new_varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None):
    assert (max_q, max_k) == (6, 6) and torch.equal(cu_seq_q, cu_seq_k)
    return attention_of_each(query, key, value, cu_seq_q.tolist(), scale)


@pytest.mark.parametrize("varlen_attn", [old_varlen_attn, new_varlen_attn])
@pytest.mark.parametrize("scale", [0.5, 1.0, 0.3])
def test_every_version_of_torch_scales_as_the_layer_asks(monkeypatch, varlen_attn, scale):
    module = pytest.importorskip("torch.nn.attention.varlen")
    monkeypatch.setattr(module, "varlen_attn", varlen_attn)
    torch.manual_seed(0)
    rows = torch.randn(3, 9, 2, 4)
    found = varlen_attention()(*rows, torch.tensor([0, 2, 8, 9], dtype=torch.int32), 6, scale)
    torch.testing.assert_close(found, attention_of_each(*rows, [0, 2, 8, 9], scale))


def test_a_torch_without_attention_over_several_lengths_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
    assert varlen_attention() is None


def test_attention_dropout_is_that_of_the_configuration_in_training_and_none_elsewhere(build):
    batch = packed(labels=None)
    plain, dropping = build(), build(attention_probs_dropout_prob=0.9)
    expected = logits(plain, batch)
    assert torch.equal(logits(plain.train(), batch), expected)
    assert torch.equal(logits(dropping, batch), expected)
    torch.manual_seed(0)
    first, second = logits(dropping.train(), batch), logits(dropping, batch)
    assert not torch.allclose(first, second, atol=1e-3)
    torch.manual_seed(0)
    assert torch.equal(logits(dropping, batch), first)


def test_unpacked_proteins_stand_in_a_row_each_with_zeros_behind_them():
    hidden = torch.arange(1.0, 13.0).view(1, 6, 2)
    rows, mask = unpack(hidden, torch.tensor([0, 2, 3, 6], dtype=torch.int32), 3)
    assert rows.tolist() == [
        [[1, 2], [3, 4], [0, 0]],
        [[5, 6], [0, 0], [0, 0]],
        [[7, 8], [9, 10], [11, 12]],
    ]
    assert mask.tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert mask.dtype == torch.int64


# hidden states given, and saved classifiers


@every_pooling
def test_hidden_states_of_the_backbone_can_be_given_in_its_place(build, monkeypatch, pooling):
    model, batch = build(pooling=pooling), padded()
    expected = model(**batch)
    hidden = model.backbone(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    residues = residue_mask(batch["attention_mask"], 1, 1)
    monkeypatch.setattr(model.backbone, "forward", None)  # not run
    found = model(last_hidden_state=hidden, attention_mask=residues.long(), labels=batch["labels"])
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.loss, expected.loss)


def test_a_saved_classifier_does_not_remember_how_it_was_packed(build, tmp_path):
    model = build()
    expected = logits(model, padded())
    model.save_pretrained(tmp_path)
    assert PADDING_FREE not in (tmp_path / "config.json").read_text()
    loaded = ProteinClassifier.from_pretrained(tmp_path)
    assert {loaded.config._attn_implementation, loaded.backbone.config._attn_implementation} == {"sdpa"}
    assert torch.equal(logits(loaded, padded()), expected)


def test_a_device_whose_packed_attention_lets_proteins_see_each_other_is_found_out(tiny_classifier, monkeypatch):
    from transformers import AttentionInterface

    def leaking(module, query, key, value, attention_mask, cu_seq_lens_q=None, **kwargs):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)

    model = tiny_classifier(shape={**TINY_SHAPE, "initializer_range": 0.3})
    monkeypatch.setitem(AttentionInterface._global_mapping, PADDING_FREE, leaking)
    assert "packed and padded proteins differ by" in model.enable_packing()
    assert model.backbone.config._attn_implementation == "sdpa"


def test_a_device_without_a_kernel_is_padded(tiny_classifier, monkeypatch):
    from transformers import AttentionInterface

    def missing(module, query, key, value, attention_mask, cu_seq_lens_q=None, **kwargs):
        if cu_seq_lens_q is not None:
            raise RuntimeError("no kernel image is available\nfor this device")
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)

    model = tiny_classifier().train()
    monkeypatch.setitem(AttentionInterface._global_mapping, PADDING_FREE, missing)
    assert "does not work here (RuntimeError: no kernel image is available)" in model.enable_packing()
    assert model.backbone.config._attn_implementation == "sdpa"
    assert model.training
