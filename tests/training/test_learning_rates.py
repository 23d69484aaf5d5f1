import pytest
import torch
from transformers import AutoConfig, AutoModel, T5Config, T5EncoderModel

from protbert_classify import ProteinClassifier
from protbert_classify.errors import OptionError
from protbert_classify.training.learning_rates import parameter_learning_rates, set_learning_rates
from tests.training.trainers import product, small_model

ESM = {"vocab_size": 33, "pad_token_id": 1, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def rates_by_name(model, *options):
    rates = parameter_learning_rates(model, *options)
    return {name: rates[parameter] for name, parameter in model.named_parameters()}


def test_each_layer_has_the_rate_of_the_one_above_it_times_the_decay():
    found = rates_by_name(small_model(pooling="pooler"), 1.0, 8.0, 0.5)
    layers = {name.split(".")[3] for name in found if ".layer." in name}
    depth = len(layers)
    for name, rate in found.items():
        if name.startswith(("head.", "pooling.", "backbone.pooler.")):
            assert rate == 8.0, name
        elif ".layer." in name:
            assert rate == 0.5 ** (depth - int(name.split(".")[3])), name
        else:
            assert name.startswith("backbone.embeddings.") and rate == 0.5 ** (depth + 1), name


def test_a_norm_above_the_last_layer_has_the_full_rate_and_other_families_their_embeddings_the_lowest(tmp_path):
    AutoModel.from_config(AutoConfig.for_model("esm", **ESM)).save_pretrained(tmp_path / "esm")
    found = rates_by_name(ProteinClassifier.from_pretrained(tmp_path / "esm", labels=["A", "B"]), 1.0, None, 0.5)
    assert found["backbone.encoder.emb_layer_norm_after.weight"] == 1.0
    assert found["backbone.embeddings.word_embeddings.weight"] == 0.125
    assert found["backbone.encoder.layer.1.output.dense.weight"] == 0.5
    assert found["head.1.weight"] == 1.0
    shape = {"vocab_size": 30, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    T5EncoderModel(T5Config(**shape)).save_pretrained(tmp_path / "t5")
    found = rates_by_name(ProteinClassifier.from_pretrained(tmp_path / "t5", labels=["A", "B"]), 1.0, None, 0.5)
    assert found["backbone.shared.weight"] == 0.125
    assert found["backbone.encoder.block.0.layer.0.SelfAttention.q.weight"] == 0.25
    assert found["backbone.encoder.final_layer_norm.weight"] == 1.0


def test_without_decay_the_backbone_has_one_rate():
    assert set(rates_by_name(small_model(), 3.0, None, 1.0).values()) == {3.0}


def test_an_albert_uses_one_layer_several_times_and_can_have_no_decay(tmp_path):
    shape = {"vocab_size": 30, "embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 64}
    AutoModel.from_config(AutoConfig.for_model("albert", **shape, num_attention_heads=2)).save_pretrained(tmp_path)
    model = ProteinClassifier.from_pretrained(tmp_path, labels=["A", "B"])
    assert set(rates_by_name(model, 1.0, 8.0, 1.0).values()) == {1.0, 8.0}
    with pytest.raises(OptionError, match="layer_decay=0.5: expected 1: a model of type albert has no stack of 3"):
        rates_by_name(model, 1.0, None, 0.5)


def test_parameters_that_are_not_the_models_are_refused():
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])
    with pytest.raises(OptionError, match="with FSDP, expected fsdp_use_orig_params: true"):
        set_learning_rates(optimizer, parameter_learning_rates(small_model(), 1.0, None, 0.5))


def test_the_optimizer_has_these_rates_and_the_schedule_lowers_them_all(tmp_path):
    trainer = product(tmp_path, learning_rate=0.01, head_learning_rate=0.1, layer_decay=0.5, warmup_steps=0)
    trainer.create_optimizer_and_scheduler(10)
    wanted = parameter_learning_rates(trainer.model, 0.01, 0.1, 0.5)
    found = {
        parameter: (group["lr"], group["weight_decay"])
        for group in trainer.optimizer.param_groups
        for parameter in group["params"]
    }
    assert {parameter: rate for parameter, (rate, _) in found.items()} == wanted
    decayed = {name for name, parameter in trainer.model.named_parameters() if found[parameter][1]}
    assert "head.1.weight" in decayed and "head.1.bias" not in decayed
    trainer.optimizer.step()
    trainer.lr_scheduler.step()
    for group in trainer.optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.9 * wanted[group["params"][0]])


def test_a_rate_of_0_for_the_backbone_trains_the_head_alone(tmp_path):
    trainer = product(tmp_path, learning_rate=0.0, head_learning_rate=0.01, num_train_epochs=1)
    before = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    trainer.train()
    moved = {name for name, weight in trainer.model.state_dict().items() if not torch.equal(weight, before[name])}
    assert moved == {"head.1.weight", "head.1.bias"}
