import csv
import errno
import json
import os
import resource
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import EsmConfig

from protbert_classify import ProteinClassifier
from protbert_classify.commands import main
from protbert_classify.data.fingerprint import fingerprint
from protbert_classify.errors import OptionError
from protbert_classify.model.tasks import Task
from protbert_classify.runs.checkpoints import newest_complete_checkpoint
from protbert_classify.runs.finished_run import read_run
from protbert_classify.training.build_model import build_model, build_tokenizer
from protbert_classify.training.load_data import load_splits
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train
from protbert_classify.training.trainer import ProteinTrainer
from tests.training.runs import (
    LABELS,
    SHAPE,
    TINY,
    assert_same_weights,
    call,
    complaints,
    easy_records,
    fasta,
    last_state,
    record,
    run,
    weights,
)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One whole run that many tests look at: (its folder, the FASTA, what `train` returned)."""
    folder = tmp_path_factory.mktemp("finished")
    data = folder / "easy.fasta"
    data.write_text(fasta(easy_records(120, 30)))
    metrics = run(folder / "run", data, "--num_train_epochs", "6", "--logging_steps", "1")
    return folder / "run", data, metrics


def test_a_run_writes_everything_it_promises(finished):
    folder, _, metrics = finished
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith("checkpoint-")) == [
        "data.json", "figures", "metrics.json", "model", "run.json", "settings.json", "test_neighbours.csv",
        "test_predictions.csv", "trainer_state.json",
    ]  # fmt: skip
    assert sorted(os.listdir(folder / "model")) == [
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert sorted(os.listdir(folder / "figures")) == ["confusion_matrix.png", "lengths.png"]
    for picture in (folder / "figures").iterdir():
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_the_model_learns(finished):
    folder, _, metrics = finished
    state = last_state(folder)
    losses = [log["loss"] for log in state["log_history"] if "loss" in log]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert metrics["test_accuracy"] > 0.8  # a third of them are of each class
    assert metrics["test_mcc"] > 0.7


def test_test_predictions_are_in_order_and_agree_with_the_metrics(finished):
    folder, _, metrics = finished
    table = rows(folder / "test_predictions.csv")
    assert [(row["id"], row["location"]) for row in table] == [
        (f"P{index:03d}", LABELS[index % 3]) for index in range(90, 120)
    ]
    correct = [row["location"] == row["predicted"] for row in table]
    assert metrics["test_proteins"] == 30
    assert np.mean(correct) == pytest.approx(metrics["test_accuracy"])
    pairs = Counter((row["location"], row["predicted"]) for row in table)
    matrix = [[pairs[true, called] for called in LABELS] for true in LABELS]
    assert metrics["test_confusion_matrix"] == matrix
    for row in table:
        scores = {label: float(row[label]) for label in LABELS}
        assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == max(scores, key=scores.get)
        assert float(row["score"]) == max(scores.values())


def test_a_run_is_read_back_as_it_was(finished):
    folder, data, metrics = finished
    run_ = read_run(folder)
    assert run_.labels == LABELS
    assert run_.metrics == metrics
    lengths = {header.split()[0]: len(sequence) for header, sequence in easy_records(120, 30)}
    assert run_.predictions.lengths.tolist() == [lengths[accession] for accession in run_.predictions.ids]
    assert (run_.predictions.decision.best == run_.predictions.references).mean() == metrics["test_accuracy"]
    assert run_.data["max_residues"] == 62  # of 64 tokens two are special
    assert {name: len(split["lengths"]) for name, split in run_.data["splits"].items()} == {
        name: metrics[f"{name}_proteins"] for name in ("train", "validation", "test")
    }
    assert run_.data["splits"]["test"]["classes"] == dict.fromkeys(LABELS, 10)
    assert run_.data["splits"]["test"]["lengths"] == sorted(run_.predictions.lengths.tolist())
    assert run_.log == last_state(folder)["log_history"][: len(run_.log) - 1] + run_.log[-1:]  # then train_loss


def test_the_saved_model_predicts_as_the_run_did(finished, tmp_path):
    folder, data, _ = finished
    test_records = easy_records(120, 30)[90:]
    (tmp_path / "test.fasta").write_text(fasta(test_records))
    assert main(["predict", "--model", str(folder), "--input", str(tmp_path / "test.fasta"), "--precision", "float32",
                 "--output", str(tmp_path / "predictions.csv")]) == 0  # fmt: skip
    for call_row, row in zip(rows(tmp_path / "predictions.csv"), rows(folder / "test_predictions.csv"), strict=True):
        assert (call_row["id"], call_row["location"]) == (row["id"], row["predicted"])
        for label in LABELS:
            assert float(call_row[label]) == pytest.approx(float(row[label]), abs=2e-6)


def test_the_model_reloads_with_its_labels_and_only_the_positions_it_needs(finished):
    model = ProteinClassifier.from_pretrained(str(finished[0] / "model"))
    assert model.config.labels == LABELS
    assert model.max_positions == model.config.max_sequence_length == 64
    assert model.dtype == torch.float32


def test_the_best_checkpoint_is_the_model(finished):
    folder = finished[0]
    state = last_state(folder)
    assert_same_weights(folder / "model", state["best_model_checkpoint"])


def test_the_record_of_a_run_repeats_it(finished, tmp_path):
    folder, data, metrics = finished
    first = record(folder)
    assert first["data_arguments"]["data"] == str(data)
    assert first["training_arguments"]["learning_rate"] == 0.01
    assert first["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert first["world_size"] == 1
    again = run(tmp_path / "again", data, "--num_train_epochs", "6", "--logging_steps", "1")
    assert_same_weights(folder / "model", tmp_path / "again" / "model")
    timed = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    assert {k: v for k, v in again.items() if k not in timed} == {k: v for k, v in metrics.items() if k not in timed}
    assert record(tmp_path / "again")["data_fingerprint"] == first["data_fingerprint"]


@pytest.mark.parametrize("change", ["sequence", "label", "order", "accession"])
def test_the_fingerprint_changes_with_the_data(tmp_path, change):
    records = easy_records(12, 0)
    (tmp_path / "a.fasta").write_text(fasta(records))
    header, sequence = records[0]
    records[0] = {
        "sequence": (header, sequence[:-1] + ("A" if sequence[-1] != "A" else "C")),
        "label": (header.replace("Cytoplasm", "Nucleus"), sequence),
        "order": records[1],
        "accession": (header.replace("P000", "P999"), sequence),
    }[change]
    if change == "order":
        records[1] = (header, sequence)
    (tmp_path / "b.fasta").write_text(fasta(records))
    prints = []
    for name in ("a.fasta", "b.fasta", "a.fasta"):
        options = parse_options(["--data", str(tmp_path / name), "--validation", "0", "--output_dir", str(tmp_path)])
        prints.append(fingerprint(load_splits(options[1])["train"]))
    assert prints[0] == prints[2] != prints[1]


def test_a_quick_look_keeps_every_class_and_all_of_the_test_set(tmp_path, easy):
    metrics = run(tmp_path / "run", easy, "--max_train_samples", "9")
    assert metrics["train_proteins"] == 9
    assert metrics["test_proteins"] == 15
    assert list(metrics["test_per_class"]) == LABELS


def test_without_validation_or_test_proteins_nothing_breaks(tmp_path):
    data = tmp_path / "train.fasta"
    data.write_text(fasta(easy_records(30, 0)))
    metrics = run(tmp_path / "run", data, "--validation", "0")
    assert not any(name.startswith(("validation_", "test_")) for name in metrics)
    assert not (tmp_path / "run" / "test_predictions.csv").exists()
    assert os.listdir(tmp_path / "run" / "figures") == ["lengths.png"]
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_validation_and_test_proteins_may_have_files_of_their_own(tmp_path):
    names = {"train": (30, 0, 0), "validation": (9, 3, 1), "test": (12, 6, 2)}
    paths = {name: tmp_path / f"{name}.fasta" for name in names}
    for name, (count, marked, seed) in names.items():
        records = [(f"{name}{header}", sequence) for header, sequence in easy_records(count, marked, seed)]
        paths[name].write_text(fasta(records))
    metrics = run(
        *(tmp_path / "run", paths["train"]),
        *("--validation_data", str(paths["validation"]), "--test_data", str(paths["test"])),
    )
    counts = [metrics[f"{name}_proteins"] for name in names]
    assert counts == [30, 9, 12]  # all of their records, whatever their headers say


def test_freezing_trains_the_head_alone_and_changes_no_weight_of_the_backbone(tmp_path, easy):
    metrics = run(tmp_path / "run", easy, "--freeze_backbone", "--save_strategy", "steps", "--save_steps", "1",
                  "--save_total_limit", "9", "--eval_strategy", "steps", "--eval_steps", "1")  # fmt: skip
    assert metrics["trained_parameters"] == 16 * 3 + 3
    first, last = (weights(tmp_path / "run" / f"checkpoint-{step}") for step in (1, 5))
    for name, value in first.items():
        assert np.array_equal(value, last[name]) is name.startswith("backbone."), name


def test_training_goes_on_from_a_saved_classifier(tmp_path, finished, easy):
    folder = finished[0]
    arguments = ["--data", easy, "--output_dir", str(tmp_path / "again"), "--learning_rate", "0.0"]
    arguments += ["--model_name_or_path", str(folder / "model"), "--max_length", "64", "--num_train_epochs", "1"]
    metrics = train(*parse_options(arguments))
    assert_same_weights(tmp_path / "again" / "model", folder / "model")
    assert metrics["test_accuracy"] > 0.8


def test_class_weights_of_an_earlier_training_do_not_stay(tmp_path, easy):
    run(tmp_path / "first", easy, "--class_weights", "0.5", "--num_train_epochs", "1")
    again = ["--data", easy, "--max_length", "64", "--num_train_epochs", "1", "--output_dir", str(tmp_path / "again")]
    train(*parse_options([*again, "--model_name_or_path", str(tmp_path / "first" / "model")]))
    weights_of = [json.loads((tmp_path / name / "model" / "config.json").read_text()) for name in ("first", "again")]
    assert weights_of[0]["class_weights"] and not weights_of[1].get("class_weights")


def test_a_class_missing_from_the_test_file_has_null_metrics_and_a_warning(tmp_path, caplog):
    records = [row for row in easy_records() if not (row[0].endswith("test") and "Nucleus" in row[0])]
    data = tmp_path / "data.fasta"
    data.write_text(fasta(records))
    metrics = run(tmp_path / "run", data)
    assert metrics["test_per_class"]["Nucleus"] == {**dict.fromkeys(("precision", "recall", "f1", "mcc")), "support": 0}
    assert "the test split has no protein of Nucleus" in caplog.text
    assert '"precision": null' in (tmp_path / "run" / "metrics.json").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lr_scheduler_type", "cosine_with_min_lr"], "lr_scheduler_type: "),
        (["--lr_scheduler_kwargs", '{"x": 1}'], "lr_scheduler_type: "),
        (["--optim", "galore_adamw", "--optim_target_modules", "all-linear"], "optim: "),
        (["--backbone_config", json.dumps({**SHAPE, "hidden_act": "gleu"})], "backbone_config: 'gleu'"),
        (["--backbone_config", json.dumps({**SHAPE, "num_attention_heads": 0})], "backbone_config: "),
    ],
)
def test_what_transformers_cannot_build_is_one_line(tmp_path, easy, capsys, options, words):
    assert main(["train", "--data", easy, "--output_dir", str(tmp_path / "run"), *TINY, *options]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith(f"protbert-classify train: {words}")


def test_one_class_only_is_refused_with_its_name(tmp_path, capsys, write_fasta):
    data = write_fasta([(f"P{i} OS=Homo sapiens loc=Nucleus", "MKTAYIAKQR" + "A" * i) for i in range(8)])
    arguments = ["train", "--data", data, "--output_dir", str(tmp_path / "run"), *TINY]
    assert main([*arguments, "--header_pattern", r"(?P<label>\w+)"]) == 2
    assert "have one class only, 'OS'" in complaints(capsys.readouterr().err)[0]


def test_weights_that_are_no_numbers_are_not_saved_as_a_checkpoint_or_a_model(tmp_path, easy, monkeypatch):
    folder = tmp_path / "run"
    step = ProteinTrainer.training_step

    def ruined_in_step_3(self, model, *args, **kwargs):
        loss = step(self, model, *args, **kwargs)
        if self.state.global_step == 2:
            next(model.parameters()).grad.fill_(float("nan"))
        return torch.zeros_like(loss)  # nothing to be seen of it in the log

    monkeypatch.setattr(ProteinTrainer, "training_step", ruined_in_step_3)
    options = ["--validation", "0", "--eval_strategy", "no", "--save_strategy", "steps", "--save_steps", "2"]
    with pytest.raises(OptionError, match="weights are not numbers at step 4, .*; lower learning"):
        run(folder, easy, *options)
    assert [os.path.basename(path) for path in folder.glob("checkpoint-*")] == ["checkpoint-2"]
    with pytest.raises(OptionError, match="weights are not numbers at step 6"):
        run(tmp_path / "unsaved", easy, "--validation", "0", "--save_strategy", "no")
    assert not (folder / "model").exists() and not (tmp_path / "unsaved" / "model").exists()


@pytest.mark.parametrize("logging_steps", ["2", "50"])
def test_training_ends_at_the_first_loss_that_is_logged_and_no_number(tmp_path, easy, monkeypatch, logging_steps):
    step = ProteinTrainer.training_step

    def lost_in_step_3(self, *args, **kwargs):
        loss = step(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 2 else loss

    monkeypatch.setattr(ProteinTrainer, "training_step", lost_in_step_3)
    seen = {"2": 4, "50": 6}[logging_steps]  # without a line of the log, at the end
    options = ["--validation", "0", "--logging_steps", logging_steps]
    with pytest.raises(OptionError, match=rf"the loss is not a number at step {seen}, .* \(now 0.01\)"):
        run(tmp_path / "run", easy, *options)
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("strategy", ["--eval_strategy", "--save_strategy"])
def test_a_run_without_evaluations_or_checkpoints_ends_with_its_last_weights(tmp_path, easy, strategy):
    assert run(tmp_path / "run", easy, strategy, "no")["validation_proteins"] > 0
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_few_validation_proteins_that_choose_the_checkpoint_are_counted_in_a_warning(tmp_path, easy, caplog):
    caplog.set_level("INFO", logger="protbert_classify")
    (tmp_path / "one.fasta").write_text(fasta([("V1 Nucleus-U", "MKTAYIAKQR")]))
    options = ["--validation_data", str(tmp_path / "one.fasta")]
    run(tmp_path / "run", easy, *options)
    assert "proteins: train 45, validation 1, " in caplog.text
    assert caplog.text.count("1 validation protein to choose the best checkpoint by") == 1
    caplog.clear()
    run(tmp_path / "last", easy, *options, "--load_best_model_at_end", "false")
    assert "to choose the best checkpoint by" not in caplog.text


def test_an_option_without_effect_is_named_once_in_a_warning(tmp_path, easy, caplog):
    run(tmp_path / "run", easy, "--seeds", "2", "--lora_rank", "16")
    why = "lora_rank has no effect with tuning=full; expected tuning=lora"
    assert [record.levelname for record in caplog.records if record.message == why] == ["WARNING"]


def test_a_full_disk_leaves_the_last_checkpoint_usable(tmp_path, easy, capsys, monkeypatch):
    arguments = ["train", "--data", easy, "--output_dir", str(tmp_path / "run"), *TINY, "--num_train_epochs", "3"]
    save, saved = torch.save, []

    def full_after_a_while(*args, **kwargs):
        saved.append(args[1])
        if "checkpoint-10" in str(args[1]):
            raise OSError(errno.ENOSPC, "No space left on device", str(args[1]))
        return save(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_after_a_while)
        assert main(arguments) == 1
    (line,) = complaints(capsys.readouterr().err)
    assert f"{tmp_path}/run/checkpoint-10/" in line and "No space left on device; free some space" in line
    assert os.path.basename(newest_complete_checkpoint(str(tmp_path / "run"))) == "checkpoint-5"
    assert main([*arguments, "--resume"]) == 0
    assert record(tmp_path / "run")["training_arguments"]["resume"] is True


@pytest.mark.slow
def test_a_really_full_disk_is_one_line_and_exit_code_1(tmp_path, easy):
    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    shape = json.dumps({**json.loads(TINY[1]), "hidden_size": 128, "intermediate_size": 512})
    done = call(
        *("train", "--data", easy, "--output_dir", tmp_path / "run", *TINY, "--backbone_config", shape),
        preexec_fn=small_files_only,
    )
    assert done.returncode == 1, done.stderr[-3000:]
    assert len(complaints(done.stderr)) == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_t5_from_scratch_reads_protberts_tokens_and_takes_none_of_the_special_ones_for_a_residue():
    shape = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    arguments, data, _ = parse_options(["--data", "-", "--output_dir", "-", "--backbone_config", json.dumps(shape)])
    task = Task(name="location", problem_type="single_label_classification", labels=tuple(LABELS))
    model = build_model(arguments, data, (task,)).eval()
    ids = torch.tensor([build_tokenizer(arguments, data.max_length)("MKTAY")["input_ids"]])
    assert ids.shape == (1, 7) and model.config.special_tokens == [1, 1]
    with torch.no_grad():
        hidden = model.backbone(ids).last_hidden_state
        assert torch.allclose(model(ids).logits, model.head(hidden[:, 1:6].mean(1)), atol=1e-6)


def test_the_positions_of_a_network_from_scratch_begin_ten_times_weaker_than_the_residues():
    shape = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 0, "num_attention_heads": 2}
    arguments, data, _ = parse_options(["--data", "-", "--output_dir", "-", "--backbone_config", json.dumps(shape)])
    task = Task(name="location", problem_type="single_label_classification", labels=tuple(LABELS))
    embeddings = build_model(arguments, data, (task,)).backbone.embeddings
    assert embeddings.position_embeddings.weight.std().item() == pytest.approx(0.002, rel=0.05)
    assert embeddings.word_embeddings.weight[1:].std().item() == pytest.approx(0.02, rel=0.1)


def test_an_encoder_whose_positions_end_before_max_length_is_refused_before_the_data_is_read(tmp_path):
    config = EsmConfig(vocab_size=33, max_position_embeddings=66, pad_token_id=1, mask_token_id=32)
    config.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO"]))
    arguments = parse_options(["--data", "-", "--output_dir", "-", "--model_name_or_path", str(tmp_path)])[0]
    assert build_tokenizer(arguments, 64).model_max_length == 64
    with pytest.raises(OptionError, match="max_length=65: the backbone has 64 positions; expected no more"):
        build_tokenizer(arguments, 65)


@pytest.mark.parametrize("pooling", ["mean", "light_attention"])
def test_a_frozen_backbone_is_run_once_a_protein_and_the_numbers_are_those_of_the_whole_model(
    tmp_path, easy, log, pooling
):
    options = ["--freeze_backbone", "--pooling", pooling, "--classifier_dropout", "0", "--light_attention_dropout", "0"]
    # one batch holds them all: pooled embeddings have no lengths to be grouped by
    options += ["--num_train_epochs", "3", "--per_device_train_batch_size", "500"]
    kept = run(tmp_path / "kept", easy, *options)
    assert "embeddings of" in log.text
    log.clear()
    run(tmp_path / "again", easy, *options)
    assert "taken from" in log.text and "written to" not in log.text
    log.clear()
    plain = run(tmp_path / "plain", easy, *options, "--cache_embeddings", "false")
    assert "embeddings of" not in log.text
    assert kept["train_loss"] == pytest.approx(plain["train_loss"], rel=5e-3)  # float16 on disk
    assert kept["test_accuracy"] == pytest.approx(plain["test_accuracy"], abs=0.07)
    # Adam makes whole steps of gradients near 0, where float16 decides on the sign: so on average, and by the scores
    for name, value in weights(tmp_path / "kept" / "model").items():
        assert np.abs(value - weights(tmp_path / "plain" / "model")[name]).mean() < 1e-3, name
    for one, other in zip(
        rows(tmp_path / "kept" / "test_predictions.csv"), rows(tmp_path / "plain" / "test_predictions.csv"), strict=True
    ):
        assert [float(one[label]) for label in LABELS] == pytest.approx(
            [float(other[label]) for label in LABELS], abs=0.01
        )


def test_what_auto_found_holds_for_all_of_a_run(tmp_path, easy, monkeypatch):
    folder = tmp_path / "run"
    arguments = ["--data", easy, "--output_dir", str(folder), *TINY, "--tokens_per_batch", "auto"]
    monkeypatch.setattr("protbert_classify.training.trainer.default_tokens", lambda model: 512)
    train(*parse_options([*arguments, "--num_train_epochs", "1"]))
    assert json.loads((folder / "settings.json").read_text())["found_tokens_per_batch"] == 512
    monkeypatch.setattr("protbert_classify.training.trainer.default_tokens", lambda model: 1024)
    train(*parse_options([*arguments, "--num_train_epochs", "2", "--resume"]))
    assert json.loads((folder / "settings.json").read_text())["found_tokens_per_batch"] == 512
