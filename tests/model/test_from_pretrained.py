"""What a classifier loads from and saves to: encoders, classifiers of ours, and those of transformers."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    EsmForSequenceClassification,
)
from transformers.utils import logging as transformers_logging

from protbert_classify import ProteinClassifier, ProteinClassifierConfig

from .conftest import BACKBONES, COMBINATIONS, LABELS, pretrained


def logits(model, batch):
    with torch.no_grad():
        return model(**batch).logits


def test_a_folder_that_is_not_there_is_called_one_and_not_a_bad_repository_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs/mine", "./mine", "~/mine", "/nowhere", "somewhere/else/model", tmp_path / "mine"):
        with pytest.raises(OSError, match="no such folder; expected the model/ of a") as raised:
            ProteinClassifier.from_pretrained(name)
        assert str(raised.value).startswith(f"{name}: no such folder")


def test_the_folder_of_a_training_names_the_model_inside(tmp_path):
    with pytest.raises(OSError, match=rf"^{tmp_path}: no model there .no config.json.; expected a model folder$"):
        ProteinClassifier.from_pretrained(tmp_path)
    (tmp_path / "model").mkdir()
    with pytest.raises(OSError, match=rf"expected {tmp_path}/model, the model of this training$"):
        ProteinClassifier.from_pretrained(tmp_path)


# a pretrained encoder and a fresh head


@pytest.mark.parametrize("kind, pooling", COMBINATIONS)
def test_the_backbone_is_the_pretrained_one_and_not_random(checkpoint, fresh, kind, pooling):
    _, source = checkpoint[kind]
    backbone = fresh(kind, pooling=pooling).backbone.state_dict()
    loaded = {name for name in backbone if not name.startswith("pooler.")}  # masked-language models are saved without
    assert len(loaded) >= 19
    for name in loaded:
        assert torch.equal(backbone[name], source[BACKBONES[kind] + name]), name


def test_the_head_of_a_pretraining_is_not_reported_but_a_missing_weight_is(tmp_path, checkpoint, caplog):
    folder, _ = checkpoint["bert"]
    transformers_logging.enable_propagation()
    BertModel.from_pretrained(folder)
    assert "LOAD REPORT" in caplog.text  # transformers has one, of the head
    caplog.clear()
    ProteinClassifier.from_pretrained(folder, labels=LABELS)
    assert "LOAD REPORT" not in caplog.text and "start at random" not in caplog.text
    shutil.copytree(folder, tmp_path / "some")
    weights = load_file(tmp_path / "some" / "model.safetensors")
    (lost,) = [name for name in weights if name.endswith("layer.1.output.dense.weight")]
    weights.pop(lost)
    save_file(weights, tmp_path / "some" / "model.safetensors", metadata={"format": "pt"})
    ProteinClassifier.from_pretrained(tmp_path / "some", labels=LABELS)
    assert (
        "weights of the encoder are missing and start at random (1): encoder.layer.1.output.dense.weight" in caplog.text
    )
    save_file({**weights, lost: torch.zeros(3, 3)}, tmp_path / "some" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"output.dense.weight has the shape \(3, 3\); its configuration says"):
        ProteinClassifier.from_pretrained(tmp_path / "some", labels=LABELS)


def test_the_pretrained_pooler_is_used_where_there_is_one(bert_classifier):
    folder, source = bert_classifier
    model = ProteinClassifier.from_pretrained(folder, labels=["a", "b"], pooling="pooler")
    assert torch.equal(model.backbone.pooler.dense.weight, source.bert.pooler.dense.weight)


def test_only_the_encoder_of_t5_is_loaded(fresh):
    assert not [name for name, _ in fresh("t5").named_parameters() if "decoder" in name]


def test_t5_has_no_pooler_to_pool_with(fresh, checkpoint):
    with pytest.raises(ValueError, match="pooling='pooler': a model of type t5 has no pooler; use mean, cls or"):
        fresh("t5", pooling="pooler")
    with pytest.raises(ValueError, match="a model of type t5 has no pooler"):
        ProteinClassifier(ProteinClassifierConfig(pretrained("t5").config, pooling="pooler"))


@pytest.mark.parametrize("head", ["linear", "tanh"])
def test_a_fresh_head_has_the_users_labels_and_fields(fresh, head):
    model = fresh(head=head, classifier_dropout=0.4, crop="tail", max_sequence_length=40)
    assert model.config.labels == LABELS
    assert model.config.label2id == {"Cytoplasm": 0, "Mitochondrion": 1, "Nucleus": 2}
    assert (model.config.head, model.config.classifier_dropout) == (head, 0.4)
    assert (model.config.crop, model.config.max_sequence_length) == ("tail", 40)
    assert not model.training


def test_an_encoder_without_labels_is_refused_in_one_line(checkpoint):
    with pytest.raises(ValueError, match="an encoder without a head \\(bert\\): name the classes, labels=") as error:
        ProteinClassifier.from_pretrained(checkpoint["bert"][0])
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_pooling_is_refused_by_name(fresh):
    with pytest.raises(ValueError, match="pooling='median'"):
        fresh(pooling="median")


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_attention_asked_for_reaches_the_backbone(checkpoint, proteins, pad, tmp_path, implementation):
    folder, _ = checkpoint["bert"]
    torch.manual_seed(1)
    model = ProteinClassifier.from_pretrained(folder, labels=LABELS, attn_implementation=implementation)
    assert model.backbone.config._attn_implementation == implementation
    model.save_pretrained(tmp_path / "saved")
    other = {"sdpa": "eager", "eager": "sdpa"}[implementation]
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", attn_implementation=other)
    assert again.backbone.config._attn_implementation == other
    assert torch.allclose(logits(again, pad(proteins)), logits(model, pad(proteins)), atol=1e-6)


@pytest.mark.parametrize("kind", BACKBONES)
def test_bfloat16_is_the_dtype_of_every_weight_and_of_a_reload(fresh, proteins, pad, tmp_path, kind):
    model = fresh(kind, dtype=torch.bfloat16, pooling="light_attention")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    batch = pad(proteins, model.config.pad_token_id) | {"labels": torch.tensor([0, 1, 2])}
    assert model(**batch).loss.dtype == torch.float32
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", dtype=torch.bfloat16)
    assert torch.equal(logits(again, batch), logits(model, batch))
    wide = ProteinClassifier.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    assert {parameter.dtype for parameter in wide.parameters()} == {torch.float32}


def test_a_foreign_bin_checkpoint_loads_and_the_log_says_so(checkpoint, tmp_path, log):
    _, source = checkpoint["bert"]
    pretrained("bert").config.save_pretrained(tmp_path / "foreign")
    torch.save(source, tmp_path / "foreign" / "pytorch_model.bin")
    model = ProteinClassifier.from_pretrained(tmp_path / "foreign", labels=LABELS)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, source["bert." + name]), name
    assert "foreign has no safetensors file: reading it through torch's weights_only loader" in log.text


def test_a_bin_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    pretrained("bert").config.save_pretrained(tmp_path)
    torch.save({"bert.embeddings.word_embeddings.weight": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(Exception, match="Weights only load failed"):
        ProteinClassifier.from_pretrained(tmp_path, labels=LABELS)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertForSequenceClassification"])
@pytest.mark.parametrize("options", [{}, {"trust_remote_code": True}])
def test_code_beside_the_weights_is_neither_run_nor_asked_about(tmp_path, monkeypatch, architecture, options):
    def asked(*args):
        raise AssertionError("a question to the user")

    monkeypatch.setattr("builtins.input", asked)
    pretrained("bert").save_pretrained(tmp_path)
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'evil')!r})\n")
    names = ["AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification"]
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"auto_map": dict.fromkeys(names, "evil.Evil"), "architectures": [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert ProteinClassifier.from_pretrained(tmp_path, labels=LABELS, **options).config.labels == LABELS
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "evil"}))
    with pytest.raises(ValueError, match="custom code"):
        ProteinClassifier.from_pretrained(tmp_path, labels=LABELS, **options)
    assert not (tmp_path / "evil").exists()


# saved and loaded again


@pytest.mark.parametrize("kind, pooling", COMBINATIONS)
def test_a_reloaded_classifier_gives_the_same_bits(fresh, proteins, pad, tmp_path, kind, pooling):
    head = "tanh" if pooling == "cls" else "linear"
    model = fresh(kind, pooling=pooling, head=head, crop="head")
    batch = pad(proteins, model.config.pad_token_id)
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved")
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert torch.equal(logits(again, batch), logits(model, batch))
    assert (again.config.labels, again.config.head, again.config.crop) == (LABELS, head, "head")


def test_only_safetensors_and_no_code_is_saved(fresh, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    assert sorted(os.listdir(tmp_path / "saved")) == ["config.json", "model.safetensors"]
    assert "auto_map" not in (tmp_path / "saved" / "config.json").read_text()


def test_auto_model_for_sequence_classification_opens_it(fresh, proteins, pad, tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    assert type(again) is ProteinClassifier
    assert torch.equal(logits(again, pad(proteins)), logits(model, pad(proteins)))


def test_an_esm_loads_where_transformers_names_its_frequencies_otherwise(fresh, proteins, pad, tmp_path):
    """As in the container that serves it: its transformers is older than the one that saved the model."""
    from safetensors.torch import load_file, save_file

    model = fresh("esm")
    model.save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if "inv_freq" not in name}
    save_file(tensors, path, {"format": "pt"})
    again = ProteinClassifier.from_pretrained(tmp_path / "saved")
    assert torch.equal(logits(again, pad(proteins, 1)), logits(model, pad(proteins, 1)))


def test_a_file_without_all_weights_is_refused_and_not_filled_with_random_ones(fresh, tmp_path):
    from safetensors.torch import load_file, save_file

    fresh(pooling="light_attention").save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "model.safetensors"
    tensors = load_file(path)
    del tensors["pooling.features.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match="1 weights are missing or of another shape .pooling.features.weight"):
        ProteinClassifier.from_pretrained(tmp_path / "saved")


def test_a_configuration_over_a_pretrained_encoder_does_not_give_a_random_backbone(checkpoint):
    folder, _ = checkpoint["bert"]
    config = ProteinClassifierConfig(pretrained("bert").config, num_labels=3)
    with pytest.raises(ValueError, match="is not the classifier that its configuration says"):
        ProteinClassifier.from_pretrained(folder, config=config)


@pytest.mark.parametrize("field, value", [("pooling", "cls"), ("pooling", "pooler"), ("head", "tanh")])
def test_a_trained_head_cannot_turn_into_another_by_an_option(fresh, tmp_path, field, value):
    fresh().save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match=f"trained with {field}='.*', not '{value}': name its classes, labels="):
        ProteinClassifier.from_pretrained(tmp_path / "saved", **{field: value})


def test_the_former_name_of_a_head_is_the_same_head(fresh, tmp_path):
    fresh(head="article").save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", head="article")
    assert again.config.head == "tanh" and isinstance(again.head.get_submodule("2"), torch.nn.Tanh)


def test_options_that_need_no_other_weights_apply_to_a_trained_classifier(fresh, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    model = ProteinClassifier.from_pretrained(tmp_path / "saved", classifier_dropout=0.7, freeze_layers=1, crop="tail")
    assert model.head.get_submodule("0").p == 0.7
    assert model.config.crop == "tail"
    assert not any(parameter.requires_grad for parameter in model.backbone.embeddings.parameters())
    with pytest.raises(ValueError, match="freeze_layers=9: expected 0 to 2"):
        ProteinClassifier.from_pretrained(tmp_path / "saved", freeze_layers=9)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "mean_squared_error"])
def test_a_trained_classifier_takes_no_loss_of_another_problem(fresh, tmp_path, loss):
    fresh().save_pretrained(tmp_path / "saved")
    assert ProteinClassifier.from_pretrained(tmp_path / "saved", loss="focal").config.loss == "focal"
    with pytest.raises(ValueError, match=f"loss='{loss}'.*expected"):
        ProteinClassifier.from_pretrained(tmp_path / "saved", loss=loss)


def test_the_report_of_loading_names_what_is_fresh(fresh, checkpoint, bert_classifier, tmp_path):
    load = ProteinClassifier.from_pretrained
    head = {"head.1.weight", "head.1.bias"}
    model, info = load(checkpoint["bert"][0], labels=LABELS, output_loading_info=True)
    assert info["missing_keys"] == head
    assert "cls.predictions.bias" in info["unexpected_keys"]  # of the masked-language model
    pooler = {"backbone.pooler.dense.weight", "backbone.pooler.dense.bias"}
    _, info = load(checkpoint["bert"][0], labels=LABELS, pooling="pooler", output_loading_info=True)
    assert info["missing_keys"] == head | pooler
    model.save_pretrained(tmp_path / "saved")
    again, info = load(tmp_path / "saved", output_loading_info=True)
    assert type(again) is ProteinClassifier
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    _, info = load(tmp_path / "saved", labels=["a", "b"], output_loading_info=True)
    assert info["missing_keys"] == head
    _, info = load(bert_classifier[0], output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


@pytest.mark.parametrize("auto", [False, True])
def test_another_number_of_labels_takes_the_word_of_the_user_as_in_transformers(fresh, tmp_path, auto):
    load = (AutoModelForSequenceClassification if auto else ProteinClassifier).from_pretrained
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    with pytest.raises(RuntimeError, match="is not the classifier that its configuration says: 2 weights"):
        load(tmp_path / "saved", num_labels=5)
    other, info = load(tmp_path / "saved", num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True)
    assert {key for key, *_ in info["mismatched_keys"]} == {"head.1.weight", "head.1.bias"}
    assert other.config.labels == [f"LABEL_{index}" for index in range(5)]
    assert other.head.get_submodule("1").weight.shape == (5, 16)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(other.backbone.state_dict()[name], tensor), name


def test_what_was_fitted_to_other_labels_does_not_stay(fresh, tmp_path):
    multi = "multi_label_classification"
    fresh(problem_type=multi, thresholds=[0.1, 0.2, 0.3]).save_pretrained(tmp_path / "saved")
    load = ProteinClassifier.from_pretrained
    assert load(tmp_path / "saved").config.thresholds == [0.1, 0.2, 0.3]
    assert load(tmp_path / "saved", num_labels=2, ignore_mismatched_sizes=True).config.thresholds is None
    model = load(tmp_path / "saved", num_labels=2, ignore_mismatched_sizes=True, thresholds=[0.4, 0.5])
    assert model.config.task.thresholds == (0.4, 0.5)
    for labels in (["a", "b"], ["a", "b", "c"]):
        assert load(tmp_path / "saved", labels=labels).config.thresholds is None


def test_its_own_labels_for_another_kind_of_task_start_a_fresh_head(fresh, tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    multi = {"labels": LABELS, "problem_type": "multi_label_classification"}
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", **multi)
    assert not torch.equal(again.head.get_submodule("1").weight, model.head.get_submodule("1").weight)


def test_one_label_is_a_regression_as_in_transformers(fresh, checkpoint, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    model = ProteinClassifier.from_pretrained(tmp_path / "saved", num_labels=1, ignore_mismatched_sizes=True)
    assert model.config.problem_type == "regression"
    assert ProteinClassifier.from_pretrained(checkpoint["bert"][0], num_labels=1).config.problem_type == "regression"


@pytest.mark.parametrize("auto", [False, True])
def test_names_of_labels_and_the_problem_type_change_no_weight(fresh, proteins, pad, tmp_path, auto):
    load = (AutoModelForSequenceClassification if auto else ProteinClassifier).from_pretrained
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    names = {0: "in", 1: "out", 2: "between"}
    again = load(tmp_path / "saved", id2label=names, label2id={name: i for i, name in names.items()})
    assert again.config.labels == ["in", "out", "between"]
    assert again.config.label2id == {"in": 0, "out": 1, "between": 2}
    multi = load(tmp_path / "saved", problem_type="multi_label_classification")
    assert multi.config.task.problem_type == "multi_label_classification"
    for other in (again, multi):
        assert torch.equal(logits(other, pad(proteins)), logits(model, pad(proteins)))


def test_num_labels_or_id2label_name_the_classes_of_an_encoder_as_through_the_auto_class(checkpoint):
    folder, source = checkpoint["bert"]
    model = ProteinClassifier.from_pretrained(folder, num_labels=4)
    assert model.config.labels == ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]
    assert torch.equal(model.get_input_embeddings().weight, source["bert.embeddings.word_embeddings.weight"])
    named = ProteinClassifier.from_pretrained(folder, id2label={"0": "a", "1": "b"}, num_labels=2)
    assert (named.config.labels, named.config.label2id) == (["a", "b"], {"a": 0, "b": 1})


@pytest.mark.parametrize("fields", [{"num_labels": 2}, {"id2label": {0: "a", 1: "b", 2: "c"}}])
def test_labels_that_contradict_each_other_are_refused(checkpoint, fields):
    with pytest.raises(ValueError, match="contradict num_labels or id2label"):
        ProteinClassifier.from_pretrained(checkpoint["bert"][0], labels=LABELS, **fields)


def test_a_bert_classifier_takes_other_labels_as_its_own_class_does(bert_classifier, proteins, pad):
    folder, source = bert_classifier
    renamed = ProteinClassifier.from_pretrained(folder, id2label={0: "x", 1: "y", 2: "z"})
    assert renamed.config.labels == ["x", "y", "z"]
    assert (logits(renamed, pad(proteins)) - logits(source, pad(proteins))).abs().max() < 1e-5
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        ProteinClassifier.from_pretrained(folder, num_labels=2)
    model = ProteinClassifier.from_pretrained(folder, num_labels=2, ignore_mismatched_sizes=True)
    assert (model.num_labels, model.config.pooling) == (2, "pooler")
    assert torch.equal(model.backbone.pooler.dense.weight, source.bert.pooler.dense.weight)


@pytest.mark.parametrize("door", ["encoder", "classifier", "auto"])
def test_outputs_are_asked_for_when_loading(checkpoint, fresh, proteins, pad, tmp_path, door):
    fresh().save_pretrained(tmp_path / "saved")
    name, labels = (checkpoint["bert"][0], {"labels": LABELS}) if door == "encoder" else (tmp_path / "saved", {})
    load = (AutoModelForSequenceClassification if door == "auto" else ProteinClassifier).from_pretrained
    output = load(name, **labels, output_attentions=True, output_hidden_states=True)(**pad(proteins))
    assert len(output.hidden_states) == 3
    assert [attention.shape for attention in output.attentions] == [(3, 2, 16, 16)] * 2


def test_fields_of_the_encoder_can_be_set_when_loading(checkpoint, fresh, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    load, (folder, _) = ProteinClassifier.from_pretrained, checkpoint["bert"]
    whole = BertConfig.from_pretrained(folder, hidden_dropout_prob=0.4)
    for model in (
        load(folder, labels=LABELS, hidden_dropout_prob=0.4),
        load(folder, labels=LABELS, backbone_config={"hidden_dropout_prob": 0.4}),
        load(folder, labels=LABELS, backbone_config=whole),
        load(tmp_path / "saved", backbone_config={"hidden_dropout_prob": 0.4}),
        load(tmp_path / "saved", backbone_config=whole),
    ):
        assert model.backbone.embeddings.dropout.p == 0.4
        assert (model.config.hidden_size, model.config.labels) == (16, LABELS)


def test_a_configuration_that_was_given_stays_as_it_was(fresh, tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    config = ProteinClassifierConfig.from_pretrained(tmp_path / "saved")
    ProteinClassifier.from_pretrained(tmp_path / "saved", config=config, crop="tail", output_hidden_states=True)
    assert (config.crop, config.output_hidden_states) == ("ends", False)


def test_a_state_dict_is_taken_in_place_of_a_file_and_must_be_whole(fresh, proteins, pad):
    model = fresh()
    load, config, state = ProteinClassifier.from_pretrained, model.config, model.state_dict()
    again = load(None, config=config, state_dict=state)
    assert torch.equal(logits(again, pad(proteins)), logits(model, pad(proteins)))
    del state["head.1.bias"]
    with pytest.raises(ValueError, match="1 weights are missing or of another shape .head.1.bias"):
        load(None, config=config, state_dict=state)
    with pytest.raises(ValueError, match="give the name or the folder of a model, or a config and a state_dict"):
        load(None)


def test_auto_model_gives_the_backbone_with_its_trained_weights(fresh, proteins, pad, tmp_path):
    model = fresh(freeze_backbone=True, pooling="pooler")
    torch.nn.init.normal_(model.backbone.pooler.dense.weight)
    model.save_pretrained(tmp_path / "saved")
    backbone, info = AutoModel.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert type(backbone) is BertModel and type(backbone.config) is BertConfig
    assert not backbone.training and not info["missing_keys"]
    with torch.no_grad():
        found, expected = (bert(**pad(proteins)) for bert in (backbone, model.backbone))
    assert torch.equal(found.last_hidden_state, expected.last_hidden_state)
    assert torch.equal(found.pooler_output, expected.pooler_output)
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert type(AutoModel.from_config(model.config)) is BertModel


def test_its_own_labels_keep_the_head(fresh, proteins, pad, tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", labels=LABELS, pooling="mean")
    assert torch.equal(logits(again, pad(proteins)), logits(model, pad(proteins)))


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c"], LABELS[::-1]])
def test_other_labels_start_a_fresh_head_on_the_trained_backbone(fresh, tmp_path, log, labels):
    model = fresh(crop="tail")
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", labels=labels)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(again.backbone.state_dict()[name], tensor), name
    assert again.config.labels == labels
    assert again.config.crop == "tail"
    assert again.head.get_submodule("1").weight.shape == (len(labels), 16)
    assert not torch.equal(again.head.get_submodule("1").weight[:2], model.head.get_submodule("1").weight[:2])
    assert "starting a fresh head" in log.text


def test_labels_with_another_pooling_start_a_fresh_head_even_when_they_are_its_own(fresh, proteins, pad, tmp_path):
    model = fresh(pooling="pooler")
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", labels=LABELS, pooling="light_attention")
    assert again.config.pooling == "light_attention"
    again(**pad(proteins), labels=torch.tensor([0, 1, 2])).loss.backward()
    # the pooler that is not used any more would stop DistributedDataParallel
    assert [name for name, parameter in again.named_parameters() if parameter.grad is None] == []


def test_a_pooler_that_was_not_saved_is_not_made_up(fresh, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match="saved without its backbone's pooler"):
        ProteinClassifier.from_pretrained(tmp_path / "saved", labels=["a", "b"], pooling="pooler")


# classifiers of transformers


def test_a_bert_classifier_gives_the_logits_of_transformers_own_class(bert_classifier, proteins, pad):
    folder, source = bert_classifier
    model = ProteinClassifier.from_pretrained(folder)
    assert (logits(model, pad(proteins)) - logits(source, pad(proteins))).abs().max() < 1e-5
    assert model.config.labels == ["M", "S", "U"]
    assert (model.config.pooling, model.config.head, model.config.classifier_dropout) == ("pooler", "linear", 0.3)


def test_a_bert_classifier_is_ours_once_saved(bert_classifier, proteins, pad, tmp_path):
    folder, source = bert_classifier
    ProteinClassifier.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved")
    assert (logits(again, pad(proteins)) - logits(source, pad(proteins))).abs().max() < 1e-5
    assert again.config.labels == ["M", "S", "U"]


def test_a_bert_classifier_keeps_its_head_for_its_own_labels(bert_classifier, proteins, pad):
    folder, source = bert_classifier
    model = ProteinClassifier.from_pretrained(folder, labels=["M", "S", "U"])
    assert (logits(model, pad(proteins)) - logits(source, pad(proteins))).abs().max() < 1e-5


def test_a_bert_classifier_with_other_labels_keeps_its_backbone(bert_classifier):
    folder, source = bert_classifier
    model = ProteinClassifier.from_pretrained(folder, labels=LABELS)
    assert (model.config.labels, model.config.pooling) == (LABELS, "mean")
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, source.bert.state_dict()[name]), name


def test_a_bert_classifiers_head_cannot_follow_another_pooling(bert_classifier):
    with pytest.raises(ValueError, match="trained with pooling='pooler', not 'mean'"):
        ProteinClassifier.from_pretrained(bert_classifier[0], pooling="mean")


def test_a_head_of_another_architecture_is_refused_and_replaced_when_labels_are_named(tmp_path):
    source = EsmForSequenceClassification(pretrained("esm").config)
    source.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="EsmForSequenceClassification, whose head this package does not have"):
        ProteinClassifier.from_pretrained(tmp_path)
    model = ProteinClassifier.from_pretrained(tmp_path, labels=LABELS)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, source.esm.state_dict()[name]), name
