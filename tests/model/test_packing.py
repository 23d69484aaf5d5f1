"""Who packs: a backbone that can, where it pays, on a device whose attention keeps the proteins apart."""

import pytest
import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from protbert_classify.model import packing
from protbert_classify.model.attention import PADDING_FREE, padding_free_attention

from .packs import PACKABLE, classifier, logits, packed, padded

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
HALF = torch.bfloat16

every_packable = pytest.mark.parametrize("kind", PACKABLE)
every_precision = pytest.mark.parametrize(
    ("dtype", "autocast"), [(torch.float32, None), (HALF, None), (torch.float32, HALF), (torch.float16, None)]
)


@pytest.fixture
def install(monkeypatch):
    """Put another attention in the place of ours."""
    return lambda kernel: monkeypatch.setitem(AttentionInterface._global_mapping, PADDING_FREE, kernel)


# attention that is wrong, packed


def all_see_all(module, query, key, value, attention_mask, dropout=0.0, scaling=None, **kwargs):
    return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling)


def each_sees_one_token_of_the_next(module, query, key, value, attention_mask, *, scaling, cu_seq_lens_q, **kwargs):
    ends = cu_seq_lens_q.tolist()
    own = [slice(*pair) for pair in zip(ends, ends[1:], strict=False)]
    seen = [slice(part.start, part.stop + 1) for part in own]
    parts = [
        functional.scaled_dot_product_attention(query[:, :, q], key[:, :, k], value[:, :, k], scale=scaling)
        for q, k in zip(own, seen, strict=True)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def no_number(*args, **kwargs):
    attended, weights = padding_free_attention(*args, **kwargs)
    attended[:, -1] = torch.nan  # of the last protein
    return attended, weights


@pytest.mark.parametrize("leaking", [all_see_all, each_sees_one_token_of_the_next])
@pytest.mark.parametrize("initializer_range", [0.02, 0.1])
@every_precision
@every_packable
def test_attention_that_lets_proteins_see_each_other_is_found_out(
    install, kind, dtype, autocast, initializer_range, leaking
):
    model = classifier(kind, packing=False, initializer_range=initializer_range).to(dtype)
    install(leaking)
    assert "packed and padded proteins differ by" in model.enable_packing(autocast=autocast)
    assert model.backbone.config._attn_implementation == "sdpa"


def test_a_leak_that_hardly_moves_the_logits_is_found_out(install):
    """Hidden states of a fresh model have most in common, and its logits tell little of them."""
    model = classifier("bert", "mean", initializer_range=0.02, num_hidden_layers=4).to(HALF)
    expected = logits(model, padded())
    install(all_see_all)
    assert (logits(model, packed()) - expected).abs().max() < 0.1 * expected.abs().max()
    assert "packed and padded proteins differ by" in model.enable_packing()


@pytest.mark.parametrize("training", [False, True])
@every_precision
@every_packable
def test_attention_that_is_right_is_taken_in_every_precision(kind, dtype, autocast, training):
    model = classifier(kind, packing=False).to(dtype)
    assert model.enable_packing(autocast=autocast, training=training) is None
    assert model.backbone.config._attn_implementation == PADDING_FREE


def test_scores_that_are_no_numbers_are_found_out_whichever_protein_has_them(install):
    model = classifier(packing=False)
    install(no_number)
    assert "differ by nan%" in model.enable_packing()


def test_what_all_hidden_states_have_in_common_hides_no_difference():
    generator = torch.Generator().manual_seed(0)
    expected = torch.randn(sum(packing.PROBED_LENGTHS), 64, generator=generator)
    found = expected + 0.1 * torch.randn(expected.shape, generator=generator)
    difference = packing._difference(found, expected)
    assert 0.09 < difference < 0.12
    outlier = torch.zeros(64).index_fill(0, torch.tensor([7]), 500.0)  # as pretrained models have
    torch.testing.assert_close(packing._difference(found + outlier, expected + outlier), difference, rtol=0.01, atol=0)


def test_a_difference_in_one_short_protein_is_not_lost_among_long_ones():
    expected = torch.randn(sum(packing.PROBED_LENGTHS), 64, generator=torch.Generator().manual_seed(0))
    found = expected.clone()
    found[-packing.PROBED_LENGTHS[-1] :] *= 1.5
    assert 0.4 < packing._difference(found, expected) < 0.6


class RightForward(torch.autograd.Function):
    """An operator whose backward mixes the proteins, though its forward does not."""

    @staticmethod
    def forward(ctx, right, wrong):
        ctx.shape = right.shape
        return right.detach().clone()

    @staticmethod
    def backward(ctx, slope):
        return torch.zeros_like(slope), slope


@every_packable
def test_a_backward_that_mixes_proteins_is_found_out_where_it_is_needed(install, kind):
    def leaking_backward(*args, **kwargs):
        right, wrong = padding_free_attention(*args, **kwargs)[0], all_see_all(*args, **kwargs)[0]
        return RightForward.apply(right, wrong), None

    model = classifier(kind, packing=False)
    install(leaking_backward)
    assert model.enable_packing() is None
    assert "packed and padded proteins differ by" in model.enable_packing(training=True)
    assert model.backbone.config._attn_implementation == "sdpa"  # no longer packed


def missing(module, query, key, value, attention_mask, **kwargs):
    raise RuntimeError("no kernel image is available\nfor this device")


def test_a_device_without_a_kernel_is_padded(install):
    model = classifier(packing=False).train()
    install(missing)
    assert "does not work here (RuntimeError: no kernel image is available)" in model.enable_packing()
    assert model.backbone.config._attn_implementation == "sdpa"
    assert model.training


# where it is checked


@every_packable
def test_attention_is_checked_where_the_model_will_compute_and_not_where_it_is(install, kind):
    """Under FSDP a model is on the CPU, or on no device at all, when training asks."""
    seen = set()

    def watched(module, query, *args, **kwargs):
        seen.add(query.device.type)
        return padding_free_attention(module, query, *args, **kwargs)

    model = classifier(kind, packing=False).to("meta")
    install(watched)
    assert model.enable_packing(CPU, training=True) is None
    assert seen == {"cpu"}


def test_the_check_changes_neither_the_random_numbers_that_follow_nor_the_model():
    model = classifier("esm", packing=False).train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = torch.get_rng_state()
    assert model.enable_packing(training=True) is None
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert model.backbone.config.num_hidden_layers == 2
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


# where it pays


@pytest.fixture
def sound(monkeypatch):
    """Attention on any device is taken for right: there is no other here than the CPU."""
    monkeypatch.setattr(packing, "packing_fault", lambda *_: None)


@every_packable
def test_attention_dropout_on_a_gpu_is_padded_with_a_reason_and_only_in_training(sound, kind):
    option = packing.PACKABLE[kind]
    model = classifier(kind, packing=False, **{option: 0.1})
    reason = model.enable_packing(CUDA, HALF, training=True)
    assert reason == (
        f"no kernel for packed attention with an attention dropout of 0.1; with {option}=0 they would be packed"
    )
    assert model.backbone.config._attn_implementation == "sdpa"
    assert model.enable_packing(CUDA, HALF) is None
    assert model.enable_packing(CUDA, HALF, training=True) == reason
    assert model.backbone.config._attn_implementation == "sdpa"  # no longer packed


@every_packable
def test_without_attention_dropout_training_on_a_gpu_is_packed(sound, kind):
    assert classifier(kind, packing=False).enable_packing(CUDA, HALF, training=True) is None


def test_a_frozen_backbone_drops_nothing_and_is_packed(sound):
    model = classifier(packing=False, attention_probs_dropout_prob=0.1)
    model.config.freeze_backbone = True
    assert model.enable_packing(CUDA, HALF, training=True) is None


def test_a_cpu_packs_with_attention_dropout_as_one_protein_keeps_it_busy():
    model = classifier(packing=False, attention_probs_dropout_prob=0.1)
    assert model.enable_packing(CPU, training=True) is None


@pytest.mark.parametrize(
    ("device", "autocast", "reason"),
    [
        ("cuda", None, "no kernel for packed attention in float32, only in half precision"),
        ("mps", HALF, "no kernel for packed attention on mps"),
    ],
)
def test_a_device_that_would_wait_for_each_protein_is_padded(sound, device, autocast, reason):
    assert classifier(packing=False).enable_packing(torch.device(device), autocast) == reason


def test_a_torch_without_the_operator_is_padded_on_a_gpu(sound, monkeypatch):
    monkeypatch.setattr("protbert_classify.model.attention._varlen_attention", lambda: None)
    reason = classifier(packing=False).enable_packing(CUDA, HALF)
    assert reason == f"no kernel for packed attention in torch {torch.__version__}: expected 2.10 or newer"


def test_proteins_that_attend_one_at_a_time_on_a_gpu_are_told_once(log):
    from protbert_classify.model.attention import _warn_of_loop

    _warn_of_loop.cache_clear()
    rows = torch.empty(3, 1, 2, 7, 4, device="meta")  # any device but the CPU
    for _ in range(2):
        borders = torch.tensor([0, 3, 7])
        padding_free_attention(torch.nn.Module(), *rows, None, cu_seq_lens_q=borders, max_length_q=4)
    assert log.text.count("packed proteins attend one at a time, which is slow: no kernel") == 1


# which backbones


def test_an_esm_with_absolute_positions_is_padded_and_refuses_a_packed_batch():
    """ESM-1b: its table of positions begins behind the padding index."""
    model = classifier("esm", packing=False, position_embedding_type="absolute", max_position_embeddings=730)
    assert "absolute positions do not begin at 0" in model.enable_packing()
    assert torch.pdist(logits(model, padded("esm"))).min() > 1e-3
    model.set_attn_implementation(PADDING_FREE)
    with pytest.raises(ValueError, match="see each other"):
        model(**packed())


def test_an_esm_that_normalizes_its_embeddings_is_padded():
    """The factor of token dropout is each protein's own, and a layer norm behind it takes it away."""
    assert "token dropout" in classifier("esm", packing=False, emb_layer_norm_before=True).enable_packing()
    scaled = classifier("esm", packing=False, emb_layer_norm_before=True, token_dropout=False)
    expected = logits(scaled, padded("esm"))
    assert scaled.enable_packing() is None
    torch.testing.assert_close(logits(scaled, packed()), expected)
