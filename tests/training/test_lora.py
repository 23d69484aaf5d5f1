"""Training with an adapter: what moves and what does not, and that nothing else of a training changes."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, TrainingArguments, set_seed

from protbert_classify import ProteinClassifier, ProteinEnsemble, ProteinTrainer
from protbert_classify.commands import main
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import OptionError
from protbert_classify.inference.saved_classifier import load_classifier
from protbert_classify.runs.checkpoints import checkpoints

from .runs import (
    LABELS,
    ROOT,
    SHAPE,
    assert_same_weights,
    command,
    complaints,
    easy_records,
    environment,
    fasta,
    launch,
    record,
)
from .runs import weights as saved_weights
from .trainers import StopAt, arguments, raw_proteins

pytest.importorskip("peft", reason="the extra lora is not installed")

QUICK = ("--max_length", "64", "--learning_rate", "0.02", "--disable_tqdm", "true", "--split", "identical")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny pretrained BERT and its tokenizer, with more positions than training needs."""
    folder = tmp_path_factory.mktemp("pretrained") / "base"
    torch.manual_seed(0)
    shape = {name: value for name, value in SHAPE.items() if name != "model_type"}
    more = {"vocab_size": 30, "num_hidden_layers": 2, "initializer_range": 0.2, "hidden_dropout_prob": 0.0}
    BertModel(BertConfig(**{**shape, **more})).save_pretrained(folder)
    protbert_tokenizer().save_pretrained(folder)
    return folder


def train(base, data, folder, *more):
    return main(["train", *_options(base, data, folder), *map(str, more)])


def _options(base, data, folder):
    places = ("--model_name_or_path", base, "--data", data, "--output_dir", folder)
    return [*map(str, places), *QUICK, "--tuning", "lora"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "easy.fasta"
    path.write_text(fasta(easy_records(120, 30)))
    return path


@pytest.fixture(scope="module")
def trained(base, data, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train(base, data, folder, "--num_train_epochs", "3", "--lora_rank", "4", "--save_total_limit", "3") == 0
    return folder


def adapted(base, **options):
    """A classifier with a fresh adapter, the same each time."""
    set_seed(3)
    model = ProteinClassifier.from_pretrained(str(base), labels=LABELS, max_sequence_length=64)
    model.add_lora(str(base), **options)
    return model


def trainer_of(model, folder, **options):
    settings = {"calibrate": "none", "save_total_limit": 20, **options}
    plain = arguments(folder, **settings)
    return ProteinTrainer(model, plain, train_dataset=raw_proteins(60), eval_dataset=raw_proteins(30, seed=1))


def copied(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_command_trains_an_adapter_that_learns_and_saves_little(trained, base):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.6  # chance is 0.33
    assert metrics["trained_parameters"] < 0.5 * metrics["parameters"]
    assert record(trained)["model_arguments"]["lora_rank"] == 4
    saved = saved_weights(trained / "model")
    assert sum(weight.size for weight in saved.values()) == metrics["trained_parameters"]
    for checkpoint in checkpoints(str(trained)):
        assert saved_weights(checkpoint).keys() == saved.keys()
    config = json.loads((trained / "model" / "config.json").read_text())["adapter"]
    assert (config["base_model"], config["base_revision"], config["rank"]) == (str(base), None, 4)


FOUR_BITS = pytest.param(
    {"bits": 4}, marks=pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="the extra qlora is not installed")
)


@pytest.mark.parametrize("options", [{}, {"kind": "dora"}, FOUR_BITS])
def test_the_base_stays_as_it_was_to_the_bit_and_all_of_the_adapter_and_the_head_moves(base, tmp_path, options):
    model = adapted(base, **options)
    trainer = trainer_of(model, tmp_path, num_train_epochs=1, weight_decay=0.1)
    before = copied(model)
    trainer.train()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if "lora_" in name or name.startswith("head.")}


@pytest.mark.parametrize(
    "options",
    [{"packing": "on"}, {"gradient_checkpointing": True}, {"tokens_per_batch": "128"}],
    ids=["packing", "gradient_checkpointing", "tokens_per_batch"],
)
def test_however_a_step_is_computed_the_adapter_is_the_same(base, tmp_path, options):
    plain = {"optim": "sgd", "learning_rate": 0.5, "num_train_epochs": 1, "per_device_train_batch_size": 10}
    trained = []
    for name, more in (("plain", {}), ("other", options)):
        model = adapted(base)
        model.head[0].p = 0.0
        before = copied(model)
        trainer = trainer_of(model, tmp_path / name, **plain, **more)
        trainer.train()
        assert trainer.packed == ("packing" in more)
        trained.append(model.state_dict())
    for name, tensor in trained[0].items():
        torch.testing.assert_close(trained[1][name], tensor, atol=2e-5, rtol=1e-4)
        if "lora_B" in name:
            assert (tensor - before[name]).abs().max() > 1e-3, name


@pytest.mark.parametrize("options", [{}, FOUR_BITS])
def test_a_stopped_and_resumed_training_ends_with_the_same_weights(base, tmp_path, options):
    whole = trainer_of(adapted(base, **options), tmp_path / "whole")
    whole.train()
    whole.save_model(str(tmp_path / "whole" / "final"))
    stopped = trainer_of(adapted(base, **options), tmp_path / "stopped")
    stopped.add_callback(StopAt(10))
    stopped.train()
    resumed = trainer_of(adapted(base, **options), tmp_path / "stopped", resume=True)
    before = copied(resumed.model)
    resumed.train()
    resumed.save_model(str(tmp_path / "stopped" / "final"))
    assert resumed.state.global_step == whole.state.global_step > 10
    assert_same_weights(tmp_path / "whole" / "final", tmp_path / "stopped" / "final")
    assert all(torch.equal(resumed.model.state_dict()[name], before[name]) for name in before if "base_layer" in name)


def test_the_command_trains_in_four_bits_and_predicts_as_it_was_tested(base, data, tmp_path):
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    folder = tmp_path / "run"
    assert train(base, data, folder, "--num_train_epochs", "3", "--lora_bits", "4", "--calibrate", "none") == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.6  # chance is 0.33
    assert json.loads((folder / "model" / "config.json").read_text())["adapter"]["bits"] == 4
    assert metrics["parameters"] == sum(p.numel() for p in load_classifier(str(folder))[0].parameters()) + sum(
        weight.size for name, weight in saved_weights(folder / "model").items() if "lora_" in name
    )
    found = tmp_path / "found.csv"
    assert main(["predict", "--model", str(folder), "--input", str(data), "--output", str(found)]) == 0
    tested, predicted = (read_scores(path) for path in (folder / "test_predictions.csv", found))
    assert len(tested) == 30
    for name, scores in tested.items():
        np.testing.assert_allclose(predicted[name], scores, atol=1e-4)


def read_scores(path):
    """Accession -> the scores of the classes, in the order of their names."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted(name for name in rows[0] if name in LABELS or name.removeprefix("score_") in LABELS)
    return {row["id"]: [float(row[name]) for name in names] for row in rows}


@pytest.mark.slow
def test_the_command_killed_and_resumed_ends_with_the_same_weights(base, data, tmp_path):
    options = ("--num_train_epochs", "12", "--save_total_limit", "20", "--lora_dropout", "0.1")
    assert train(base, data, tmp_path / "whole", *options) == 0
    arguments = command("train", *_options(base, data, tmp_path / "killed"), *options)
    with subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 120
        while len(checkpoints(str(tmp_path / "killed"))) < 2:
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
    assert not (tmp_path / "killed" / "run.json").exists()
    assert train(base, data, tmp_path / "killed", *options, "--resume", "true") == 0
    assert_same_weights(tmp_path / "whole" / "model", tmp_path / "killed" / "model")


@pytest.mark.slow
def test_two_processes_train_the_adapter_that_one_trains(base, data, tmp_path):
    options = ("--max_steps", "9", "--optim", "sgd", "--learning_rate", "0.5", "--classifier_dropout", "0")
    # the same proteins in a step, and no last, smaller one
    options += ("--train_sampling_strategy", "sequential", "--eval_strategy", "no", "--save_strategy", "no")
    two = [*_options(base, data, tmp_path / "two"), *options, "--per_device_train_batch_size", "4"]
    done = launch(ROOT / "examples" / "train.py", *two)
    assert done.returncode == 0, done.stderr[-3000:]
    assert record(tmp_path / "two")["world_size"] == 2
    assert train(base, data, tmp_path / "one", *options, "--per_device_train_batch_size", "8") == 0
    one, two = (saved_weights(tmp_path / name / "model") for name in ("one", "two"))
    assert one.keys() == two.keys() and max(np.abs(one[name]).max() for name in one if "lora_B" in name) > 0.01
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-4, err_msg=name)


def test_the_best_checkpoint_is_the_model_though_it_has_no_base_weights(base, tmp_path, monkeypatch):
    trainer = trainer_of(adapted(base), tmp_path, num_train_epochs=2, metric_for_best_model="loss")
    evaluate = trainer.evaluate

    def worse_each_time(*args, **kwargs):
        metrics = evaluate(*args, **kwargs)
        metrics["eval_loss"] = trainer.state.epoch
        return metrics

    monkeypatch.setattr(trainer, "evaluate", worse_each_time)
    before = copied(trainer.model)
    trainer.train()
    first, last = checkpoints(str(tmp_path))
    after = trainer.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if "lora_" not in name and "head" not in name)
    best, other = saved_weights(first), saved_weights(last)
    assert any((best[name] != other[name]).any() for name in best)
    assert all(torch.equal(after[name], torch.from_numpy(weight)) for name, weight in best.items())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--lora_rank", "8"), "resume: lora_rank was 4 when the run in .* began and is 8;"),
        (("--lora_targets", "query"), "resume: lora_targets was .*'dense'.* began and is \\['query'\\];"),
        (("--tuning", "full"), "resume: tuning was lora when the run in .* began and is full"),
        (("--tuning", "frozen"), "resume: tuning was lora when .*freeze_backbone"),
    ],
)
def test_another_adapter_on_resume_is_one_line(base, data, trained, tmp_path, capsys, more, words):
    shutil.copytree(trained, tmp_path / "run")
    again = ("--num_train_epochs", "4", "--lora_rank", "4", "--save_total_limit", "3", "--resume", "true", *more)
    assert train(base, data, tmp_path / "run", *again) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert re.search(words, line), line


def test_a_base_model_with_other_weights_is_not_resumed_on(base, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    trainer_of(adapted(tmp_path / "base"), tmp_path / "run", num_train_epochs=1).train()
    torch.manual_seed(5)
    BertModel(BertConfig.from_pretrained(base)).save_pretrained(tmp_path / "base")
    other = trainer_of(adapted(tmp_path / "base"), tmp_path / "run", resume=True, num_train_epochs=2)
    with pytest.raises(OptionError, match="resume: weights of the base model was"):
        other.train()


def test_an_ensemble_of_adapters_needs_neither_of_them_nor_the_base_model(base, data, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    folder = tmp_path / "run"
    assert train(tmp_path / "base", data, folder, "--num_train_epochs", "1", "--seeds", "2") == 0
    each = [load_classifier(folder / f"seed-{number}", "cpu")[0] for number in range(2)]
    for name in ("base", "run/seed-0", "run/seed-1"):
        shutil.rmtree(tmp_path / name)
    model, tokenizer = load_classifier(folder, "cpu")
    assert isinstance(model, ProteinEnsemble) and len(model.members) == 2
    batch = tokenizer(["MKTAYIAKQR", "MKKRRKKRDD"], padding=True, return_tensors="pt")
    with torch.no_grad():
        for member, alone in zip(model.members, each, strict=True):
            torch.testing.assert_close(member(**batch).logits, alone(**batch).logits, atol=1e-5, rtol=0)
        assert not torch.allclose(each[0](**batch).logits, each[1](**batch).logits, atol=1e-3)
    (tmp_path / "some.fasta").write_text(">P1\nMKTAYIAKQR\n")
    asked = ("--model", folder, "--input", tmp_path / "some.fasta", "--output", tmp_path / "found.csv")
    assert main(["predict", *map(str, asked)]) == 0


@pytest.mark.parametrize("tuning", ["lora", "full", "frozen"])
def test_training_goes_on_from_an_adapter_which_becomes_part_of_the_base(base, data, trained, tmp_path, tuning):
    former = ProteinClassifier.from_pretrained(trained / "model").merge_adapter()
    more = ("--num_train_epochs", "1", "--tuning", tuning, "--learning_rate", "1e-9", "--calibrate", "none")
    assert train(trained, data, tmp_path / "run", *more) == 0
    model = ProteinClassifier.from_pretrained(tmp_path / "run" / "model")
    assert (model.config.adapter is not None) == (tuning == "lora")
    expected = former.backbone.state_dict()
    for name, tensor in model.merge_adapter().backbone.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=0)


def test_all_ways_to_freeze_say_the_same(base, data, tmp_path):
    epochs = ("--num_train_epochs", "1")
    assert train(base, data, tmp_path / "tuning", *epochs, "--tuning", "frozen") == 0
    assert train(base, data, tmp_path / "option", *epochs, "--tuning", "full", "--freeze_backbone", "true") == 0
    assert_same_weights(tmp_path / "tuning" / "model", tmp_path / "option" / "model")
    assert record(tmp_path / "option")["model_arguments"]["tuning"] == "frozen"
    again = ("--tuning", "frozen", "--freeze_backbone", "true", "--resume", "true")
    assert train(base, data, tmp_path / "option", *epochs, *again) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--lora_targets", "query", "querry"), "lora_targets=querry: a model of type bert has no such linear layers"),
        (("--lora_targets", "query,value"), "lora_targets=query,value: separate the names with spaces"),
        (("--lora_rank", "0"), "lora_rank=0: expected 1 or more"),
        (("--lora_dropout", "1"), "lora_dropout=1.0: expected"),
        (("--lora_kind", "lola"), "lora_kind='lola': expected one of lora, dora"),
        (("--lora_bits", "8"), "lora_bits='8': expected one of 4, 32"),
        (("--lora_bits", "4", "--tuning", "full"), "lora_bits=4 and tuning=full: expected tuning=lora"),
        (("--lora_bits", "4", "--lora_kind", "ia3"), "lora_bits=4: expected lora_kind lora or dora, found ia3"),
        (("--tuning", "some"), "tuning='some': expected one of full, lora, frozen"),
        (("--freeze_backbone", "true"), "tuning=lora and freeze_backbone exclude each other: one trains an adapter"),
        (("--freeze_layers", "1"), "tuning=lora and freeze_layers exclude each other: an adapter trains in all layers"),
    ],
)
def test_a_bad_option_is_one_line_and_nothing_is_written(base, data, tmp_path, capsys, more, words):
    assert train(base, data, tmp_path / "run", *more) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert words in line
    assert not (tmp_path / "run").exists() or os.listdir(tmp_path / "run") == []


def test_a_target_that_the_model_does_not_have_is_found_before_any_protein_is_read(base, tmp_path, capsys):
    data = tmp_path / "proteins.fasta"
    data.write_text("not a FASTA file\n")
    assert train(base, data, tmp_path / "run", "--lora_targets", "querry") == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "lora_targets=querry: a model of type bert has no such linear layers" in line


def test_a_network_from_scratch_has_no_adapter(data, tmp_path, capsys):
    places = ("--backbone_config", json.dumps(SHAPE), "--data", str(data), "--output_dir", str(tmp_path / "run"))
    assert main(["train", *places, *QUICK, "--tuning", "lora"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "tuning=lora and backbone_config exclude each other: an adapter needs a pretrained backbone" in line


def test_without_peft_one_line_says_how_to_install_it(base, data, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert train(base, data, tmp_path / "run") == 2
    (tmp_path / "some.fasta").write_text(">P1\nMKTAYIAKQR\n")
    asked = ("--model", trained, "--input", tmp_path / "some.fasta", "--output", tmp_path / "found.csv")
    assert main(["predict", *map(str, asked)]) == 2
    for line in complaints(capsys.readouterr().err):
        assert line.endswith("needs the package peft: pip install 'protbert_classify[lora]'")
    assert not (tmp_path / "run").exists() and not (tmp_path / "found.csv").exists()


def test_without_bitsandbytes_four_bits_are_refused_before_any_work(base, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert train(base, tmp_path / "nowhere.fasta", tmp_path / "run", "--lora_bits", "4") == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.endswith("needs the package bitsandbytes: pip install 'protbert_classify[qlora]'")


def test_four_bits_are_refused_where_weights_are_sharded_or_copied(base, tmp_path, monkeypatch):
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    trainer = trainer_of(adapted(base, bits=4), tmp_path)
    trainer.is_fsdp_enabled = True
    with pytest.raises(OptionError, match="lora_bits=4: FSDP cannot shard such weights"):
        trainer._check_four_bits()
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda _: 2))
    with pytest.raises(OptionError, match="lora_bits=4: expected one GPU, or accelerate launch"):
        trainer_of(adapted(base, bits=4), tmp_path)
    trainer_of(adapted(base), tmp_path)


def test_an_ensemble_as_the_start_is_refused(base, data, tmp_path, capsys, tiny_classifier):
    ensemble = ProteinEnsemble.from_members([tiny_classifier(seed=seed) for seed in range(2)])
    ensemble.save_pretrained(tmp_path / "ensemble")
    protbert_tokenizer().save_pretrained(tmp_path / "ensemble")
    assert train(tmp_path / "ensemble", data, tmp_path / "run") == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "ensemble" in line and "member" in line


@pytest.mark.parametrize(("change", "words"), [("gone", "cannot be loaded"), ("other", "is not the base model")])
def test_a_base_model_that_is_gone_or_another_is_one_line(base, data, tmp_path, capsys, change, words):
    shutil.copytree(base, tmp_path / "base")
    assert train(tmp_path / "base", data, tmp_path / "run", "--num_train_epochs", "1") == 0
    shutil.rmtree(tmp_path / "base")
    if change == "other":
        torch.manual_seed(5)
        BertModel(BertConfig.from_pretrained(base)).save_pretrained(tmp_path / "base")
    capsys.readouterr()
    (tmp_path / "some.fasta").write_text(">P1\nMKTAYIAKQR\n")
    asked = ("--model", tmp_path / "run", "--input", tmp_path / "some.fasta", "--output", tmp_path / "found.csv")
    assert main(["predict", *map(str, asked)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert words in line and str(tmp_path / "base") in line
    assert not (tmp_path / "found.csv").exists()
