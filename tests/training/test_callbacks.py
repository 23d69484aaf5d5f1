import os
import signal
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback

from protbert_classify.errors import OptionError
from protbert_classify.runs.checkpoints import checkpoints, newest_complete_checkpoint
from protbert_classify.training.callbacks import StopOnDivergence
from tests.training.child import build_trainer
from tests.training.runs import (
    ROOT,
    TINY,
    assert_same_weights,
    call,
    command,
    complaints,
    environment,
    launch,
    launcher,
)


class CtrlC(TrainerCallback):
    """The user's finger, in the middle of a step."""

    def __init__(self, step, number=signal.SIGINT):
        self.step, self.number = step, number

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            os.kill(os.getpid(), self.number)


def interrupted_trainer(folder, step, number=signal.SIGINT, **options):
    options = {
        **{"validation": 12, "num_train_epochs": 4, "patience": 3, "eval_strategy": "epoch", "save_strategy": "epoch"},
        **{"load_best_model_at_end": True, "save_total_limit": 9},
        **options,
    }
    trainer = build_trainer(str(folder), **options)
    if step:
        trainer.add_callback(CtrlC(step, number))
    return trainer


def train_until(trainer, step):
    """Train, and be stopped after a step, which has left a checkpoint."""
    with pytest.raises(KeyboardInterrupt, match=f"train again with resume to continue from checkpoint-{step}"):
        trainer.train()
    assert trainer.state.global_step == step


@pytest.mark.parametrize("step", [1, 11, 16])  # 8 steps an epoch: the first, in the middle, the last of an epoch
def test_ctrl_c_costs_one_step_and_resuming_ends_as_if_nothing_had_been(tmp_path, step):
    undisturbed = interrupted_trainer(tmp_path / "undisturbed", None)
    undisturbed.train()
    undisturbed.save_model(str(tmp_path / "undisturbed" / "final"))

    trainer = interrupted_trainer(tmp_path / "interrupted", step)
    train_until(trainer, step)
    evaluations = sum("eval_mcc" in log for log in trainer.state.log_history)
    assert evaluations == step // 8  # none in the middle of an epoch: it would count for the best and for patience
    newest = newest_complete_checkpoint(str(tmp_path / "interrupted" / "run"))
    assert os.path.basename(newest) == f"checkpoint-{step}"

    resumed = interrupted_trainer(tmp_path / "interrupted", None)
    resumed.train(resume_from_checkpoint=True)
    resumed.save_model(str(tmp_path / "interrupted" / "final"))
    # `epoch_step` is the time it took
    kept = ("loss", "grad_norm", "learning_rate", "eval_loss", "eval_mcc", "step", "epoch")
    histories = [
        [{name: log[name] for name in kept if name in log} for log in trainer.state.log_history[:-1]]
        for trainer in (undisturbed, resumed)
    ]
    assert histories[0] == histories[1]
    assert os.path.basename(resumed.state.best_model_checkpoint) == os.path.basename(
        undisturbed.state.best_model_checkpoint
    )
    assert_same_weights(tmp_path / "interrupted" / "final", tmp_path / "undisturbed" / "final")


def test_ctrl_c_leaves_its_checkpoint_even_where_one_is_kept(tmp_path):
    trainer = interrupted_trainer(tmp_path, 20, save_total_limit=1, learning_rate=0.0)  # the first epoch is the best
    train_until(trainer, 20)
    saved = [os.path.basename(path) for path in checkpoints(str(tmp_path / "run"))]
    assert saved == ["checkpoint-8", "checkpoint-20"] and trainer.args.save_total_limit == 1


def test_ctrl_c_saves_even_where_no_checkpoints_were_asked_for(tmp_path):
    for step in (3, 8):
        trainer = interrupted_trainer(
            tmp_path / str(step), step, save_strategy="no", eval_strategy="no", load_best_model_at_end=False, patience=0
        )
        train_until(trainer, step)
        assert [os.path.basename(path) for path in checkpoints(str(tmp_path / str(step) / "run"))] == [
            f"checkpoint-{step}"
        ]


@pytest.mark.parametrize("step", [11, 16])
def test_ctrl_c_saves_even_where_only_the_best_is_saved(tmp_path, step):
    trainer = interrupted_trainer(tmp_path, step, save_strategy="best", learning_rate=0.0)  # the first is the best
    train_until(trainer, step)
    assert trainer.state.best_global_step == 8
    saved = [os.path.basename(path) for path in checkpoints(str(tmp_path / "run"))]
    assert saved == ["checkpoint-8", f"checkpoint-{step}"]


def test_a_cluster_that_wants_its_machine_back_gets_a_checkpoint_too(tmp_path):
    trainer = interrupted_trainer(tmp_path, 3, signal.SIGTERM)
    before = signal.getsignal(signal.SIGTERM)
    train_until(trainer, 3)
    assert [os.path.basename(path) for path in checkpoints(str(tmp_path / "run"))] == ["checkpoint-3"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_it_trains_without_listening(tmp_path):
    trainer = interrupted_trainer(tmp_path, None, num_train_epochs=1)
    thread = threading.Thread(target=trainer.train)
    thread.start()
    thread.join(60)
    assert trainer.state.global_step == 8


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    trainer = interrupted_trainer(tmp_path, 3)

    class Again(TrainerCallback):
        def on_substep_end(self, args, state, control, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)

    trainer.args.gradient_accumulation_steps = 2
    trainer.add_callback(CtrlC(3))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()


def test_ctrl_c_means_what_it_meant_before_when_training_is_over(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    interrupted_trainer(tmp_path, None).train()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_two_processes_stop_after_the_same_step_with_a_checkpoint_and_go_on_to_the_same_weights(tmp_path, easy):
    arguments = ["-m", "protbert_classify", "train", "--data", easy, "--num_train_epochs", "12", *TINY]
    arguments += ["--early_stopping_patience", "0", "--save_strategy", "steps", "--save_steps", "1000"]
    arguments += ["--eval_strategy", "no", "--load_best_model_at_end", "false", "--logging_steps", "1"]
    undisturbed = launch(*arguments, "--output_dir", tmp_path / "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr[-3000:]

    folder, log = tmp_path / "interrupted", tmp_path / "log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            launcher(*arguments, "--output_dir", folder), stdout=file, stderr=file, env=environment(), cwd=ROOT
        )
        until = time.monotonic() + 120
        while b": loss" not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)  # of which the launcher tells its processes
        process.wait(120)
    (newest,) = map(os.path.basename, checkpoints(str(folder)))
    line = f"protbert-classify train: interrupted; train again with resume to continue from {newest}"
    assert log.read_text().splitlines().count(line) == 1, log.read_text()[-3000:]
    assert not (folder / "run.json").exists()

    resumed = launch(*arguments, "--output_dir", folder, "--resume")
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert f"resuming from {folder / newest}" in resumed.stderr
    assert_same_weights(folder / "model", tmp_path / "undisturbed" / "model")


@pytest.mark.slow
def test_ctrl_c_on_the_command_line_says_how_to_go_on_and_going_on_ends_with_the_same_weights(tmp_path, easy):
    arguments = ["train", "--data", easy, "--num_train_epochs", "20", "--early_stopping_patience", "0", *TINY]
    undisturbed = call(*arguments, "--output_dir", tmp_path / "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr[-3000:]

    folder = tmp_path / "interrupted"
    process = subprocess.Popen(
        command(*arguments, "--output_dir", folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    while newest_complete_checkpoint(str(folder)) is None:
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = complaints(stderr)
    newest = os.path.basename(newest_complete_checkpoint(str(folder)))
    assert line == f"protbert-classify train: interrupted; train again with resume to continue from {newest}"
    assert "Traceback" not in stderr
    assert not (folder / "run.json").exists()
    refused = call(*arguments, "--output_dir", folder)
    assert refused.returncode == 2
    assert "set resume to continue it" in complaints(refused.stderr)[0]

    resumed = call(*arguments, "--output_dir", folder, "--resume")
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert_same_weights(folder / "model", tmp_path / "undisturbed" / "model")
    for name in ("test_predictions.csv",):
        assert (folder / name).read_text() == (tmp_path / "undisturbed" / name).read_text()


# --- a loss that is NaN


def log(model, fp16, **logs):
    args = SimpleNamespace(fp16=fp16, learning_rate=0.01, device="cpu")
    StopOnDivergence().on_log(args, SimpleNamespace(global_step=7), None, logs=logs, model=model)


def test_a_step_that_overflowed_in_float16_ends_nothing_while_the_weights_are_sound():
    model = torch.nn.Linear(2, 2)
    log(model, True, loss=float("nan"))  # the scaler skipped that step
    with pytest.raises(OptionError, match="the loss is not a number at step 7"):
        log(model, False, loss=float("nan"))
    with pytest.raises(OptionError, match="the validation loss is not a number"):
        log(model, True, eval_loss=float("nan"))
    torch.nn.init.constant_(model.bias, float("inf"))
    with pytest.raises(OptionError, match="the weights are not numbers at step 7"):
        log(model, True, loss=float("nan"))
