"""A pretraining from its files to its folder, and every door that the result goes through."""

import json
import subprocess
import time

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from protbert_classify import ProteinClassifier
from protbert_classify.commands import main
from protbert_classify.data.scl2205 import read_scl2205
from protbert_classify.data.tokenizer import load_tokenizer
from protbert_classify.inference.saved_encoder import load_encoder
from protbert_classify.pretraining.options import parse_pretraining_options
from protbert_classify.pretraining.run import pretrain
from protbert_classify.runs.checkpoints import newest_complete_checkpoint
from tests.pretraining.encoders import FAMILIES, save_lm
from tests.training.runs import call, command, complaints, easy_records, environment, fasta, launch, record

SHORT = ["--max_length", "64", "--num_train_epochs", "2", "--learning_rate", "0.01", "--split", "random"]
SHORT += ["--per_device_train_batch_size", "8"]
SHAPE = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SHAPE |= {"intermediate_size": 32, "max_position_embeddings": 128}


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "proteins.fasta"
    path.write_text(fasta(easy_records(40)))
    return str(path)


def arguments(data, folder, *more):
    return ["--data", data, "--output_dir", str(folder), *SHORT, "--validation", "0.2", *more]


def run(data, folder, *more):
    return pretrain(*parse_pretraining_options([*arguments(data, folder, *more), "--disable_tqdm", "true"]))


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_weights_that_were_trained_come_back_through_every_door(tmp_path, data, kind):
    source, folder = save_lm(kind, tmp_path / kind), tmp_path / "run"
    metrics = run(data, folder, "--model_name_or_path", source)
    saved = load_file(folder / "model" / "model.safetensors")
    best = load_file(f"{newest_complete_checkpoint(str(folder))}/model.safetensors")
    assert saved.keys() == best.keys()
    prefix = {"bert": "bert.", "esm": "esm.", "esmc": "esmc."}[kind]
    expected = {name.removeprefix(prefix): saved[name] for name in saved if name.startswith(prefix)}
    before = load_file(f"{source}/model.safetensors")
    assert any(not torch.equal(before[name], saved[name]) for name in saved if name in before)

    def check(backbone):
        state = backbone.state_dict()
        same = [name for name in expected if name in state and torch.equal(state[name], expected[name])]
        assert set(same) == set(state) & set(expected)
        assert [name for name in set(state) - set(expected) if "inv_freq" not in name and "_ids" not in name] == []

    model = AutoModelForMaskedLM.from_pretrained(folder / "model")
    assert {name for name in saved if not torch.equal(model.state_dict()[name], saved[name])} == set()
    check(model.base_model)
    check(ProteinClassifier.from_pretrained(folder / "model", labels=["a", "b"]).backbone)
    check(load_encoder(str(folder))[0].backbone)
    residues = "MKTAYIAKQRUZX"
    ids = load_tokenizer(source)(residues)["input_ids"]
    assert load_tokenizer(folder / "model")(residues)["input_ids"] == ids
    assert AutoTokenizer.from_pretrained(folder / "model")(residues)["input_ids"] == ids
    assert metrics["validation_loss"] > 0 and metrics["parameters"] == model.num_parameters()


def test_the_commands_take_the_result_as_an_encoder(tmp_path, data, capsys):
    folder = tmp_path / "run"
    assert main(["pretrain", *arguments(data, folder, "--backbone_config", json.dumps(SHAPE))]) == 0
    out = capsys.readouterr().out
    assert f"protbert-classify train --data LABELLED.fasta --model_name_or_path {folder}/model" in out
    assert "residue frequencies alone: loss 2." in out
    vectors = str(tmp_path / "e.parquet")
    assert main(["embed", "--model", str(folder), "--input", data, "--output", vectors]) == 0
    assert {len(vector) for vector in pq.read_table(vectors)["embedding"].to_pylist()} == {16}
    short = ["--max_length", "64", "--num_train_epochs", "1", "--learning_rate", "0", "--warmup_steps", "0"]
    train = ["train", "--data", data, "--model_name_or_path", str(folder), *short, "--split", "random"]
    assert main([*train, "--output_dir", str(tmp_path / "tuned")]) == 0
    tuned = load_file(tmp_path / "tuned" / "model" / "model.safetensors")
    pretrained = load_file(folder / "model" / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    assert torch.equal(tuned[f"backbone.{name}"], pretrained[f"bert.{name}"])
    capsys.readouterr()
    # what needs classes says what to do
    for words in (["report", "--run", str(folder)], ["compare", "--runs", str(folder), str(tmp_path / "tuned")]):
        assert main(words) == 2
        (line,) = complaints(capsys.readouterr().err)
        assert "a pretraining, which has no classes" in line and f"--model_name_or_path {folder}/model" in line
    assert main(["predict", "--model", str(folder), "--input", data, "--output", str(tmp_path / "p.csv")]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "an encoder without classes; fine-tune it first" in line


def test_the_record_says_what_it_takes_to_repeat_the_run(tmp_path, data):
    folder = tmp_path / "run"
    with open(data, "a") as file:
        file.write(f">Q1\nMK1\n>Q2\n{easy_records(1, 0)[0][1]}\n")
    metrics = run(data, folder, "--backbone_config", json.dumps(SHAPE))
    found = record(folder)
    assert found["command"] == "pretrain" and "tasks" not in found
    assert found["model_arguments"]["backbone_config"] == SHAPE
    assert (found["data_arguments"]["data"], found["training_arguments"]["mask_share"]) == ([data], 0.15)
    assert found["split_notes"] == {
        "copies": 1, "rejected": 1, "excluded": 0, "neighbours_by": None, "train_proteins": 32
    }  # fmt: skip
    assert set(found["data_fingerprint"]) == {"train", "validation"} and len(found["versions"]) > 5
    assert (folder / "rejected.csv").read_text() == (
        "file,record,id,reason\nproteins.fasta,41,Q1,'1' at position 3 is not a residue; expected letters A-Z\n"
    )
    assert {"validation_loss", "validation_perplexity", "validation_masked_accuracy", "train_loss"} <= set(metrics)
    assert json.loads((folder / "metrics.json").read_text())["rejected_records"] == 1
    assert json.loads((folder / "data.json").read_text())["max_residues"] == 62
    # all of it is replaced by the next run, and a finished one is not trained again
    assert run(data, folder, "--backbone_config", json.dumps(SHAPE), "--resume") == metrics
    good = str(tmp_path / "good.fasta")
    (tmp_path / "good.fasta").write_text(fasta(easy_records(30)))
    run(good, folder, "--backbone_config", json.dumps(SHAPE), "--overwrite")
    assert not (folder / "rejected.csv").exists()


def test_a_network_from_scratch_begins_with_weak_positions_and_with_the_mask_of_its_tokenizer(tmp_path, data):
    shape = {**SHAPE, "model_type": "esm", "position_embedding_type": "rotary", "token_dropout": True}
    run(data, tmp_path / "esm", "--backbone_config", json.dumps(shape), "--max_steps", "1")
    config = json.loads((tmp_path / "esm" / "model" / "config.json").read_text())
    assert (config["mask_token_id"], config["vocab_size"], config["architectures"]) == (4, 30, ["EsmForMaskedLM"])
    still = ["--learning_rate", "0", "--max_steps", "1"]
    run(data, tmp_path / "bert", "--backbone_config", json.dumps(SHAPE), *still)
    saved = load_file(tmp_path / "bert" / "model" / "model.safetensors")
    words, places = (saved[f"bert.embeddings.{name}_embeddings.weight"][1:] for name in ("word", "position"))
    assert float(places.std() / words.std()) == pytest.approx(0.1, abs=0.02)


def test_an_encoder_without_a_head_gets_a_new_one_and_says_so(tmp_path, data, log):
    source = tmp_path / "bare"
    AutoModelForMaskedLM.from_pretrained(save_lm("bert", source)).base_model.save_pretrained(source)
    run(data, tmp_path / "run", "--model_name_or_path", str(source), "--max_steps", "1")
    assert f"{source} has no masked-language head: it starts with random weights" in log.text


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(tmp_path, data):
    options = ["--backbone_config", json.dumps(SHAPE), "--num_train_epochs", "40", "--dataloader_num_workers", "1"]
    # each in a process of its own: another number of threads adds in another order
    assert call("pretrain", *arguments(data, tmp_path / "undisturbed", *options)).returncode == 0
    folder = tmp_path / "killed"
    words = ["pretrain", *arguments(data, folder, *options)]
    process = subprocess.Popen(command(*words), env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while newest_complete_checkpoint(str(folder)) is None:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (folder / "run.json").exists()
    assert call(*words, "--resume").returncode == 0
    expected = load_file(tmp_path / "undisturbed" / "model" / "model.safetensors")
    found = load_file(folder / "model" / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in found.items())


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, data):
    shape = json.dumps({**SHAPE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    options = ["--backbone_config", shape, "--disable_tqdm", "true"]
    alone = run(data, tmp_path / "one", *options)
    words = ["pretrain", *arguments(data, tmp_path / "two", *options)]
    words[words.index("--per_device_train_batch_size") + 1] = "4"
    done = launch("-m", "protbert_classify", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    both = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert record(tmp_path / "two")["world_size"] == 2
    for name in ("train_loss", "validation_loss", "validation_frequency_loss", "validation_masked_accuracy"):
        assert both[name] == pytest.approx(alone[name], abs=1e-3), name
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    furthest = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert furthest < 1e-3


@pytest.mark.slow
def test_real_proteins_teach_more_than_how_frequent_residues_are(tmp_path):
    proteins = read_scl2205()["train"][:1500]
    path = tmp_path / "scl2205.fasta"
    path.write_text(fasta([(protein.accession, protein.residues) for protein in proteins]))
    shape = {**SHAPE, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    options = ["--backbone_config", json.dumps(shape), "--learning_rate", "0.003", "--max_length", "128"]
    metrics = run(str(path), tmp_path / "run", *options, "--num_train_epochs", "3", "--validation", "0.1")
    assert metrics["validation_proteins"] > 100
    assert 2.8 < metrics["validation_frequency_loss"] < 2.95
    assert metrics["validation_loss"] < metrics["validation_frequency_loss"] - 0.02
