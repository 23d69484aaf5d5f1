"""Packed proteins: the same numbers as padded ones, and none sees another."""

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from protbert_classify import ProteinClassifier
from protbert_classify.model import attention
from protbert_classify.model.attention import PADDING_FREE, padding_free_attention, unpack, varlen_attention
from protbert_classify.model.pooling import residue_mask

from .conftest import LABELS
from .packs import (
    ENDS,
    PACKABLE,
    RESIDUES,
    SHAPES,
    assert_same_gradients,
    classifier,
    encoded,
    gradients,
    logits,
    packed,
    padded,
)

POOLINGS = ["pooler", "cls", "mean", "light_attention"]
every_packable = pytest.mark.parametrize("kind", PACKABLE)
every_pooling = pytest.mark.parametrize("pooling", POOLINGS)
every_packable_and_pooling = pytest.mark.parametrize(
    ("kind", "pooling"),
    [(kind, pooling) for kind in PACKABLE for pooling in POOLINGS if (kind, pooling) != ("esmc", "pooler")],
)


# the same numbers


@every_packable_and_pooling
def test_packed_proteins_have_the_logits_and_gradients_of_padded_ones(kind, pooling):
    model = classifier(kind, pooling)
    expected = logits(model, padded(kind))
    assert torch.pdist(expected).min() > 1e-3  # proteins differ, or the next line says nothing
    torch.testing.assert_close(logits(model, packed()), expected)
    assert_same_gradients(gradients(model, packed()), gradients(model, padded(kind)))


@every_packable
def test_gradient_checkpointing_changes_no_gradient_of_packed_proteins(kind):
    model = classifier(kind).train()
    expected = gradients(model, padded(kind))
    model.gradient_checkpointing_enable()
    assert_same_gradients(gradients(model, packed()), expected)


@pytest.mark.parametrize("side", ["right", "left"])
@every_packable
def test_padded_proteins_keep_their_logits_once_packing_is_enabled(pad, proteins, kind, side):
    model = classifier(kind, packing=False)
    batch = pad(proteins, SHAPES[kind]["pad_token_id"], side)
    before = logits(model, batch)
    assert model.enable_packing() is None
    assert torch.equal(logits(model, batch), before)
    assert model.enable_packing() is None  # asked twice
    assert torch.equal(logits(model, batch), before)


def test_a_single_protein_can_be_packed():
    model = classifier()
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


@every_packable_and_pooling
def test_another_protein_in_the_pack_changes_no_logit_of_the_others(kind, pooling):
    model = classifier(kind, pooling)
    before = logits(model, packed())
    for changed in range(len(RESIDUES)):
        proteins = encoded()
        proteins[changed] = encoded(seed=1)[changed]
        after = logits(model, packed(proteins))
        others = [index for index in range(len(RESIDUES)) if index != changed]
        assert torch.equal(after[others], before[others])
        assert not torch.allclose(after[changed], before[changed], atol=1e-3)


@every_packable_and_pooling
def test_no_gradient_reaches_another_protein(kind, pooling):
    model = classifier(kind, pooling)
    batch = packed(labels=None)
    embedded = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    model.get_input_embeddings().register_forward_hook(lambda *_: embedded)
    found = model(**batch).logits
    for index, row in enumerate(found):
        (reached,) = torch.autograd.grad(row.square().sum(), embedded, retain_graph=True)
        own = slice(ENDS[index] - RESIDUES[index] - 2, ENDS[index])
        assert reached[0, own].abs().amax(-1).min() > 0  # every token of its own
        reached[0, own] = 0
        assert reached.abs().max() == 0


# what cannot be packed is refused


def test_a_t5_says_why_it_cannot_be_packed_and_refuses_a_packed_batch():
    model = classifier("t5", packing=False)
    assert "t5 cannot be packed" in model.enable_packing()
    assert model.backbone.config._attn_implementation != PADDING_FREE
    with pytest.raises(ValueError, match="packed batch"):
        model(**packed())


def test_a_packed_batch_is_refused_by_an_attention_that_would_mix_the_proteins():
    model = classifier(packing=False)
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
def test_a_packed_batch_without_positions_or_longest_length_is_refused(lacking):
    with pytest.raises(ValueError, match="without max_length_q or position_ids"):
        classifier()(**packed(**{lacking: None}))


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


class ReferenceKernel(TorchDispatchMode):
    """Computes what torch's operators for attention over several lengths are given, and counts the calls.

    The operators, their schemas and their autograd are torch's own; its kernel, for CUDA alone, is not run. What that
    kernel demands of its arguments (pytorch, aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp) is
    asserted.
    """

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        operators = torch.ops.torch_attn
        if func not in (operators._varlen_attn.default, operators._varlen_attn_backward.default):
            return func(*args, **(kwargs or {}))
        names = [argument.name for argument in func._schema.arguments]
        given = {**dict(zip(names, args, strict=False)), **(kwargs or {})}
        self.calls.append(func)
        q, k, v = rows = [given[name] for name in ("query", "key", "value")]
        starts, longest = given["cu_seq_q"], given["max_q"]
        assert q.shape == k.shape == v.shape and q.dtype == k.dtype == v.dtype and q.dim() == 3
        assert all(row.stride(-1) == 1 for row in rows)
        assert starts.dtype == torch.int32 and starts.is_contiguous() and torch.equal(starts, given["cu_seq_k"])
        assert (starts[0], starts[-1]) == (0, len(q))
        assert longest == given["max_k"] == starts.diff().max() and isinstance(longest, int)
        assert not given["is_causal"] and list(given["window_size"]) == [-1, -1]
        if func is operators._varlen_attn_backward.default:
            return gradients_of_each(*rows, given["grad_out"], starts.tolist(), given["scale"])
        attended = attention_of_each(*rows, starts.tolist(), given["scale"])
        return attended, q.new_empty(q.shape[1], len(q)), torch.zeros(2, dtype=torch.uint64)


def gradients_of_each(query, key, value, slope, ends, scale):
    """Gradients of `attention_of_each`, where autograd is not at hand: (T, h, d) each."""
    heads = [row.transpose(0, 1).tensor_split(ends[1:-1], dim=1) for row in (query, key, value, slope)]
    gradients = []
    for q, k, v, out in zip(*heads, strict=True):
        weights = (scale * q @ k.mT).softmax(-1)
        seen = out @ v.mT
        scores = scale * weights * (seen - (weights * seen).sum(-1, keepdim=True))
        gradients.append((scores @ k, scores.mT @ q, weights.mT @ out))
    return tuple(torch.cat(parts, dim=1).transpose(0, 1).contiguous() for parts in zip(*gradients, strict=True))


@pytest.fixture
def kernel(monkeypatch):
    """torch's operator is chosen on a CPU, too, and computed by the reference."""
    pytest.importorskip("torch.nn.attention.varlen", reason="came with torch 2.10")
    monkeypatch.setattr(attention, "why_no_kernel", lambda *_: None)
    with ReferenceKernel() as kernel:
        yield kernel


@every_packable
def test_packed_proteins_have_the_logits_and_gradients_of_padded_ones_by_the_operator_of_torch(kind, kernel):
    model = classifier(kind)
    expected, slopes = logits(model, padded(kind)), gradients(model, padded(kind))
    kernel.calls.clear()
    torch.testing.assert_close(logits(model, packed()), expected)
    layers = SHAPES[kind]["num_hidden_layers"]
    assert len(kernel.calls) == layers
    assert_same_gradients(gradients(model, packed()), slopes)
    assert len(kernel.calls) == 3 * layers  # forward twice and backward


@pytest.mark.parametrize("scale", [0.5, 1.0, 0.3])
def test_the_operator_of_torch_scales_as_the_layer_asks(kernel, scale):
    torch.manual_seed(0)
    rows, starts = torch.randn(3, 9, 2, 4), torch.tensor([0, 2, 8, 9], dtype=torch.int32)
    found = varlen_attention()(*rows, starts, 6, scale)
    torch.testing.assert_close(found, attention_of_each(*rows, starts.tolist(), scale))
    assert len(kernel.calls) == 1


@pytest.mark.parametrize("scale", [0.5, 1.0, 0.3])
def test_torch_2_10_whose_function_takes_no_scale_scales_as_the_layer_asks(kernel, monkeypatch, scale):
    module = sys.modules["torch.nn.attention.varlen"]
    newest = module.varlen_attn
    monkeypatch.setattr(module, "varlen_attn", lambda q, k, v, cu_q, cu_k, m, n: newest(q, k, v, cu_q, cu_k, m, n))
    torch.manual_seed(0)
    rows, starts = torch.randn(3, 9, 2, 4), torch.tensor([0, 2, 8, 9], dtype=torch.int32)
    found = varlen_attention()(*rows, starts, 6, scale)
    torch.testing.assert_close(found, attention_of_each(*rows, starts.tolist(), scale))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_operator_of_torch_takes_packed_queries_keys_and_values_and_gives_their_gradients(monkeypatch, dtype):
    pytest.importorskip("torch.nn.attention.varlen", reason="came with torch 2.10")
    monkeypatch.setattr(attention, "why_no_kernel", lambda *_: None)
    rows = [torch.empty(1, 4, 19, 16, dtype=dtype, device="meta", requires_grad=True) for _ in range(3)]
    starts = torch.empty(3, dtype=torch.int32, device="meta")
    found, _ = padding_free_attention(nn.Module(), *rows, None, 0.0, 1.0, cu_seq_lens_q=starts, max_length_q=12)
    assert (found.shape, found.dtype, found.device.type) == ((1, 19, 4, 16), dtype, "meta")
    slopes = torch.autograd.grad(found, rows, torch.empty_like(found))
    assert [(slope.shape, slope.dtype) for slope in slopes] == 3 * [((1, 4, 19, 16), dtype)]


@every_packable
def test_under_autocast_the_operator_of_torch_gets_half_precision(kind, kernel):
    """ESM C normalizes queries and keys, which leaves them in float32; the operator wants one type."""
    with torch.autocast("cpu", torch.bfloat16):
        model = classifier(kind)
        kernel.calls.clear()
        found, expected = logits(model, packed()), logits(model, padded(kind))
    assert len(kernel.calls) == SHAPES[kind]["num_hidden_layers"]
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_a_torch_without_attention_over_several_lengths_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
    assert varlen_attention() is None


def test_attention_dropout_is_that_of_the_configuration_in_training_and_none_elsewhere():
    batch = packed(labels=None)
    plain, dropping = classifier(), classifier(attention_probs_dropout_prob=0.9)
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
def test_hidden_states_of_the_backbone_can_be_given_in_its_place(monkeypatch, pooling):
    model, batch = classifier(pooling=pooling), padded()
    expected = model(**batch)
    hidden = model.backbone(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    residues = residue_mask(batch["attention_mask"], 1, 1)
    monkeypatch.setattr(model.backbone, "forward", None)  # not run
    found = model(last_hidden_state=hidden, attention_mask=residues.long(), labels=batch["labels"])
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.loss, expected.loss)


def test_a_saved_classifier_does_not_remember_how_it_was_packed(tmp_path):
    model = classifier()
    expected = logits(model, padded())
    model.save_pretrained(tmp_path)
    assert PADDING_FREE not in (tmp_path / "config.json").read_text()
    loaded = ProteinClassifier.from_pretrained(tmp_path)
    assert {loaded.config._attn_implementation, loaded.backbone.config._attn_implementation} == {"sdpa"}
    assert torch.equal(logits(loaded, padded()), expected)
