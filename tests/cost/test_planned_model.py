"""A plan must be of the very model that a training would begin with."""

import json
import sys

import pytest
import torch

from protbert_classify import ProteinClassifier
from protbert_classify.cost.planned_model import planned_model, trained_length
from protbert_classify.cost.step_memory import step_memory
from protbert_classify.errors import ModelError, OptionError
from tests.conftest import TINY_SHAPE
from tests.cost.test_flops import T5, classifier


def planned(shape, max_length=128, **options):
    return planned_model(backbone_config=json.dumps(shape), max_length=max_length, **options)


def test_a_run_folder_is_planned_with_its_own_classes_and_pooling(tmp_path):
    classifier(TINY_SHAPE, pooling="light_attention").config.save_pretrained(tmp_path / "model")  # and no weights
    model = planned_model(str(tmp_path), max_length=64)
    assert (model.config.pooling, model.config.num_labels, model.max_positions) == ("light_attention", 10, 64)
    other = planned_model(str(tmp_path), max_length=64, num_labels=3, pooling="mean")
    assert (other.config.pooling, other.config.num_labels) == ("mean", 3)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_half_precision_weights_are_planned_as_training_holds_them(tmp_path):
    config = classifier(TINY_SHAPE).config.backbone_config
    config.dtype = torch.float16
    config.save_pretrained(tmp_path)
    model = planned_model(str(tmp_path), max_length=64)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_what_cannot_be_planned_is_named():
    with pytest.raises(OptionError, match="max_length=129: the backbone has 128 positions"):
        planned(TINY_SHAPE, 129)
    with pytest.raises(OptionError, match="pooling='pooler': a model of type t5 has no pooler"):
        planned(T5, pooling="pooler")
    with pytest.raises(ModelError, match="/nowhere: no such folder"):
        planned_model("/nowhere", max_length=64)


def test_a_saved_classifier_keeps_its_kernel_its_head_and_its_other_tasks(tmp_path):
    task = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}
    fields = {"head": "tanh", "light_attention_kernel_size": 3, "auxiliary_tasks": [task], "task_name": "place"}
    saved = classifier(TINY_SHAPE, pooling="light_attention", problem_type="multi_label_classification", **fields)
    saved.save_pretrained(tmp_path)
    model = planned_model(str(tmp_path), max_length=128)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in saved.state_dict().items()}
    assert type(model.head[2]) is torch.nn.Tanh and model.config.problem_type == "multi_label_classification"


def test_what_is_frozen_is_frozen_in_the_plan_too():
    parameters = planned(TINY_SHAPE, tuning="frozen").named_parameters()
    assert {name.split(".")[0] for name, parameter in parameters if parameter.requires_grad} == {"head"}


@pytest.mark.parametrize(
    ("shape", "adapter"),
    [
        (TINY_SHAPE, {"rank": 3}),
        (TINY_SHAPE, {"rank": 3, "kind": "dora", "targets": ["query", "value"]}),
        (TINY_SHAPE, {"kind": "ia3"}),
        (T5, {"rank": 3}),
    ],
    ids=["bert", "dora", "ia3", "t5"],
)
def test_an_adapter_is_planned_as_training_inserts_it(shape, adapter, tmp_path):
    trained = classifier(shape)
    trained.backbone.save_pretrained(tmp_path)
    trained.add_lora(str(tmp_path), **adapter)
    model = planned_model(str(tmp_path), max_length=128, tuning="lora", adapter=adapter)

    def learned(model):
        return {name: parameter.shape for name, parameter in model.named_parameters() if parameter.requires_grad}

    assert learned(model) == learned(trained)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_four_bits_are_planned_as_training_holds_them(tmp_path):
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    wide = {**TINY_SHAPE, "hidden_size": 128, "intermediate_size": 512}
    classifier(wide).backbone.save_pretrained(tmp_path)
    trained = ProteinClassifier.from_pretrained(str(tmp_path), labels=["a", "b"])
    trained.add_lora(str(tmp_path), rank=3, bits=4)
    options = {"max_length": 128, "num_labels": 2, "tuning": "lora"}
    whole, planned = (planned_model(str(tmp_path), **options, adapter={"rank": 3, "bits": bits}) for bits in (32, 4))
    settings = {"half_precision": True, "gradient_checkpointing": False}
    held, expected, more = (step_memory(model, 64, **settings) for model in (trained, planned, whole))
    assert held.weights == pytest.approx(expected.weights, rel=1e-3)
    assert held.weights < 0.3 * more.weights
    assert held.activations == expected.activations
    assert held.activations.transient == more.activations.transient + 4 * 128 * 512  # a weight, unpacked
    assert held.activations.peak == more.activations.peak
    assert more.activations.weight_copies < 2 * 128 * 128  # no frozen matrix has a copy in bfloat16
    assert (held.gradients, held.optimizer) == (more.gradients, more.optimizer)


@pytest.mark.parametrize("more", [{"dropout": 0.1}, {"kind": "dora"}])
def test_four_bits_need_no_copies_in_half_precision_where_peft_computes(tmp_path, more):
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    wide = {**TINY_SHAPE, "hidden_size": 128, "intermediate_size": 512}
    classifier(wide).backbone.save_pretrained(tmp_path)
    copies = {}
    for bits in (32, 4):
        model = ProteinClassifier.from_pretrained(str(tmp_path), labels=["a", "b"])
        model.add_lora(str(tmp_path), rank=3, bits=bits, **more)
        memory = step_memory(model, 64, half_precision=True, gradient_checkpointing=False)
        copies[bits] = memory.activations.weight_copies
    # the matrices through which a gradient goes: all but the first queries, keys and values
    matrices = 2 * (4 * 128 * 128 + 2 * 128 * 512) - 3 * 128 * 128
    assert (
        2 * matrices <= copies[32] - copies[4] <= 2 * (matrices + 2 * (5 * 128 + 512))
    )  # and no copies of their biases


def test_an_adapter_without_peft_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(OptionError, match=r"needs the package peft: pip install 'protbert_classify\[lora\]'"):
        planned(TINY_SHAPE, tuning="lora")


def test_a_classifier_says_how_long_its_proteins_were(tmp_path):
    classifier(TINY_SHAPE, max_sequence_length=77).save_pretrained(tmp_path / "ours")
    classifier(TINY_SHAPE).backbone.save_pretrained(tmp_path / "encoder")
    assert trained_length(str(tmp_path / "ours")) == 77
    assert trained_length(str(tmp_path / "encoder")) is None and trained_length(None) is None
