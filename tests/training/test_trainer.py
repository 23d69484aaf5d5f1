import os

import numpy as np
import optuna
import pytest
import torch
from datasets import ClassLabel, Value
from datasets import List as ListOf
from torch.nn import functional
from transformers import TrainingArguments

from protbert_classify import ProteinClassifier, ProteinTrainer
from protbert_classify.data.collators import PaddingCollator
from protbert_classify.errors import DataError, OptionError
from protbert_classify.evaluation.decision import decide
from protbert_classify.evaluation.metrics import classification_metrics
from protbert_classify.evaluation.thresholds import fit_thresholds
from protbert_classify.runs.checkpoints import checkpoints
from protbert_classify.tasks.columns import infer_task
from tests.training.child import build_trainer, trained
from tests.training.runs import LABELS, encoded_proteins
from tests.training.trainers import StopAt, arguments, product, raw_proteins, small_model

STEP = {"max_steps": 1, "dropout": 0.0, "train_sampling_strategy": "sequential", "max_grad_norm": 1e9}


def first_step(folder, **options):
    """Loss and gradient norm of the first step."""
    log = trained(str(folder), **{**STEP, **options})["history"][0]
    return log["loss"], log["grad_norm"]


def expected_step(trainer, proteins):
    """The same by hand, from the definition: the mean over the proteins."""
    model = trainer.model.train()
    batch = PaddingCollator(0)([proteins[index] for index in range(len(proteins))])
    loss = functional.cross_entropy(model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"])
    loss.backward()
    gradients = [parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]
    return loss.item(), torch.stack(gradients).norm().item()


@pytest.mark.parametrize(("batch_size", "accumulation"), [(8, 1), (4, 2), (2, 4), (1, 8)])
def test_accumulation_changes_neither_loss_nor_gradient(tmp_path, batch_size, accumulation):
    expected = expected_step(build_trainer(str(tmp_path), dropout=0.0), encoded_proteins(8))
    found = first_step(
        tmp_path, proteins=8, per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation
    )
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(7, 1), (4, 2), (3, 3)])
def test_uneven_micro_batches_weigh_every_protein_the_same(tmp_path, batch_size, accumulation):
    expected = expected_step(build_trainer(str(tmp_path), dropout=0.0), encoded_proteins(7))
    found = first_step(
        tmp_path, proteins=7, per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation
    )
    assert found == pytest.approx(expected, abs=1e-5)


def test_label_smoothing_reaches_the_loss_with_accumulation_too(tmp_path):
    plain = first_step(tmp_path, proteins=8, per_device_train_batch_size=8)
    smooth = [
        first_step(
            tmp_path,
            proteins=8,
            label_smoothing_factor=0.3,
            per_device_train_batch_size=8 // steps,
            gradient_accumulation_steps=steps,
        )
        for steps in (1, 2)
    ]
    trainer, proteins = build_trainer(str(tmp_path), dropout=0.0), encoded_proteins(8)
    batch = PaddingCollator(0)([proteins[index] for index in range(8)])
    logits = trainer.model.train()(batch["input_ids"], batch["attention_mask"]).logits
    expected = functional.cross_entropy(logits, batch["labels"], label_smoothing=0.3).item()
    assert smooth[0][0] == pytest.approx(expected, abs=1e-5)
    assert smooth[1] == pytest.approx(smooth[0], abs=1e-5)
    assert plain[1] != pytest.approx(smooth[0][1], abs=1e-3)


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_predictions_come_back_in_the_order_of_the_dataset(tmp_path, strategy):
    trainer = build_trainer(str(tmp_path), train_sampling_strategy=strategy, per_device_eval_batch_size=4)
    proteins = encoded_proteins(30, seed=2)
    output = trainer.predict(proteins)
    model = trainer.model.eval()
    with torch.no_grad():
        one_by_one = [model(torch.tensor(np.array([row], dtype=np.int64))).logits[0] for row in proteins["input_ids"]]
    assert np.abs(output.predictions - torch.stack(one_by_one).numpy()).max() < 1e-5
    assert output.label_ids.tolist() == proteins["labels"][:].tolist()


def test_evaluate_gives_the_metrics_of_its_predictions(tmp_path):
    trainer = build_trainer(str(tmp_path), validation=25)
    found = trainer.evaluate()
    output = trainer.predict(encoded_proteins(25, seed=1))
    expected = classification_metrics(output.predictions.argmax(-1), output.label_ids, LABELS)
    for name in ("accuracy", "mcc", "macro_f1"):
        assert found[f"eval_{name}"] == pytest.approx(expected[name])
    loss = functional.cross_entropy(torch.tensor(output.predictions), torch.tensor(output.label_ids))
    assert found["eval_loss"] == pytest.approx(loss.item(), abs=1e-5)


def test_predicting_without_labels_works(tmp_path):
    trainer = build_trainer(str(tmp_path))
    labelled = encoded_proteins(9)
    output = trainer.predict(labelled.remove_columns("labels"))
    assert output.label_ids is None
    assert np.allclose(output.predictions, trainer.predict(labelled).predictions)


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_every_strategy_shows_every_protein_once_an_epoch(tmp_path, strategy):
    result = trained(str(tmp_path), proteins=30, num_train_epochs=2, train_sampling_strategy=strategy)
    epochs = result["batches"][:8], result["batches"][8:]
    seen = [[protein for batch in epoch for protein in batch] for epoch in epochs]
    assert len(set(seen[0])) == 30
    assert sorted(seen[0]) == sorted(seen[1])
    assert (seen[0] == seen[1]) is (strategy == "sequential")


def test_the_last_incomplete_accumulation_of_an_epoch_is_a_step_of_its_own(tmp_path):
    result = trained(
        str(tmp_path), proteins=20, gradient_accumulation_steps=2, num_train_epochs=2, per_device_train_batch_size=4
    )
    assert result["steps"] == 6


def test_a_trainer_without_arguments_of_ours_still_works(tiny_classifier, tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, max_steps=1, report_to="none", disable_tqdm=True)
    trainer = ProteinTrainer(tiny_classifier(), args, train_dataset=encoded_proteins(8))
    assert trainer.train().training_loss > 0


def test_resuming_where_there_is_nothing_to_resume_says_so(tmp_path):
    with pytest.raises(ValueError, match="no complete checkpoint"):
        build_trainer(str(tmp_path)).train(resume_from_checkpoint=True)


# ---- raw proteins in, everything else by itself ----


def test_raw_proteins_train_evaluate_and_predict_without_a_word_about_encoding(tmp_path):
    trainer = product(tmp_path, num_train_epochs=8)
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] > 0.8
    test = raw_proteins(20, seed=2)
    output = trainer.predict(test)
    assert output.label_ids.tolist() == test["location"][:]
    assert output.metrics["test_accuracy"] == pytest.approx(
        (decide(output.predictions, trainer.model.config).best == output.label_ids).mean()
    )
    assert trainer.predict(test.remove_columns("location")).label_ids is None


def test_columns_that_lack_the_answers_are_refused_by_name(tmp_path):
    proteins = raw_proteins(12).rename_column("location", "compartment")
    with pytest.raises(DataError, match="no column 'location', which the model's task reads"):
        ProteinTrainer(small_model(), arguments(tmp_path), train_dataset=proteins)
    trainer = ProteinTrainer(small_model(task_name="compartment"), arguments(tmp_path), train_dataset=proteins)
    assert trainer.train_dataset["labels"][:].tolist() == proteins["compartment"][:]


def test_without_a_longest_input_a_trainer_takes_512_tokens_and_keeps_no_position_beyond(tmp_path, log):
    model = small_model(max_sequence_length=None)
    ProteinTrainer(model, arguments(tmp_path), train_dataset=raw_proteins(12))
    assert model.config.max_sequence_length == 128  # all that this backbone has
    assert "proteins are cropped to 128 tokens" in log.text
    model = small_model(max_sequence_length=70)
    ProteinTrainer(model, arguments(tmp_path), train_dataset=raw_proteins(12))
    assert model.max_positions == 70


def test_a_loss_that_becomes_nan_ends_the_training_with_advice(tmp_path):
    model = small_model()
    model.head[1].weight.data.fill_(float("nan"))
    with pytest.raises(OptionError, match=r"not a number at step 1, .*; lower learning_rate"):
        product(tmp_path, model=model).train()


def test_a_former_run_is_kept_unless_it_is_to_be_resumed_or_overwritten(tmp_path):
    product(tmp_path, num_train_epochs=1).train()
    with pytest.raises(OptionError, match="set resume to continue it, or overwrite to start again"):
        product(tmp_path, num_train_epochs=1).train()
    resumed = product(tmp_path, num_train_epochs=2, resume=True)
    resumed.train()
    assert resumed.state.global_step == 16
    again = product(tmp_path, num_train_epochs=1, overwrite=True)
    again.train()
    assert again.state.global_step == 8
    assert sorted(os.path.basename(path) for path in checkpoints(str(tmp_path))) == ["checkpoint-8"]


def test_a_trainer_may_train_again_in_its_own_folder(tmp_path):
    trainer = product(tmp_path, num_train_epochs=1)
    trainer.train()
    trainer.train()
    assert trainer.state.global_step == 8


def test_other_proteins_or_options_are_not_resumed_with(tmp_path):
    product(tmp_path, num_train_epochs=1).train()
    with pytest.raises(OptionError, match="resume: learning_rate was 0.01 when the run"):
        product(tmp_path, num_train_epochs=2, resume=True, learning_rate=0.02).train()
    other = ProteinTrainer(small_model(), arguments(tmp_path, resume=True), train_dataset=raw_proteins(60, seed=9))
    with pytest.raises(OptionError, match="encoded train was"):
        other.train()


def test_the_loss_and_the_time_of_a_resumed_training_are_those_of_all_of_it(tmp_path):
    whole = product(tmp_path / "whole", num_train_epochs=4).train()
    first = product(tmp_path / "cut", num_train_epochs=4, early_stopping_patience=0)
    first.add_callback(StopAt(20))
    first.train()
    resumed = product(tmp_path / "cut", num_train_epochs=4, resume=True, early_stopping_patience=0)
    output = resumed.train()
    assert resumed.state.global_step == 32
    losses = [log["loss"] for log in resumed.state.log_history if "loss" in log]
    assert len(losses) == 32
    assert output.training_loss == pytest.approx(np.mean(losses), abs=1e-6)
    assert output.metrics["train_loss"] == pytest.approx(whole.training_loss, abs=1e-6)
    assert output.metrics["train_runtime"] > resumed.totals.seconds > 0


@pytest.mark.slow
def test_a_model_may_come_from_a_function_and_hyperparameters_be_searched(tmp_path):
    built = []

    def model_init(trial=None):
        built.append(trial)
        return small_model()

    trainer = ProteinTrainer(
        model_init=model_init,
        args=arguments(tmp_path, num_train_epochs=2, save_strategy="no"),
        train_dataset=raw_proteins(60),
        eval_dataset=raw_proteins(30, seed=1),
    )
    best = trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_categorical("learning_rate", [0.0, 0.02])},
        compute_objective=lambda metrics: metrics["eval_mcc"],
        n_trials=4,
        direction="maximize",
        backend="optuna",
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    assert best.hyperparameters == {"learning_rate": 0.02}
    assert len(built) == 5
    trainer.args.learning_rate = best.hyperparameters["learning_rate"]
    trainer.train()
    assert trainer.evaluate()["eval_mcc"] > 0.5


def test_several_labels_get_a_threshold_each_that_is_saved_with_the_model(tmp_path):
    several = [[index % 3] + ([(index + 1) % 3] if index % 2 else []) for index in range(60)]
    proteins = raw_proteins(60).remove_columns("location")
    proteins = proteins.add_column("location", several, feature=ListOf(ClassLabel(names=LABELS)))
    trainer = ProteinTrainer(
        small_model(problem_type="multi_label_classification"),
        arguments(tmp_path, num_train_epochs=4),
        train_dataset=proteins,
        eval_dataset=proteins,
    )
    trainer.train()
    assert trainer.args.metric_for_best_model == "mcc"
    thresholds = trainer.model.config.thresholds
    assert len(thresholds) == 3 and thresholds != [0.5, 0.5, 0.5]
    logits = trainer.validation_logits()
    scores = 1 / (1 + np.exp(-logits))
    assert thresholds == fit_thresholds(scores, trainer.eval_dataset["labels"][:])
    trainer.save_model(str(tmp_path / "saved"))
    assert ProteinClassifier.from_pretrained(tmp_path / "saved").config.thresholds == thresholds


def test_a_regression_learns_numbers_in_their_own_units(tmp_path):
    lengths = [float(1000 * len(sequence.split())) for sequence in raw_proteins(60)["sequence"]]
    proteins = raw_proteins(60, length_in_milli=(Value("float32"), lengths))
    model = small_model(problem_type="regression", labels=["length_in_milli"], task_name="length_in_milli")
    trainer = ProteinTrainer(
        model, arguments(tmp_path, num_train_epochs=1, max_steps=1), train_dataset=proteins, eval_dataset=proteins
    )
    assert model.config.target_mean == pytest.approx([np.mean(lengths)], rel=1e-5)
    assert model.config.target_std == pytest.approx([np.std(lengths)], rel=1e-5)
    assert trainer.args.metric_for_best_model == "spearman"
    trainer.train()
    answers = decide(trainer.validation_logits(), model.config)
    assert abs(answers.scores.mean() - np.mean(lengths)) < np.std(lengths)


def test_an_auxiliary_task_is_learned_beside_the_main_one(tmp_path):
    names = [["M", "S", "U"][index % 3] for index in range(60)]
    proteins = raw_proteins(60, membrane=(ClassLabel(names=["M", "S", "U"]), names))
    membrane = infer_task(proteins, "membrane")
    assert membrane.labels == ("M", "S")
    trainer = ProteinTrainer(
        small_model(auxiliary_tasks=[membrane]),
        arguments(tmp_path, num_train_epochs=3),
        train_dataset=proteins,
        eval_dataset=proteins,
    )
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    metrics = trainer.evaluate()
    assert {"eval_accuracy", "eval_membrane_accuracy", "eval_membrane_mcc"} <= set(metrics)
    assert trainer.predict(proteins).predictions.shape == (60, 3 + 2)
    moved = {name for name, value in trainer.model.state_dict().items() if not torch.equal(before[name], value)}
    assert {"auxiliary_heads.0.1.weight", "head.1.weight"} <= moved


def test_a_task_whose_column_is_missing_is_unknown_and_the_others_are_learned(tmp_path):
    names = [["M", "S"][index % 2] for index in range(30)]
    full = raw_proteins(30, membrane=(ClassLabel(names=["M", "S"]), names), size=(Value("float32"), list(range(30))))
    tasks = [infer_task(full, "size", problem_type="regression"), infer_task(full, "membrane")]
    trainer = ProteinTrainer(
        small_model(auxiliary_tasks=tasks),
        arguments(tmp_path, num_train_epochs=1),
        train_dataset=full,
        eval_dataset=full.remove_columns("size"),
    )
    trainer.train()
    metrics = trainer.evaluate()
    assert "eval_membrane_mcc" in metrics and not any(name.startswith("eval_size") for name in metrics)


@pytest.mark.parametrize(("logging_steps", "logged"), [(500, [16]), (16, [16]), (10, [10])])
def test_a_run_shorter_than_logging_steps_logs_its_loss_once(tmp_path, logging_steps, logged):
    trainer = product(tmp_path, num_train_epochs=2, logging_steps=logging_steps)
    trainer.train()
    losses = {log["step"]: log["loss"] for log in trainer.state.log_history if "loss" in log}
    assert list(losses) == logged
    if logged == [16]:
        assert losses[16] == pytest.approx(trainer.state.log_history[-1]["train_loss"], abs=1e-3)
