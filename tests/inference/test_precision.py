import numpy as np
import pytest
import torch

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.errors import OptionError
from protbert_classify.inference.logits import predict_logits
from protbert_classify.inference.precision import has_native_bf16, set_precision
from protbert_classify.inference.saved_classifier import load_classifier

from .conftest import LONG

SEQUENCES = ["MKTAYIAKQR", LONG[:20], "WWCCHH", "MLSRAVCGTSRQ", "GGGGGG"]


@pytest.fixture
def encoded(tokenizer):
    return [np.array(tokenizer(sequence)["input_ids"]) for sequence in SEQUENCES]


def test_bfloat16_makes_the_same_calls_and_near_scores_with_a_head_in_float32(classifier, encoded):
    exact = predict_logits(classifier, encoded)
    assert set_precision(classifier, "bfloat16") == "bfloat16"
    assert classifier.backbone.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in classifier.head.parameters()} == {torch.float32}
    rounded = predict_logits(classifier, encoded)
    assert 0 < np.abs(rounded - exact).max() < 0.03 * np.abs(exact).max()
    assert (rounded.argmax(-1) == exact.argmax(-1)).all()


def test_bfloat16_leaves_an_esm_the_positions_of_a_long_protein():
    torch.manual_seed(0)
    shape = {"model_type": "esm", "vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32, "initializer_range": 0.15}
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = ProteinClassifier(ProteinClassifierConfig({**shape, **size, "position_embedding_type": "rotary"})).eval()
    before = [buffer.clone() for name, buffer in model.named_buffers() if name.endswith("inv_freq")]
    ids = torch.randint(4, 24, (2, 1000))
    with torch.inference_mode():
        exact = model.backbone(ids).last_hidden_state
        set_precision(model, "bfloat16")
        rounded = model.backbone(ids).last_hidden_state
    after = [buffer for name, buffer in model.named_buffers() if name.endswith("inv_freq")]
    assert before and all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).norm() < 0.02 * exact.norm()


def test_float32_changes_nothing(classifier, encoded):
    before = predict_logits(classifier, encoded)
    assert set_precision(classifier, "float32", packing=False) == "float32"
    assert (predict_logits(classifier, encoded) == before).all()


def test_float32_packs_on_a_cpu_and_changes_no_score(classifier, encoded):
    padded = predict_logits(classifier, encoded)
    set_precision(classifier, "float32")
    shapes = []
    classifier.register_forward_pre_hook(lambda m, a, given: shapes.append(given["input_ids"].shape), with_kwargs=True)
    assert np.abs(predict_logits(classifier, encoded) - padded).max() < 1e-5
    assert shapes == [(1, sum(map(len, encoded)))]


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_half_precision_checkpoint_computes_in_float32_when_that_is_asked_for(
    classifier, tokenizer, encoded, tmp_path, stored, precision
):
    classifier.to(stored).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, _ = load_classifier(tmp_path, "cpu", precision)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = predict_logits(classifier.float(), encoded)
    assert np.abs(predict_logits(model, encoded) - expected).max() < 1e-5


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("large", [True, False])
def test_auto_gives_the_scores_of_the_pipeline_on_a_cpu_and_tells_of_a_faster_way(
    classifier, log, monkeypatch, native, large
):
    monkeypatch.setattr("protbert_classify.inference.precision.LARGE", 0 if large else 10**9)
    monkeypatch.setattr("protbert_classify.inference.precision.has_native_bf16", lambda device: native)
    assert set_precision(classifier, "auto") == "float32"
    assert ("precision bfloat16 would be faster" in log.text) is (native and large)


@pytest.mark.parametrize(
    "capabilities, expected", [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)]
)
def test_a_cpu_has_bfloat16_if_it_has_the_instructions(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_native_bf16("cpu") is expected


def test_an_older_torch_that_cannot_tell_stays_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not has_native_bf16("cpu")


def test_an_unknown_precision_is_named(classifier):
    with pytest.raises(OptionError, match="precision='half': expected one of auto, bfloat16, float32, int8"):
        set_precision(classifier, "half")


def test_int8_without_torchao_says_what_to_install(classifier, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchao.quantization", None)
    with pytest.raises(OptionError, match=r"pip install 'protbert_classify\[int8\]'"):
        set_precision(classifier, "int8")


def test_int8_stays_near_float32(classifier, encoded):
    pytest.importorskip("torchao", reason="the extra int8 is not installed")
    exact = predict_logits(classifier, encoded)
    set_precision(classifier, "int8")
    found = predict_logits(classifier, encoded)
    assert 0 < np.abs(found - exact).max() < 0.1 * np.abs(exact).max()


def test_a_compiled_backbone_gives_the_same_logits(run_folder, encoded, monkeypatch):
    plain, _ = load_classifier(run_folder, "cpu")
    monkeypatch.setattr(torch.nn.Module, "compile", _with_backend("eager"))  # no C++ compiler needed
    compiled, _ = load_classifier(run_folder, "cpu", compiled=True)
    assert np.abs(predict_logits(compiled, encoded, 40) - predict_logits(plain, encoded, 40)).max() < 1e-5


def _with_backend(backend):
    compile_module = torch.nn.Module.compile
    return lambda self, **options: compile_module(self, backend=backend, **options)
