"""The calibration that a training ends with: what it is fitted to, and what it must not change."""

import json

import numpy as np
import pytest
import torch
from datasets import ClassLabel
from transformers import TrainingArguments

from protbert_classify import ProteinClassifier, ProteinTrainer
from protbert_classify.commands import main
from protbert_classify.evaluation.decision import decide
from protbert_classify.evaluation.metrics import classification_metrics
from protbert_classify.evaluation.prediction_sets import SET_METRICS
from protbert_classify.evaluation.temperature import fit_temperature, fit_vector
from protbert_classify.tasks.columns import infer_task
from protbert_classify.training.validation_fits import held_out
from tests.training.child import build_trainer
from tests.training.runs import TINY, assert_same_weights, easy_records, encoded_proteins, fasta, two_processes
from tests.training.test_trainer import arguments, raw_proteins, small_model

CHOOSING = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True, "num_train_epochs": 2}


def raw_logits(trainer):
    """Validation logits of the trained weights as the head gives them."""
    config = trainer.model.config
    before = config.calibration_temperature, config.calibration_bias
    config.calibration_temperature, config.calibration_bias = 1.0, None
    logits = trainer.predict(trainer.eval_dataset).predictions
    config.calibration_temperature, config.calibration_bias = before
    return logits


def labels(trainer):
    return np.asarray(trainer.eval_dataset["labels"])


def test_of_few_validation_proteins_none_are_kept_aside_of_many_a_fifth_at_random():
    assert held_out(499).sum() == 0
    found = held_out(503)
    assert (len(found), found.sum()) == (503, 100)
    assert 0 < found[:250].sum() < 100
    assert np.array_equal(held_out(503), found)  # in all members of an ensemble


@pytest.mark.parametrize(("method", "fit"), [("temperature", fit_temperature), ("vector", fit_vector)])
def test_a_training_ends_with_scores_that_are_calibrated_on_the_validation_proteins(tmp_path, log, method, fit):
    trainer = build_trainer(str(tmp_path), validation=80, calibrate=method, **CHOOSING)
    trainer.train()
    raw, config = raw_logits(trainer), trainer.model.config
    expected = fit(raw, labels(trainer), config.task)
    assert config.calibration_temperature == pytest.approx(expected.temperature, rel=1e-6)
    assert config.calibration_temperature != 1
    assert config.calibration_bias == (pytest.approx(expected.bias, abs=1e-6) if expected.bias else None)
    record = trainer.calibration["location"]
    assert (record["method"], record["proteins"], record["held_out"]) == (method, 80, False)
    calibrated = raw / np.array(expected.temperature) + np.array(expected.bias or 0)
    assert trainer.validation_logits() == pytest.approx(calibrated, abs=1e-5)
    assert trainer.predict(trainer.eval_dataset).predictions == pytest.approx(calibrated, abs=1e-5)
    assert "scores of location are calibrated: temperature" in log.text
    few = "calibrate=vector fits two numbers for each class to 80 validation proteins; expected 1,000 or more"
    assert (few in log.text) == (method == "vector")
    assert "fitted to 80 validation proteins, which may also have chosen the checkpoint; ECE " in log.text
    trainer.save_model(str(tmp_path / "saved"))
    again = ProteinClassifier.from_pretrained(tmp_path / "saved").config
    assert again.calibration_temperature == config.calibration_temperature


def true_class_scores_of(trainer, rows=slice(None)):
    """By hand: the scores of the true classes of the validation proteins, rounded down to five decimals."""
    raw, true = raw_logits(trainer)[rows], labels(trainer)[rows]
    scores = (
        torch.from_numpy(raw / np.float32(trainer.model.config.calibration_temperature)).double().softmax(-1).numpy()
    )
    return [sorted(scores[true == index, index]) for index in range(trainer.model.config.num_labels)]


def test_a_training_keeps_the_scores_of_the_true_classes_for_prediction_sets(tmp_path, log):
    trainer = build_trainer(str(tmp_path), validation=80, **CHOOSING)
    trainer.train()
    kept = trainer.model.config.validation_scores
    expected = true_class_scores_of(trainer)
    assert [len(scores) for scores in kept] == [len(scores) for scores in expected] and sum(map(len, kept)) == 80
    for own, by_hand in zip(kept, expected, strict=True):
        assert own == pytest.approx([score - 5e-6 for score in by_hand], abs=6e-6)
        assert own == sorted(own) == [round(score, 5) for score in own]
    assert trainer.prediction_sets == {"location": {"proteins": 80, "held_out": False}}
    line = "prediction sets of location are made from the scores of 80 validation proteins, which may also have chosen"
    assert line in log.text
    trainer.save_model(str(tmp_path / "saved"))
    assert ProteinClassifier.from_pretrained(tmp_path / "saved").config.validation_scores == kept
    for checkpoint in (tmp_path / "run").glob("checkpoint-*"):
        assert json.loads((checkpoint / "config.json").read_text())["validation_scores"] is None


def test_of_many_validation_proteins_only_those_kept_aside_make_prediction_sets(tmp_path, log):
    trainer = build_trainer(str(tmp_path), validation=500, **CHOOSING)
    trainer.train()
    aside, kept = held_out(500), trainer.model.config.validation_scores
    for own, by_hand in zip(kept, true_class_scores_of(trainer, aside), strict=True):
        assert own == pytest.approx([score - 5e-6 for score in by_hand], abs=6e-6)
    assert trainer.prediction_sets == {"location": {"proteins": 100, "held_out": True}}
    assert "from the scores of 100 validation proteins that did not choose the checkpoint" in log.text
    decision = decide(trainer.predict(trainer.eval_dataset).predictions, trainer.model.config)
    coverage = decision[aside].sets(0.1)[np.arange(100), labels(trainer)[aside]].mean()
    assert 0.9 <= coverage <= 0.93  # of the proteins themselves, 91 of 100 by construction, if there are no ties


def test_training_and_the_choice_of_the_checkpoint_do_not_know_of_the_calibration(tmp_path):
    histories = {}
    for method in ("temperature", "none"):
        trainer = build_trainer(str(tmp_path / method), validation=80, calibrate=method, **CHOOSING)
        trainer.train()
        entries = trainer.state.log_history
        timed = ("_runtime", "_per_second")
        histories[method] = [{n: v for n, v in entry.items() if not n.endswith(timed)} for entry in entries]
        trainer.save_model(str(tmp_path / method / "final"))
        for checkpoint in (tmp_path / method / "run").glob("checkpoint-*"):
            assert json.loads((checkpoint / "config.json").read_text())["calibration_temperature"] == 1
    assert histories["temperature"] == histories["none"]
    assert_same_weights(tmp_path / "temperature" / "final", tmp_path / "none" / "final")
    assert trainer.calibration == {} and not trainer.model.config.task.is_calibrated
    assert trainer.prediction_sets == {} and trainer.model.config.validation_scores is None


def test_proteins_that_fit_the_calibration_do_not_choose_the_checkpoint(tmp_path):
    trainer = build_trainer(str(tmp_path), validation=500, **CHOOSING)
    trainer.train()
    aside, raw, true = held_out(500), raw_logits(trainer), labels(trainer)
    best = next(e for e in trainer.state.log_history if e["step"] == trainer.state.best_global_step and "eval_mcc" in e)
    chosen_by = classification_metrics(raw[~aside].argmax(1), true[~aside], trainer.model.config.labels)
    assert best["eval_accuracy"] == pytest.approx(chosen_by["accuracy"])
    assert best["eval_accuracy"] != pytest.approx((raw.argmax(1) == true).mean())
    record = trainer.calibration["location"]
    assert (record["proteins"], record["held_out"]) == (100, True)
    assert record["temperature"] == pytest.approx(
        fit_temperature(raw[aside], true[aside], trainer.model.config.task).temperature, rel=1e-6
    )
    # measured afterwards, all of them count
    assert trainer.evaluate()["eval_accuracy"] == pytest.approx((raw.argmax(1) == true).mean())


@pytest.mark.parametrize("change", [{"load_best_model_at_end": False}, {"own_metrics": True}], ids=["last", "own"])
def test_without_a_choice_of_ours_all_validation_proteins_fit_the_calibration(tmp_path, change):
    options = {**CHOOSING, "num_train_epochs": 1, **change}
    own = options.pop("own_metrics", False)
    trainer = build_trainer(str(tmp_path), validation=500, **options, metric_for_best_model="loss")
    seen = []
    if own:
        trainer.compute_metrics = lambda prediction: seen.append(len(prediction.predictions)) or {"mine": 1.0}
        trainer._own_metrics = True
    trainer.train()
    # the last weights are chosen by none of them
    assert (trainer.calibration["location"]["proteins"], trainer.calibration["location"]["held_out"]) == (500, not own)
    assert set(seen) == ({500} if own else set())
    if not own:
        logged = next(entry for entry in trainer.state.log_history if "eval_accuracy" in entry)
        assert logged["eval_accuracy"] == pytest.approx((raw_logits(trainer).argmax(1) == labels(trainer)).mean())


def test_training_a_calibrated_model_further_begins_without_its_calibration(tmp_path):
    first = build_trainer(str(tmp_path / "plain"), validation=80, **CHOOSING)
    first.train()
    second = build_trainer(str(tmp_path / "calibrated"), validation=80, **CHOOSING)
    second.model.config.calibration_temperature = 7.0
    second.model.config.calibration_bias = [1.0, 2.0, 3.0]
    second.model.config.validation_scores = [[0.5], [0.25], [0.75]]
    second.model.config.thresholds = [0.1, 0.2, 0.3]
    second.train()
    assert second.model.config.thresholds is None
    losses = [[e["eval_loss"] for e in t.state.log_history if "eval_loss" in e] for t in (first, second)]
    assert losses[0] == losses[1] and len(losses[0]) == 2
    assert second.calibration == first.calibration
    assert second.model.config.calibration_bias is None
    assert second.model.config.validation_scores == first.model.config.validation_scores
    # once more with the same trainer: its cached logits are of other weights, calibrated
    second.train()
    task = second.model.config.task
    assert task.temperature == pytest.approx(fit_temperature(raw_logits(second), labels(second), task).temperature)


def test_a_trainer_that_only_evaluates_leaves_the_calibration(tmp_path):
    trainer = build_trainer(str(tmp_path), validation=80)
    trainer.model.config.calibration_temperature = 4.0
    loss = trainer.evaluate()["eval_loss"]
    assert trainer.model.config.calibration_temperature == 4.0
    logits = torch.from_numpy(raw_logits(trainer))
    expected = torch.nn.functional.cross_entropy(logits / 4, torch.from_numpy(labels(trainer)))
    assert loss == pytest.approx(expected.item(), abs=1e-5)


def test_fewer_than_fifty_validation_proteins_leave_scores_as_they_are_and_the_log_says_so(tmp_path, log):
    trainer = build_trainer(str(tmp_path), validation=49, **CHOOSING)
    trainer.train()
    assert not trainer.model.config.task.is_calibrated
    reason = "found 49 validation proteins with a known answer, expected 50 or more"
    assert trainer.calibration == {"location": {"method": "none", "reason": reason}}
    assert trainer.prediction_sets == {"location": {"proteins": 49, "held_out": False}}
    assert f"scores of location are not calibrated: {reason}" in log.text


def test_plain_arguments_or_several_validation_sets_calibrate_nothing(tmp_path):
    args = TrainingArguments(str(tmp_path / "plain"), use_cpu=True, report_to="none", max_steps=1, save_strategy="no")
    proteins = raw_proteins(60)
    ProteinTrainer(plain := small_model(), args, train_dataset=proteins, eval_dataset=proteins).train()
    several = {"dev": proteins, "other": proteins}
    args = arguments(tmp_path / "several", num_train_epochs=1, metric_for_best_model="dev_mcc")
    ProteinTrainer(dev := small_model(), args, train_dataset=proteins, eval_dataset=several).train()
    assert not plain.config.task.is_calibrated and not dev.config.task.is_calibrated
    assert plain.config.validation_scores is None and dev.config.validation_scores is None


def test_an_auxiliary_task_is_calibrated_on_the_proteins_whose_answer_is_known(tmp_path):
    names = [["M", "S", "U", "M"][index % 4] for index in range(120)]
    proteins = raw_proteins(120, membrane=(ClassLabel(names=["M", "S", "U"]), names))
    trainer = ProteinTrainer(
        small_model(auxiliary_tasks=[infer_task(proteins, "membrane")]),
        arguments(tmp_path, num_train_epochs=1),
        train_dataset=proteins,
        eval_dataset=proteins,
    )
    trainer.train()
    record = trainer.calibration["membrane"]
    assert (record["method"], record["proteins"]) == ("temperature", 90)
    assert trainer.model.config.auxiliary[0].temperature == record["temperature"] != 1
    assert trainer.prediction_sets["membrane"] == {"proteins": 90, "held_out": False}
    assert list(map(len, trainer.model.config.auxiliary[0].validation_scores)) == [60, 30]
    trainer.save_model(str(tmp_path / "saved"))
    assert ProteinClassifier.from_pretrained(tmp_path / "saved").config.auxiliary == trainer.model.config.auxiliary


def test_a_resumed_training_ends_with_the_same_temperature(tmp_path):
    options = {"validation": 80, "num_train_epochs": 3, "learning_rate": 3e-2}
    options |= {"eval_strategy": "steps", "eval_steps": 4, "save_strategy": "steps", "save_steps": 4}
    options |= {"load_best_model_at_end": True, "save_total_limit": 20}
    undisturbed = build_trainer(str(tmp_path), **options)
    undisturbed.train()
    resumed = build_trainer(str(tmp_path), **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-20"))
    assert resumed.state.best_global_step == undisturbed.state.best_global_step
    assert resumed.calibration["location"]["temperature"] == pytest.approx(
        undisturbed.calibration["location"]["temperature"], rel=1e-6
    )
    kept, expected = (trainer.model.config.validation_scores for trainer in (resumed, undisturbed))
    assert [pytest.approx(scores, abs=1.1e-5) for scores in expected] == kept
    assert resumed.prediction_sets == undisturbed.prediction_sets


@pytest.mark.slow
def test_two_processes_end_with_one_temperature(tmp_path):
    first, second = two_processes(tmp_path, validation=80, predict=10, **CHOOSING)
    assert first["world_size"] == 2 and first["logits"] == second["logits"]
    saved = ProteinClassifier.from_pretrained(tmp_path / "final").eval()
    assert saved.config.calibration_temperature != 1
    ids = torch.from_numpy(encoded_proteins(10, seed=2)[0]["input_ids"].astype(np.int64))[None]
    assert saved(input_ids=ids).logits[0].tolist() == pytest.approx(first["logits"][0], abs=1e-5)


def test_a_run_records_its_calibration_and_measures_scores_with_and_without_it(tmp_path, capsys):
    path = tmp_path / "easy.fasta"
    records = easy_records(300, test=60)
    wrong = {index: records[index - 1][0].split()[1] for index in range(1, 300, 4)}  # the class of another protein
    path.write_text(fasta((_relabelled(h, wrong.get(i)), s) for i, (h, s) in enumerate(records)))
    options = ["--data", str(path), "--output_dir", str(tmp_path / "run"), "--validation", "0.3", *TINY]
    assert main(["train", *options, "--num_train_epochs", "1", "--learning_rate", "0.003"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert metrics["calibration"]["location"]["temperature"] == config["calibration_temperature"] != 1
    names = [f"{split}_{before}{name}" for split in ("validation", "test") for before in ("", "uncalibrated_")
             for name in ("ece", "brier", "nll")]  # fmt: skip
    assert all(metrics[name] > 0 for name in names)
    assert metrics["prediction_sets"]["location"]["proteins"] == sum(map(len, config["validation_scores"])) > 50
    sets = {name: metrics[f"test_{name}"] for name in SET_METRICS}
    assert 0.5 < sets["sets_coverage"] <= 1 <= sets["sets_size"] <= 3
    assert not [name for name in metrics if name.startswith("validation_sets")]  # they say nothing
    record = json.loads((tmp_path / "run" / "run.json").read_text())["tasks"][0]
    assert record["validation_scores"] == config["validation_scores"]
    assert metrics["validation_nll"] < metrics["validation_uncalibrated_nll"]  # what it was fitted to
    ece, before = metrics["test_ece"], metrics["test_uncalibrated_ece"]
    assert f", ECE {ece:.3f} ({before:.3f} before calibration)" in capsys.readouterr().out
    found = str(tmp_path / "evaluated.json")
    evaluate = ["evaluate", "--model", str(tmp_path / "run"), "--data", str(path), "--output", found]
    assert main([*evaluate, "--precision", "float32"]) == 0
    evaluated = json.loads((tmp_path / "evaluated.json").read_text())
    for name in ("ece", "nll", "brier", "uncalibrated_ece", "uncalibrated_nll", "uncalibrated_brier"):
        assert evaluated[name] == pytest.approx(metrics[f"test_{name}"], abs=1e-5)
    assert {name: evaluated[name] for name in SET_METRICS} == pytest.approx(sets, abs=0.02)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith(f"scores: ECE {ece:.3f}, Brier score ") and f"without calibration ECE {before:.3f}" in line


def _relabelled(header, location):
    accession, own, *mark = header.split()
    return " ".join([accession, location or own, *mark])


def test_calibrate_is_refused_with_another_word(tmp_path, capsys):
    assert main(["train", "--calibrate", "platt", "--output_dir", str(tmp_path)]) == 2
    assert "calibrate='platt': expected one of temperature, vector, none" in capsys.readouterr().err
