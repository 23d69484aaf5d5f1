"""A pooling, head or loss of the user's own works by its name wherever names are accepted."""

import csv
import json
import subprocess

import pytest

from protbert_classify.commands import load_plugins
from protbert_classify.errors import OptionError
from tests.training.runs import TINY, command, complaints, environment

MODULE = """
import torch
from torch import nn
from protbert_classify.model.heads import HEADS
from protbert_classify.model.losses import LOSSES
from protbert_classify.model.pooling import POOLINGS

@POOLINGS.register("largest")
class Largest(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.output_size = config.hidden_size

    def forward(self, output, mask):
        hidden = output.last_hidden_state
        return hidden.masked_fill(~mask[..., None], torch.finfo(hidden.dtype).min).amax(1)

@HEADS.register("two_layers")
def two_layers(config, input_size, output_size):
    return nn.Sequential(nn.Linear(input_size, 8), nn.GELU(), nn.Linear(8, output_size))

@LOSSES.register("poly")
def poly(logits, labels, *, task, label_smoothing=0.0):
    loss = nn.functional.cross_entropy(logits, labels, reduction="none")
    return loss + 1 - torch.exp(-loss)
"""


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "my_parts.py").write_text(MODULE)
    return tmp_path


def run(plugin, *arguments):
    return subprocess.run(
        command(*arguments), cwd=plugin, env=environment(), capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_parts_of_ones_own_train_frozen_are_estimated_and_predict(plugin, easy):
    names = ["--plugins", "my_parts", "--pooling", "largest"]
    more = ["--head", "two_layers", "--loss", "poly", "--freeze_backbone", "--num_train_epochs", "2"]
    trained = run(plugin, "train", *names, *more, "--data", easy, "--output_dir", plugin / "run", *TINY)
    assert trained.returncode == 0, trained.stderr[-3000:]
    assert trained.stderr.count("embeddings of") == 2  # of training and validation proteins
    config = json.loads((plugin / "run" / "model" / "config.json").read_text())
    assert (config["pooling"], config["head"], config["loss"]) == ("largest", "two_layers", "poly")
    estimated = run(plugin, "estimate", *names, "--model", plugin / "run", "--device", "T4", "--data", easy)
    assert estimated.returncode == 0, estimated.stderr[-3000:]
    assert "parameters" in estimated.stdout
    answers = plugin / "answers.csv"
    asked = ["--model", plugin / "run", "--input", easy, "--output", answers]
    predicted = run(plugin, "predict", "--plugins", "my_parts", *asked)
    assert predicted.returncode == 0, predicted.stderr[-3000:]
    with open(answers, newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 60
    without = run(plugin, "predict", *asked, "--overwrite")
    assert without.returncode == 2
    assert "pooling='largest': expected one of mean, cls, pooler, light_attention" in complaints(without.stderr)[0]


@pytest.mark.slow
def test_the_help_of_train_names_them(plugin):
    helped = run(plugin, "train", "--plugins", "my_parts", "--help")
    assert "one of mean, cls, pooler, light_attention, largest" in " ".join(helped.stdout.split())


@pytest.mark.parametrize("arguments", [["--plugins"], ["--plugins", "--data"], ["--plugins", "no_such_module_here"]])
def test_a_plugin_that_is_not_there_is_one_line(arguments):
    with pytest.raises(OptionError, match="--plugins.*expected a module"):
        load_plugins(arguments)


def test_other_arguments_pass_through():
    assert load_plugins(["--data", "x", "--plugins", "json", "--resume"]) == ["--data", "x", "--resume"]
