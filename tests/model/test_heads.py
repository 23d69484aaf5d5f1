import json
import math

import pytest
import torch

from protbert_classify import ProteinClassifierConfig
from protbert_classify.model.heads import HEADS


def build(name, classes=10, **fields):
    torch.manual_seed(0)
    return HEADS[name](ProteinClassifierConfig(head=name, num_labels=classes, **fields), 4, classes)


def test_linear_head_is_an_affine_map():
    head = build("linear").eval()
    vector = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    linear = head.get_submodule("1")
    assert torch.allclose(head(vector), vector @ linear.weight.T + linear.bias)
    assert head(1000 * vector).abs().max() > 1


def test_tanh_head_is_its_tanh():
    linear, tanh = build("linear").eval(), build("tanh").eval()
    tanh.load_state_dict(linear.state_dict())
    vector = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    assert torch.allclose(tanh(vector), linear(vector).tanh())


def test_tanh_head_cannot_be_surer_of_ten_classes_than_0_451():
    head = build("tanh").eval()
    linear = head.get_submodule("1")
    with torch.no_grad():  # as sure as it can be: one logit 1, the others -1
        linear.weight.zero_()
        linear.bias.fill_(-100)
        linear.bias[3] = 100
    top = head(torch.randn(1, 4)).softmax(-1).max().item()
    assert top == pytest.approx(math.e / (math.e + 9 / math.e), abs=1e-6)
    assert round(top, 3) == 0.451


@pytest.mark.parametrize("name, expected", [("linear", 0.5), ("tanh", 0.2)])
def test_the_tanh_heads_dropout_is_its_own_and_the_linear_heads_is_the_users(name, expected):
    assert build(name, classifier_dropout=0.5).get_submodule("0").p == expected


def test_the_former_name_of_the_tanh_head_is_read_and_not_listed(tmp_path):
    assert "tanh" in list(HEADS) and "article" not in list(HEADS)
    assert HEADS["article"] is HEADS["tanh"] and "article" in HEADS
    config = ProteinClassifierConfig(num_labels=3)
    config.head = "article"  # as an earlier version saved it
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["head"] == "article"
    assert ProteinClassifierConfig.from_pretrained(tmp_path).head == "tanh"
