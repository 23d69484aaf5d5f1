import copy
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import T5Config, T5EncoderModel

from protbert_classify import ProteinClassifier
from protbert_classify.model.four_bits import FourBitLinear, round_to_four_bits

from .test_adapter import LABELS, adapted, base, logits

pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
pytest.importorskip("peft", reason="the extra qlora is not installed")
assert base  # a fixture


def linear(bias=True):
    torch.manual_seed(0)
    return nn.Linear(256, 128, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("bias", [True, False])
def test_it_takes_an_eighth_and_computes_with_the_rounded_weight(bias):
    plain = linear(bias)
    exact = plain.weight.clone()
    small = FourBitLinear(plain)
    state = small.weight.quant_state
    scales = state.absmax.nbytes + state.state2.absmax.nbytes
    assert small.weight.nbytes + scales < 0.14 * exact.nbytes
    round_to_four_bits(plain)
    error = (plain.weight - exact).abs().mean() / exact.abs().mean()
    assert 0.01 < error < 0.15
    restored = small.dequantized()
    assert torch.equal(restored.weight, plain.weight)
    hidden = torch.randn(5, 256, requires_grad=True)
    torch.testing.assert_close(small(hidden), plain(hidden), atol=1e-5, rtol=0)
    (found,) = torch.autograd.grad(small(hidden).square().sum(), hidden)
    (expected,) = torch.autograd.grad(plain(hidden).square().sum(), hidden)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_it_computes_in_the_type_of_autocast():
    small = FourBitLinear(linear())
    hidden = torch.randn(3, 256)
    exact = small(hidden)
    with torch.autocast("cpu", torch.bfloat16):
        half = small(hidden)
    assert (exact.dtype, half.dtype, small(hidden).dtype) == (torch.float32, torch.bfloat16, torch.float32)
    torch.testing.assert_close(half.float(), exact, atol=0.05, rtol=0)
    assert torch.equal(small(hidden), exact)  # as before


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_saved_loaded_and_merged_it_gives_the_scores_that_training_saw(tmp_path, base, kind):
    model = adapted(base, kind=kind, bits=4)
    layers = [module.base_layer for module in model.modules() if hasattr(module, "base_layer")]
    assert len(layers) == 12 and all(isinstance(layer, FourBitLinear) for layer in layers)
    trained = logits(model)
    assert not torch.allclose(trained, logits(adapted(base, kind=kind)), atol=1e-4)  # rounding changes something
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert set(saved) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    loaded = ProteinClassifier.from_pretrained(tmp_path)
    assert loaded.config.adapter["bits"] == 4 and not any(
        isinstance(module, FourBitLinear) for module in loaded.modules()
    )
    torch.testing.assert_close(logits(loaded), trained, atol=1e-5, rtol=0)
    torch.testing.assert_close(logits(loaded.merge_adapter()), trained, atol=1e-5, rtol=0)
    merged = copy.deepcopy(model).merge_adapter()  # as push does
    torch.testing.assert_close(logits(merged), trained, atol=1e-5, rtol=0)
    assert not any("lora" in name or "quant" in name for name in merged.state_dict())
    assert torch.equal(logits(model), trained)  # the model itself has changed in nothing


def test_a_model_in_half_precision_stays_one(base):
    model = ProteinClassifier.from_pretrained(base, labels=LABELS, dtype=torch.bfloat16)
    model.add_lora(base, bits=4)
    before = logits(model)
    assert before.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in model.merge_adapter().parameters()} == {torch.bfloat16}
    torch.testing.assert_close(logits(model), before, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bits": 8}, "lora_bits=8: expected 4 or 32"),
        ({"bits": 4, "kind": "ia3"}, "lora_bits=4: expected lora_kind lora or dora, found ia3"),
    ],
)
def test_what_cannot_be_is_told(base, options, words):
    model = ProteinClassifier.from_pretrained(base, labels=LABELS)
    with pytest.raises(ValueError, match=words):
        model.add_lora(base, **options)
    assert model.config.adapter is None


def test_a_t5_has_four_bits_in_its_attention_but_not_in_wo(tmp_path):
    shape = {"vocab_size": 30, "d_model": 64, "d_kv": 16, "num_heads": 4, "d_ff": 64, "num_layers": 2}
    T5EncoderModel(T5Config(**shape)).save_pretrained(tmp_path)
    model = ProteinClassifier.from_pretrained(tmp_path, labels=LABELS)
    with pytest.raises(ValueError, match="lora_bits=4: wo needs 32; leave it out of lora_targets"):
        model.add_lora(str(tmp_path), bits=4, targets=["q", "wo"])
    with pytest.raises(ValueError, match="DenseReluDense.wo needs 32"):
        model.add_lora(str(tmp_path), bits=4, targets=["q", "DenseReluDense.wo"])
    model.add_lora(str(tmp_path), bits=4)
    layer = model.backbone.encoder.block[0].layer
    assert isinstance(layer[0].SelfAttention.q.base_layer, FourBitLinear)
    assert type(layer[1].DenseReluDense.wo) is nn.Linear
    assert torch.isfinite(logits(model)).all()


def test_without_the_package_one_line_says_how_to_install_it(base, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    model = ProteinClassifier.from_pretrained(base, labels=LABELS)
    before = logits(model)
    with pytest.raises(ImportError, match=r"bitsandbytes: pip install 'protbert_classify\[qlora\]'"):
        model.add_lora(base, bits=4)
    assert model.config.adapter is None and torch.equal(logits(model), before)
