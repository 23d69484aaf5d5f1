import json
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    EsmcConfig,
    EsmcModel,
    T5Config,
    T5EncoderModel,
)

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.cost.activation_memory import activation_memory
from protbert_classify.model.configuration import PROTBERT_SHAPE
from tests.conftest import TINY_SHAPE
from tests.docs.conftest import save_esm

pytest.importorskip("peft", reason="the extra lora is not installed")

LABELS = ["Cytoplasm", "Nucleus"]
BATCH = {
    "input_ids": torch.tensor([[2, 5, 6, 7, 8, 3], [2, 9, 10, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
}


def logits(model):
    with torch.no_grad():
        return model.eval()(**BATCH).logits


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny pretrained BERT with more positions than are used."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    shape = {key: value for key, value in TINY_SHAPE.items() if key != "model_type"}
    BertModel(BertConfig(**shape)).save_pretrained(folder)
    return str(folder)


def adapted(base, pooling="mean", **options):
    """A classifier whose adapter, pooling and head have moved."""
    torch.manual_seed(1)
    model = ProteinClassifier.from_pretrained(base, labels=LABELS, pooling=pooling)
    model.add_lora(base, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def test_a_fresh_adapter_changes_nothing(base):
    model = ProteinClassifier.from_pretrained(base, labels=LABELS)
    before = logits(model)
    model.add_lora(base)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("options", [{}, {"targets": ["query"]}])
def test_a_backbone_without_layers_cannot_have_an_adapter(options):
    model = ProteinClassifier(ProteinClassifierConfig({**TINY_SHAPE, "num_hidden_layers": 0}, labels=LABELS))
    with pytest.raises(
        ValueError, match="a backbone of type bert without layers cannot have an adapter; expected tuning"
    ):
        model.add_lora("a/b", **options)


def test_the_usual_targets_are_in_all_layers_and_not_in_the_pooler(base):
    model = adapted(base, "pooler", rank=4)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".lora_")[0] for name in trained if "lora_" in name} == {
        f"backbone.encoder.layer.{layer}.{part}"
        for layer in (0, 1)
        for part in (
            *(f"attention.self.{name}" for name in ("query", "key", "value")),
            *("attention.output.dense", "intermediate.dense", "output.dense"),
        )
    }
    assert {name for name in trained if "lora_" not in name} == {
        *("backbone.pooler.dense.weight", "backbone.pooler.dense.bias", "head.1.weight", "head.1.bias")
    }
    query = model.backbone.encoder.layer[0].attention.self.query
    assert query.lora_A["default"].weight.shape == (4, 32) and query.scaling == {"default": 4.0}


def test_a_backbone_with_an_adapter_cannot_be_frozen_until_it_is_merged(base):
    model = adapted(base, rank=2)
    with pytest.raises(ValueError, match="an adapter trains in all layers"):
        model.freeze(backbone=True)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any("lora_" in name for name in trained) and not model.config.freeze_backbone
    model.merge_adapter().freeze(backbone=True)
    assert all(name.startswith("head.") for name, p in model.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("model_type", ["bert", "esm"])
def test_the_output_of_the_activation_function_is_not_kept(base, tmp_path, model_type):
    if model_type == "esm":
        save_esm(tmp_path / "esm")
        base = str(tmp_path / "esm")
    full, lora = ProteinClassifier.from_pretrained(base, labels=LABELS), adapted(base, rank=1)
    full.backbone.embeddings.requires_grad_(False)  # as they are beside an adapter
    settings = {"half_precision": False, "gradient_checkpointing": False}
    saved = activation_memory(full, 16, **settings).kept - activation_memory(lora, 16, **settings).kept
    shape, small = full.config.backbone_config, 6  # adapters in a layer, which keep a number each
    first_norm = {"bert": 0, "esm": shape.hidden_size + 2}[model_type]  # its input and statistics: nothing below trains
    assert saved == 4 * (shape.num_hidden_layers * (shape.intermediate_size - small) + first_norm)


def test_ia3_scales_keys_values_and_what_comes_into_the_last_feed_forward_layer(base):
    model = adapted(base, kind="ia3")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".ia3_")[0] for name in trained if "ia3_" in name} == {
        f"backbone.encoder.layer.{layer}.{part}"
        for layer in (0, 1)
        for part in ("attention.self.key", "attention.self.value", "output.dense")
    }
    layer = model.backbone.encoder.layer[0]
    hidden, wide = layer.attention.self.key, layer.output.dense
    assert hidden.ia3_l["default"].shape == (32, 1) and wide.ia3_l["default"].shape == (1, wide.in_features)
    vectors = torch.randn(3, wide.in_features)
    scaled = vectors * wide.ia3_l["default"].flatten()
    torch.testing.assert_close(wide(vectors), wide.base_layer(scaled))


@pytest.mark.parametrize(
    ("targets", "adapters"),
    [
        (["key", "attention.output.dense"], ["attention.self.key", "attention.output.dense"]),
        (["dense"], ["attention.output.dense", "intermediate.dense", "output.dense"]),
    ],
)
def test_ia3_is_in_all_targets_that_were_asked_for(base, targets, adapters):
    model = adapted(base, kind="ia3", targets=targets)
    found = {name.split(".ia3_")[0] for name, _ in model.named_parameters() if ".ia3_" in name}
    assert found == {f"backbone.encoder.layer.{layer}.{part}" for layer in (0, 1) for part in adapters}


@pytest.mark.parametrize("kind", ["lora", "dora", "ia3"])
@pytest.mark.parametrize("pooling", ["mean", "pooler", "light_attention"])
def test_saved_loaded_and_merged_it_gives_the_same_logits(tmp_path, base, kind, pooling):
    model = adapted(base, pooling, kind=kind)
    model.save_pretrained(tmp_path / "small")
    saved = load_file(tmp_path / "small" / "model.safetensors")
    assert set(saved) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}.union(
        name for name, _ in model.named_buffers() if name.startswith(("pooling.", "head.")) and name in saved
    )
    loaded, info = ProteinClassifier.from_pretrained(tmp_path / "small", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(logits(loaded), logits(model))
    assert not any(p.requires_grad for n, p in loaded.backbone.named_parameters() if "base_layer" in n)
    assert torch.equal(logits(AutoModelForSequenceClassification.from_pretrained(tmp_path / "small")), logits(model))
    merged = loaded.merge_adapter()
    torch.testing.assert_close(logits(merged), logits(model), atol=1e-5, rtol=0)
    assert all(parameter.requires_grad for parameter in merged.parameters())
    merged.save_pretrained(tmp_path / "whole")
    assert "adapter" not in json.loads((tmp_path / "whole" / "config.json").read_text())
    shutil.rmtree(tmp_path / "small")
    whole = ProteinClassifier.from_pretrained(tmp_path / "whole")
    assert torch.equal(logits(whole), logits(merged))
    assert not any("lora" in name or "ia3" in name or "base_layer" in name for name in whole.state_dict())


def test_what_else_its_base_model_has_is_not_reported(tmp_path, base, caplog):
    adapted(base).save_pretrained(tmp_path)
    caplog.clear()
    ProteinClassifier.from_pretrained(tmp_path)
    assert "LOAD REPORT" not in caplog.text  # of the pooler, which the base model has


def test_it_loads_again_with_its_positions_cut(tmp_path, base):
    model = adapted(base)
    model.resize_position_embeddings(16)
    model.save_pretrained(tmp_path)
    loaded = ProteinClassifier.from_pretrained(tmp_path)
    assert loaded.max_positions == 16 and torch.equal(logits(loaded), logits(model))


def test_it_loads_in_half_precision(tmp_path, base):
    model = adapted(base)
    model.save_pretrained(tmp_path)
    loaded = ProteinClassifier.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(logits(loaded).float(), logits(model), atol=0.1, rtol=0)


def test_other_labels_start_a_fresh_head_on_the_merged_backbone(tmp_path, base):
    model = adapted(base)
    model.save_pretrained(tmp_path)
    fresh = ProteinClassifier.from_pretrained(tmp_path, labels=["A", "B", "C"])
    assert fresh.config.adapter is None
    merged = model.merge_adapter().backbone.state_dict()
    assert all(torch.equal(weight, merged[name]) for name, weight in fresh.backbone.state_dict().items())


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_a_t5_and_its_targets(tmp_path, caplog, kind):
    torch.manual_seed(0)
    shape = {"vocab_size": 30, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    T5EncoderModel(T5Config(**shape)).save_pretrained(tmp_path / "t5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = adapted(str(tmp_path / "t5"), kind=kind)
    assert model.config.adapter["targets"] == {"lora": ["q", "k", "v", "o"], "ia3": ["k", "v", "wo"]}[kind]
    model.save_pretrained(tmp_path / "small")
    caplog.clear()
    assert torch.equal(logits(ProteinClassifier.from_pretrained(tmp_path / "small")), logits(model))
    assert not caplog.text  # transformers takes a checkpoint without its tied embeddings for a damaged one
    torch.testing.assert_close(logits(model), logits(model.merge_adapter()), atol=1e-5, rtol=0)


def test_an_esm_c_and_its_targets(tmp_path):
    torch.manual_seed(0)
    shape = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    EsmcModel(EsmcConfig(**shape, intermediate_size=64)).save_pretrained(tmp_path / "esmc")
    model = adapted(str(tmp_path / "esmc"))
    adapters = {name.split(".")[-4] for name, _ in model.named_parameters() if ".lora_A." in name}
    assert adapters == {*(f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down"))}
    torch.testing.assert_close(logits(model), logits(model.merge_adapter()), atol=1e-5, rtol=0)


def test_a_missing_base_model_is_named(tmp_path, base):
    shutil.copytree(base, tmp_path / "base")
    adapted(str(tmp_path / "base")).save_pretrained(tmp_path / "small")
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(ValueError, match=r"base model .*/base cannot be loaded; expected it there, or its new place"):
        ProteinClassifier.from_pretrained(tmp_path / "small")


@pytest.mark.parametrize("saved", [{"base_modle": "elsewhere"}, {"base_model": None}])
def test_a_field_of_an_adapter_that_was_misspelt_or_left_out_is_named(tmp_path, base, saved):
    adapted(base).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (name,) = saved
    config["adapter"] |= saved
    if saved[name] is None:
        del config["adapter"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="adapter: (found the field base_modle; expected|base_model is missing)"):
        ProteinClassifier.from_pretrained(tmp_path)


def test_a_base_model_of_which_one_matrix_has_changed_is_refused(tmp_path, base):
    shutil.copytree(base, tmp_path / "base")
    adapted(str(tmp_path / "base")).save_pretrained(tmp_path / "small")
    model = BertModel.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        model.encoder.layer[0].attention.self.value.weight.add_(0.1)
    model.save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="is not the base model that the adapter was trained on"):
        ProteinClassifier.from_pretrained(tmp_path / "small")


@pytest.mark.parametrize("change", ["weights", "layers", "width"])
def test_another_base_model_than_it_was_trained_on_is_refused(tmp_path, base, change):
    shutil.copytree(base, tmp_path / "base")
    adapted(str(tmp_path / "base")).save_pretrained(tmp_path / "small")
    shape = {key: value for key, value in TINY_SHAPE.items() if key != "model_type"}
    other = {"weights": {}, "layers": {"num_hidden_layers": 1}, "width": {"hidden_size": 64}}[change]
    torch.manual_seed(5)
    BertModel(BertConfig(**{**shape, **other})).save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="is not the base model that the adapter was trained on"):
        ProteinClassifier.from_pretrained(tmp_path / "small")


def test_a_checkpoint_without_a_trained_weight_is_refused(tmp_path, base):
    adapted(base).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    weights.pop("backbone.encoder.layer.1.output.dense.lora_B.default.weight")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="1 weights are missing"):
        ProteinClassifier.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"targets": ["query", "querry"]},
            "lora_targets=querry: a model of type bert has no such .* some of dense, key, query, value",
        ),
        ({"rank": 0}, "lora_rank=0: expected 1 or more"),
        ({"dropout": 1.0}, "lora_dropout=1.0: expected 0 up to below 1"),
        (
            {"kind": "ia3", "targets": ["output.dense", "attention.output.dense"]},
            "lora_targets: ia3 scales .* expected one of them",
        ),
        ({"kind": "lola"}, "lora_kind='lola': expected one of lora, dora, ia3"),
    ],
)
def test_a_wrong_option_is_named_and_the_model_stays_as_it_was(base, options, words):
    model = ProteinClassifier.from_pretrained(base, labels=LABELS)
    before = logits(model)
    with pytest.raises(ValueError, match=words):
        model.add_lora(base, **options)
    assert model.config.adapter is None and torch.equal(logits(model), before)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_second_adapter_is_refused(base):
    with pytest.raises(ValueError, match="has an adapter already: merge it first"):
        adapted(base).add_lora(base)


def test_a_config_without_an_adapter_says_nothing_of_one():
    config = ProteinClassifierConfig(dict(TINY_SHAPE), labels=LABELS)
    assert "adapter" not in config.to_dict() and config.adapter is None


def test_an_adapter_of_protbert_is_below_two_percent_of_its_weights():
    with torch.device("meta"):
        model = ProteinClassifier(ProteinClassifierConfig(PROTBERT_SHAPE, num_labels=10))
        whole = sum(weight.numel() for weight in model.state_dict().values())
        model.config.adapter = {"base_model": "", "rank": 8, "targets": ["query", "key", "value", "dense"]}
        model = ProteinClassifier(model.config)
    small = {name: w for name, w in model.state_dict().items() if name not in model._keys_to_ignore_on_save}
    count = sum(weight.numel() for weight in small.values())
    assert count == sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert count == 30 * 8 * (4 * 2 * 1024 + 2 * (1024 + 4096)) + 1024 * 10 + 10  # 4.4 million
    assert count / whole < 0.02
