"""Backbones that are cut after a layer: what they give, and that they load as any smaller model does."""

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    ElectraConfig,
    EsmcConfig,
    EsmConfig,
    ModernBertConfig,
    RobertaConfig,
    T5Config,
)

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.model.backbone import encoder_layers
from protbert_classify.model.layers import check_layers, final_norm, watching_layers

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 33,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
ESM = {"mask_token_id": 32, "pad_token_id": 1, "token_dropout": True}
FAMILIES = {
    "bert": BertConfig(**SIZE),
    "electra": ElectraConfig(**SIZE, embedding_size=16),
    "roberta": RobertaConfig(**SIZE, pad_token_id=1),
    "esm-1b": EsmConfig(**SIZE, **ESM, position_embedding_type="absolute", emb_layer_norm_before=True),
    "esm-2": EsmConfig(**SIZE, **ESM, position_embedding_type="rotary"),
    "esmc": EsmcConfig(**SIZE, pad_token_id=1),
    "modernbert": ModernBertConfig(**SIZE, pad_token_id=0, global_attn_every_n_layers=2),
    "t5": T5Config(vocab_size=33, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2, dropout_rate=0.0),
}
IDS = torch.tensor([[2, 5, 9, 14, 7, 20, 11, 3], [2, 8, 6, 21, 3, 1, 1, 1]])
MASK = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])


def classifier(config, seed=0, **fields):
    torch.manual_seed(seed)
    model = ProteinClassifier(ProteinClassifierConfig(config.to_dict(), labels=LABELS, **fields)).eval()
    for name, weight in model.named_parameters():  # norms that do nothing would hide that they are left out
        if "norm" in name.lower():
            weight.data.add_(torch.randn_like(weight) * 0.3)
    return model


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=MASK).logits


@pytest.mark.parametrize("name", FAMILIES)
def test_a_cut_model_loads_through_every_door_with_the_same_logits(name, tmp_path):
    model = classifier(FAMILIES[name])
    whole = logits(model)
    model.keep_first_layers(2)
    expected = logits(model)
    assert not torch.allclose(expected, whole, atol=1e-3)
    assert len(encoder_layers(model.backbone)) == 2 and model.config.num_hidden_layers == 2
    model.save_pretrained(tmp_path)
    loaded, info = ProteinClassifier.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    by_auto_class = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    for other in (loaded, by_auto_class):
        assert torch.allclose(logits(other.eval()), expected, atol=1e-6)
    backbone = AutoModel.from_pretrained(tmp_path)
    assert len(encoder_layers(backbone)) == backbone.config.num_hidden_layers == 2


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_seen_of_a_layer_is_what_the_model_cut_there_gives(name):
    model = classifier(FAMILIES[name])
    seen = []
    with torch.no_grad(), watching_layers(model.backbone, seen.append):
        model(input_ids=IDS, attention_mask=MASK)
    assert len(seen) == 3
    for layer in (3, 2, 1):
        model.keep_first_layers(layer)
        with torch.no_grad():
            expected = model.backbone(input_ids=IDS, attention_mask=MASK).last_hidden_state
        difference = (seen[layer - 1] - expected).abs()[MASK.bool()]
        assert difference.max() < 1e-5, (name, layer)
    with torch.no_grad():
        model(input_ids=IDS, attention_mask=MASK)
    assert len(seen) == 3  # nothing watches any more


def test_the_final_norm_is_found_where_there_is_one():
    has = {name: final_norm(classifier(config).backbone) is not None for name, config in FAMILIES.items()}
    assert has == {
        "bert": False,
        "electra": False,
        "roberta": False,
        "esm-1b": True,
        "esm-2": True,
        "esmc": True,
        "modernbert": True,
        "t5": True,
    }


def test_a_cut_bert_keeps_its_first_layers_as_they_were():
    model = classifier(FAMILIES["bert"])
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.keep_first_layers(1)
    after = model.state_dict()
    assert {name for name in before if name not in after} == {n for n in before if ".layer.1." in n or ".layer.2." in n}
    assert all(torch.equal(weight, before[name]) for name, weight in after.items())


def test_all_layers_change_nothing():
    model = classifier(FAMILIES["esm-2"])
    expected = logits(model)
    model.keep_first_layers(3)
    assert torch.equal(logits(model), expected)


@pytest.mark.parametrize("count", [0, -1, 4])
def test_a_layer_that_is_not_there_is_refused_with_how_many_there_are(count):
    model = classifier(FAMILIES["bert"])
    with pytest.raises(ValueError, match=f"layer={count}: the backbone has 3 layers; expected 1 to 3"):
        model.keep_first_layers(count)
    assert len(encoder_layers(model.backbone)) == 3


def test_a_network_without_layers_says_so():
    with pytest.raises(ValueError, match="runs/demo: the backbone has no layers to choose from"):
        check_layers(BertConfig(num_hidden_layers=0), 0, "runs/demo")


def test_layers_that_share_their_weights_are_not_cut():
    model = classifier(AlbertConfig(**SIZE, embedding_size=16))
    with pytest.raises(ValueError, match="layer=2: the layers of a model of type albert share their weights"):
        model.keep_first_layers(2)
    assert model.config.num_hidden_layers == 3


def test_frozen_layers_stay_within_what_is_left():
    model = classifier(FAMILIES["bert"], freeze_layers=2)
    with pytest.raises(ValueError, match="freeze_layers=2: expected 0 to 1, the layers that stay"):
        model.keep_first_layers(1)
    model.keep_first_layers(2)
    assert logits(model).shape == (2, 3)


def test_to_check_takes_no_memory_and_no_random_numbers():
    large = BertConfig(hidden_size=4096, num_hidden_layers=40, num_attention_heads=32, intermediate_size=16384)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    check_layers(large, 20)  # 8 billion parameters
    assert torch.equal(torch.get_rng_state(), before)
    assert large.num_hidden_layers == 40


def test_a_saved_adapter_finds_the_first_layers_of_its_base_again(tmp_path):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    base = classifier(FAMILIES["esm-2"])
    base.backbone.save_pretrained(tmp_path / "base")
    model = ProteinClassifier.from_pretrained(tmp_path / "base", labels=LABELS)
    model.keep_first_layers(2)
    model.add_lora(str(tmp_path / "base"), rank=2)
    with pytest.raises(ValueError, match="the model has an adapter: merge it first"):
        model.keep_first_layers(1)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=0.3)
    expected = logits(model.eval())
    model.save_pretrained(tmp_path / "adapted")
    loaded = ProteinClassifier.from_pretrained(tmp_path / "adapted").eval()
    assert torch.allclose(logits(loaded), expected, atol=1e-6)
    assert torch.allclose(logits(loaded.merge_adapter()), expected, atol=1e-5)
