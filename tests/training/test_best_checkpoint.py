"""Which checkpoint of a training is kept as the best, and by which metric."""

import os

import pytest
from transformers import TrainingArguments

from protbert_classify import ProteinTrainer
from protbert_classify.errors import OptionError
from protbert_classify.runs.files import read_json
from protbert_classify.training.resume import choose_best_again
from tests.training.child import trained
from tests.training.runs import assert_same_weights
from tests.training.trainers import StopAt, arguments, product, raw_proteins, small_model


def test_training_stops_when_nothing_gets_better_and_ends_with_the_best_checkpoint(tmp_path):
    result = trained(
        str(tmp_path),
        validation=12,
        patience=2,
        num_train_epochs=20,
        learning_rate=0.0,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
    )
    evaluations = [log for log in result["history"] if "eval_mcc" in log]
    assert len(evaluations) == 3  # the first is the best, two more are no better
    assert os.path.basename(result["best"]) == "checkpoint-8"


def test_the_model_at_the_end_is_the_best_one_not_the_last(tmp_path):
    result = trained(
        str(tmp_path),
        validation=20,
        num_train_epochs=6,
        learning_rate=0.03,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        greater_is_better=False,
    )
    losses = [log["eval_loss"] for log in result["history"] if "eval_loss" in log]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert os.path.basename(result["best"]) == f"checkpoint-{8 * (best + 1)}"
    assert_same_weights(os.path.join(tmp_path, "final"), result["best"])


def test_it_chooses_the_best_checkpoint_and_stops_early_by_itself_and_says_so(tmp_path, caplog):
    caplog.set_level("INFO", "protbert_classify")
    trainer = product(tmp_path, num_train_epochs=20, learning_rate=0.0, early_stopping_patience=2)
    trainer.train()
    assert "training stops early, after epoch 3 of 20: mcc has not improved for 2 evaluations in a row" in caplog.text
    assert trainer.args.metric_for_best_model == "mcc"
    evaluations = [log for log in trainer.state.log_history if "eval_mcc" in log]
    assert len(evaluations) == 3
    assert trainer.state.best_global_step == 8


def tied(folder, **options):
    """A trainer whose metric is the same after each epoch."""
    return ProteinTrainer(
        small_model(),
        arguments(folder, num_train_epochs=4, metric_for_best_model="accuracy", save_total_limit=10, **options),
        train_dataset=raw_proteins(60),
        eval_dataset=raw_proteins(30, seed=1),
        compute_metrics=lambda predictions: {"accuracy": 1.0},
    )


def lowest_loss(trainer):
    losses = {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log}
    assert len(losses) == 4
    return min(losses, key=losses.__getitem__)


def test_of_checkpoints_with_the_same_metric_the_one_with_the_lowest_loss_is_kept(tmp_path):
    """Once all validation proteins are right, training goes on making the model surer of them."""
    whole = tied(tmp_path / "whole", early_stopping_patience=1)  # each lower loss is an improvement
    whole.train()
    assert whole.state.best_global_step == lowest_loss(whole) > 8
    assert os.path.basename(whole.state.best_model_checkpoint) == f"checkpoint-{lowest_loss(whole)}"
    first = tied(tmp_path / "cut")
    first.add_callback(StopAt(20))
    first.train()
    resumed = tied(tmp_path / "cut", resume=True)
    resumed.train()
    assert resumed.state.best_global_step == whole.state.best_global_step


def test_saving_only_the_best_settles_ties_alike_and_ends_with_the_best_weights(tmp_path):
    trainer = tied(tmp_path, save_strategy="best")
    trainer.train()
    losses = [(log["step"], log["eval_loss"]) for log in trainer.state.log_history if "eval_loss" in log]
    better = [step for index, (step, loss) in enumerate(losses) if all(loss < former for _, former in losses[:index])]
    assert len(better) > 1 and better[-1] == lowest_loss(trainer)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == sorted(f"checkpoint-{s}" for s in better)
    assert trainer.state.best_global_step == better[-1]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(dict(losses)[better[-1]], abs=1e-6)


def test_a_metric_that_a_resumed_run_chooses_anew_by_settles_ties_alike(tmp_path):
    tied(tmp_path).train()
    again = tied(tmp_path, resume=True)
    choose_best_again(again.state, "accuracy", True, str(tmp_path))
    assert again.state.best_global_step is None  # nothing was logged
    again.state.log_history = read_json(str(tmp_path / "checkpoint-32" / "trainer_state.json"))["log_history"]
    choose_best_again(again.state, "accuracy", True, str(tmp_path))
    assert again.state.best_global_step == lowest_loss(again) > 8
    assert again.state.best_metric == 1.0


def test_another_metric_after_a_resume_chooses_anew_among_the_checkpoints(tmp_path):
    """The best value of the metric before must not be compared with values of the new one."""
    options = {"save_total_limit": 10, "early_stopping_patience": 0}
    first = product(tmp_path, num_train_epochs=4, metric_for_best_model="loss", **options)
    first.train()
    again = product(tmp_path, num_train_epochs=6, metric_for_best_model="mcc", resume=True, **options)
    again.train()
    values = {log["step"]: (log["eval_mcc"], -log["eval_loss"]) for log in again.state.log_history if "eval_mcc" in log}
    assert len(values) == 6
    assert again.state.best_global_step == max(values, key=values.__getitem__)
    assert again.state.best_metric == values[again.state.best_global_step][0]


def test_a_metric_that_does_not_fit_the_task_is_refused_with_those_that_do(tmp_path):
    with pytest.raises(OptionError, match="metric_for_best_model='spearman': expected one of loss, accuracy, mcc"):
        product(tmp_path, metric_for_best_model="spearman")


def test_a_metric_of_which_less_is_better_is_minimised(tmp_path):
    trainer = product(tmp_path, metric_for_best_model="loss")
    assert trainer.args.greater_is_better is False


def test_an_unknown_metric_is_refused_before_training_with_plain_arguments_too(tmp_path):
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", metric_for_best_model="acuracy")
    with pytest.raises(OptionError, match="metric_for_best_model='acuracy': expected one of loss, accuracy, mcc"):
        ProteinTrainer(small_model(), args, train_dataset=raw_proteins(60), eval_dataset=raw_proteins(30))
    args.metric_for_best_model = "eval_dev_mcc"  # of one of several evaluated datasets
    several = {"dev": raw_proteins(30)}
    ProteinTrainer(small_model(), args, train_dataset=raw_proteins(60), eval_dataset=several)
