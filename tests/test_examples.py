"""The examples do what they say."""

import subprocess
import sys

import pytest

from .conftest import ROOT
from .loopback_hub import LoopbackHub
from .pretraining.encoders import save_lm
from .training.runs import easy_records, environment

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path, tiny_classifier, tokenizer):
    tiny_classifier(max_sequence_length=64).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def example(name, *arguments, **variables):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *map(str, arguments)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_predict_prints_a_line_a_protein(model, write_fasta):
    fasta = write_fasta([("P1 first", "MKTAYIAKQR"), ("P2", "MNRGVPFRHLLLVLQ")])
    rows = [line.split("\t") for line in example("predict", model, fasta).splitlines()]
    assert [row[0] for row in rows] == ["P1", "P2"]
    assert {row[1] for row in rows} <= {"Cytoplasm", "Mitochondrion", "Nucleus"}
    assert all(0 <= float(row[2]) <= 1 for row in rows)


@pytest.mark.parametrize("name", ["custom_pooling", "frozen_backbone"])
def test_the_examples_of_training_train_and_save(name, tmp_path, tiny_classifier, tokenizer, write_fasta):
    tiny_classifier().backbone.save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    data = write_fasta(easy_records())
    printed = example(name, data, tmp_path / "run", tmp_path / "encoder", HF_DATASETS_CACHE=str(tmp_path / "cache"))
    assert "eval_accuracy" in printed
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_push_to_hub_publishes_and_loads_again(model, tmp_path):
    with LoopbackHub() as hub:
        printed = example("push_to_hub", model, "me/mine", **hub.environment(tmp_path / "home"))
        assert printed.splitlines() == [
            f"published: {hub.url}/me/mine",
            "it knows: Cytoplasm, Mitochondrion, Nucleus",
        ]
        assert hub.repositories["model", "me/mine"].private


def test_pretraining_leaves_an_encoder_that_is_fine_tuned(tmp_path, write_fasta):
    source = save_lm("esm", tmp_path / "encoder")
    data, variables = write_fasta(easy_records()), {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    printed = example("pretrain_mlm", data, tmp_path / "run", source, **variables)
    assert "validation loss" in printed
    assert f"{tmp_path}/run/model: 5,013 parameters, ready" in printed
    short = ["--num_train_epochs", "1", "--max_length", "64"]
    train = ["--data", data, "--model_name_or_path", tmp_path / "run" / "model", "--output_dir", tmp_path / "tuned"]
    assert "test: 15 proteins" in example("train", *train, *short, **variables)
