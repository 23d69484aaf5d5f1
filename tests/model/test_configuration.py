import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.model.configuration import PROTBERT_SHAPE


def test_without_arguments_it_is_protbert():
    backbone = ProteinClassifierConfig().backbone_config
    assert backbone.model_type == "bert"
    assert {name: getattr(backbone, name) for name in PROTBERT_SHAPE} == PROTBERT_SHAPE


def test_every_field_survives_a_save(tmp_path, tiny_shape):
    fields = {
        "pooling": "light_attention",
        "head": "tanh",
        "classifier_dropout": 0.3,
        "light_attention_kernel_size": 5,
        "light_attention_layers": 2,
        "light_attention_dropout": 0.4,
        "freeze_backbone": True,
        "freeze_layers": 1,
        "max_sequence_length": 100,
        "crop": "tail",
        "task_name": "compartment",
        "loss": "binary_cross_entropy",
        "thresholds": [0.25, 0.75],
        "target_mean": None,
        "calibration_temperature": [1.5, 0.75],
        "calibration_bias": [0.25, -0.5],
        "auxiliary_tasks": [
            {
                "name": "membrane",
                "problem_type": "single_label_classification",
                "labels": ["M", "S"],
                "weight": 0.5,
                "unknown": ["U"],
                "validation_scores": [[0.25, 0.75], []],
            }
        ],
        "special_tokens": [1, 1],
        "problem_type": "multi_label_classification",
    }
    ProteinClassifierConfig(tiny_shape, **fields).save_pretrained(tmp_path)
    again = ProteinClassifierConfig.from_pretrained(tmp_path)
    assert {name: getattr(again, name) for name in fields} == fields
    assert again.backbone_config.hidden_size == 32
    assert again.format_version == ProteinClassifierConfig.FORMAT_VERSION == 4
    assert [task.name for task in again.tasks] == ["compartment", "membrane"]


def test_labels_keep_their_order(tmp_path):
    labels = ["Nucleus", "Cytoplasm", "Lysosome/Vacuole", *map(str, range(9))]  # more than 9: "10" sorts before "2"
    config = ProteinClassifierConfig(
        id2label=dict(enumerate(labels)), label2id={label: index for index, label in enumerate(labels)}
    )
    config.save_pretrained(tmp_path)
    again = ProteinClassifierConfig.from_pretrained(tmp_path)
    assert config.labels == again.labels == labels
    assert again.num_labels == 12
    assert again.label2id["Lysosome/Vacuole"] == 2


def test_a_saved_configuration_asks_for_no_code(tmp_path, tiny_shape):
    ProteinClassifierConfig(tiny_shape).save_pretrained(tmp_path)
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())


def test_auto_config_knows_it_once_the_model_is_imported(tmp_path, tiny_shape):
    from transformers import AutoConfig

    ProteinClassifierConfig(tiny_shape).save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is ProteinClassifierConfig


def test_the_backbones_padding_and_vocabulary_are_those_of_the_whole(tiny_shape):
    config = ProteinClassifierConfig(tiny_shape | {"pad_token_id": 7})
    assert config.pad_token_id == 7
    assert config.get_text_config() is config.backbone_config
    assert config.hidden_size == 32
    assert config.problem_type == "single_label_classification"


SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")


def test_sizes_of_the_backbone_are_those_of_the_whole(tmp_path, tiny_shape):
    config = ProteinClassifierConfig(tiny_shape)
    assert {name: getattr(config, name) for name in SIZES} == {name: tiny_shape[name] for name in SIZES}
    config.vocab_size = 41
    assert config.backbone_config.vocab_size == 41
    config.save_pretrained(tmp_path)
    assert not set(SIZES) & json.loads((tmp_path / "config.json").read_text()).keys()
    assert ProteinClassifierConfig.from_pretrained(tmp_path).vocab_size == 41
    assert ProteinClassifierConfig.from_pretrained(tmp_path, vocab_size=42).backbone_config.vocab_size == 42


def test_sizes_that_are_given_take_effect_and_leave_the_callers_configuration(tiny_shape):
    backbone = BertConfig(**{name: value for name, value in tiny_shape.items() if name != "model_type"})
    config = ProteinClassifierConfig(backbone, vocab_size=64, num_hidden_layers=1, freeze_layers=1)
    assert ProteinClassifier(config).get_input_embeddings().weight.shape == (64, 32)
    assert config.backbone_config.num_hidden_layers == 1
    assert (backbone.vocab_size, backbone.num_hidden_layers) == (30, 2)
    assert ProteinClassifierConfig(backbone).backbone_config is backbone


def test_a_size_that_the_backbone_has_not_is_no_attribute_and_cannot_be_set():
    t5 = {"model_type": "t5", "vocab_size": 30, "d_model": 16, "num_layers": 2, "num_heads": 2}
    config = ProteinClassifierConfig(t5)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (16, 2, 2)
    assert not hasattr(config, "max_position_embeddings")
    with pytest.raises(ValueError, match="max_position_embeddings=9: a t5 has no max_position_embeddings"):
        ProteinClassifierConfig(t5, max_position_embeddings=9)


def test_one_mean_and_deviation_can_stand_for_all_targets(tmp_path, tiny_shape):
    config = ProteinClassifierConfig(tiny_shape, num_labels=2, problem_type="regression", target_mean=3, target_std=0.5)
    config.save_pretrained(tmp_path)
    task = ProteinClassifierConfig.from_pretrained(tmp_path).task
    assert (task.mean, task.std) == ((3, 3), (0.5, 0.5))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"pooling": "median"}, "pooling='median': expected one of mean, cls, pooler, light_attention"),
        ({"head": "deep"}, "head='deep': expected one of linear, tanh"),
        ({"crop": "middle"}, "crop='middle': expected one of ends, head, tail"),
        ({"light_attention_kernel_size": 4}, "light_attention_kernel_size=4: expected an odd number"),
        ({"light_attention_layers": -1}, "light_attention_layers=-1: expected 0 or more"),
        ({"freeze_layers": 3}, "freeze_layers=3: expected 0 to 2"),
        ({"freeze_layers": -1}, "freeze_layers=-1: expected 0 to 2"),
        (
            {"problem_type": "nonsense"},
            "problem_type='nonsense': expected one of single_label_classification, multi_label_classification, "
            "regression",
        ),
        (
            {"loss": "hinge"},
            "loss='hinge': expected one of cross_entropy, compensated, focal, logit_adjusted, binary_cross",
        ),
        ({"thresholds": [0.5], "num_labels": 3}, r"thresholds=\[0.5\]: expected 3 finite numbers"),
        ({"auxiliary_tasks": [{"name": "a", "labels": ["x"], "kind": 1}]}, "auxiliary task"),
        ({"validation_scores": [[0.5]], "num_labels": 2}, "validation_scores: expected 2 lists of numbers from 0 to 1"),
        ({"validation_scores": [[0.5], [1.5]], "num_labels": 2}, "validation_scores: expected 2 lists"),
        (
            {"validation_scores": [[0.5]], "num_labels": 1},
            "validation_scores are for single_label_classification, not regression",
        ),
        (
            {"auxiliary_tasks": [{"name": "location", "problem_type": "regression", "labels": ["x"]}]},
            "tasks location, location: expected each name once",
        ),
    ],
)
def test_a_field_that_cannot_be_is_refused_with_what_was_expected(tiny_shape, fields, message):
    with pytest.raises(ValueError, match=message):
        ProteinClassifierConfig(tiny_shape, **fields)


@pytest.mark.parametrize("labels, problem_type", [(1, "regression"), (2, "single_label_classification")])
def test_without_a_problem_type_the_number_of_labels_decides_as_in_transformers(tiny_shape, labels, problem_type):
    assert ProteinClassifierConfig(tiny_shape, num_labels=labels).problem_type == problem_type


def test_a_model_of_a_newer_format_is_refused_instead_of_misread(tmp_path, tiny_shape):
    ProteinClassifierConfig(tiny_shape).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 5}))
    with pytest.raises(ValueError, match="format version 5, this package reads up to 4: upgrade protbert_classify"):
        ProteinClassifierConfig.from_pretrained(tmp_path)


def test_a_checkpoint_of_version_1_loads_unchanged():
    folder = Path(__file__).parent / "version_1"
    expected = json.loads((folder / "expected.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = ProteinClassifier.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(**tokenizer(expected["sequence"], return_tensors="pt")).logits[0]
    assert logits.tolist() == pytest.approx(expected["logits"], abs=1e-6)
    assert model.config.task.name == "location"
    assert model.config.task.labels == ("Cytoplasm", "Nucleus", "Plastid")
    assert model.config.auxiliary == ()
    assert (model.config.calibration_temperature, model.config.calibration_bias) == (1.0, None)
    assert model.config.validation_scores is None


@pytest.mark.parametrize("version", [2, 3])
def test_a_configuration_of_an_earlier_version_has_no_validation_scores_and_is_saved_as_one_of_today(
    tmp_path, tiny_shape, version
):
    ProteinClassifierConfig(tiny_shape).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text()) | {"format_version": version}
    del saved["validation_scores"]
    path.write_text(json.dumps(saved))
    config = ProteinClassifierConfig.from_pretrained(tmp_path)
    assert config.validation_scores is None and config.task.validation_scores is None
    config.save_pretrained(tmp_path)
    assert json.loads(path.read_text())["format_version"] == 4


def test_validation_scores_survive_a_save_as_numbers_of_five_digits(tmp_path, tiny_shape):
    kept = [[0.00001, 0.12345, 0.99999], [], [1.0]]
    ProteinClassifierConfig(tiny_shape, num_labels=3, validation_scores=kept).save_pretrained(tmp_path)
    again = ProteinClassifierConfig.from_pretrained(tmp_path)
    assert again.validation_scores == kept
    assert again.task.validation_scores == ((0.00001, 0.12345, 0.99999), (), (1.0,))
    assert again.task.to_dict()["validation_scores"] == kept
