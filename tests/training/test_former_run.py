"""A training whose `output_dir` holds a run: it resumes that run, or replaces it."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from protbert_classify.commands import main
from protbert_classify.errors import OptionError
from protbert_classify.runs.checkpoints import mark_complete, newest_complete_checkpoint
from protbert_classify.runs.lock import FolderLock
from protbert_classify.training.resume import check_unchanged
from protbert_classify.training.trainer import ProteinTrainer
from tests.training.runs import TINY, assert_same_weights, complaints, last_state, record, run


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"world_size": 1, "seed": 4}, "began on 2 processes, and this is 1 process; continue with as many (num_pro"),
        ({"seed": 4, "max_length": 9}, "seed was 3 when the run in {run} began and is 4 (max_length changed, too); "),
    ],
)
def test_resuming_otherwise_than_it_began_is_refused_in_the_users_words(tmp_path, change, words):
    before = {"world_size": 2, "seed": 3, "max_length": 8}
    (tmp_path / "settings.json").write_text(json.dumps(before))
    check_unchanged(str(tmp_path), dict(before))
    with pytest.raises(OptionError, match=re.escape(words.format(run=tmp_path))):
        check_unchanged(str(tmp_path), {**before, **change})


def test_resuming_a_finished_run_with_more_epochs_goes_on(tmp_path, easy):
    run(tmp_path / "run", easy)
    metrics = run(tmp_path / "run", easy, "--num_train_epochs", "3", "--resume")
    assert metrics["epoch"] == 3.0
    assert os.path.basename(newest_complete_checkpoint(str(tmp_path / "run"))) == "checkpoint-15"


def test_a_run_that_is_taken_further_is_unfinished_until_its_results_are_there(tmp_path, easy, monkeypatch):
    folder = tmp_path / "run"
    run(folder, easy)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="train again with resume to evaluate"):
        patch.setattr(ProteinTrainer, "predict", stopped)
        run(folder, easy, "--num_train_epochs", "3", "--resume")
    assert not (folder / "run.json").exists()
    assert run(folder, easy, "--num_train_epochs", "3", "--resume")["epoch"] == 3.0


def test_a_training_does_not_replace_what_it_begins_with(tmp_path, easy, capsys):
    folder = tmp_path / "run"
    run(folder, easy)
    before = contents(folder)
    command = ["train", "--data", easy, "--output_dir", str(folder), "--overwrite"]
    assert main([*command, "--model_name_or_path", str(folder)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert f"model_name_or_path {folder / 'model'}: output_dir {folder} would replace it" in line
    assert contents(folder) == before


def test_a_new_run_is_locked_until_its_results_are_there(tmp_path, easy, monkeypatch):
    predict, held = ProteinTrainer.predict, []

    def noted(self, *arguments, **options):
        held.append(os.path.realpath(tmp_path / "run") in FolderLock._held)
        return predict(self, *arguments, **options)

    monkeypatch.setattr(ProteinTrainer, "predict", noted)
    run(tmp_path / "run", easy)
    assert held == [True] and not FolderLock._held


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resuming_a_finished_run_changes_nothing(tmp_path, easy):
    first = run(tmp_path / "run", easy)
    before = contents(tmp_path / "run")
    assert run(tmp_path / "run", easy, "--resume")["test_accuracy"] == first["test_accuracy"]
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--learning_rate", "0.5"], "learning_rate was 0.01 when the run"),
        (["--max_train_samples", "20"], "max_train_samples was not set when the run"),
        (["--pooling", "cls"], "pooling was "),
        (["--seed", "8"], "seed was "),
    ],
)
def test_going_on_with_other_settings_is_refused_and_leaves_the_run_as_it_was(tmp_path, easy, capsys, change, words):
    folder = tmp_path / "run"
    run(folder, easy)
    before = contents(folder)
    assert main(["train", "--data", easy, "--output_dir", str(folder), *TINY, "--resume", *change]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert words in line and "or start again with overwrite" in line
    assert contents(folder) == before


def test_going_on_with_other_proteins_is_refused_and_with_the_same_ones_elsewhere_is_not(tmp_path, easy, capsys):
    folder = tmp_path / "run"
    run(folder, easy)
    (tmp_path / "moved.fasta").write_text(Path(easy).read_text())
    run(folder, str(tmp_path / "moved.fasta"), "--resume")
    (tmp_path / "fewer.fasta").write_text(Path(easy).read_text().rsplit(">", 1)[0])
    arguments = ["train", "--output_dir", str(folder), *TINY, "--resume", "--data", str(tmp_path / "fewer.fasta")]
    assert main(arguments) == 2
    assert "proteins was" in complaints(capsys.readouterr().err)[0]


def test_resuming_what_never_began_starts_and_says_so(tmp_path, easy, caplog):
    caplog.set_level("INFO", logger="protbert_classify")
    run(tmp_path / "run", easy, "--resume")
    assert "no complete checkpoint in" in caplog.text


def test_overwriting_starts_anew_and_leaves_a_users_own_files(tmp_path, easy):
    folder = tmp_path / "run"
    run(folder, easy, "--num_train_epochs", "2")
    (folder / "notes.txt").write_text("mine")
    run(folder, easy, "--overwrite", "--validation", "0", "--save_strategy", "no", "--load_best_model_at_end", "false")
    assert newest_complete_checkpoint(str(folder)) is None
    assert (folder / "notes.txt").read_text() == "mine"
    assert record(folder)["data_arguments"]["validation"] == 0


def test_a_refused_overwrite_leaves_the_former_run_as_it_was(tmp_path, easy, capsys):
    folder = tmp_path / "run"
    run(folder, easy)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    arguments = ["train", "--data", easy, "--output_dir", str(folder), "--overwrite", *TINY]
    mistakes = (["--adam_beta1", "2"], ["--max_length", "500"], ["--data", "nowhere.fasta"], ["--report_to", "nobody"])
    for mistake in mistakes:
        assert main([*arguments, *mistake]) == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def failing_step(error):
    def training_step(*args, **kwargs):
        raise error

    return training_step


def ctrl_c(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)  # Python sees the signal here


@pytest.mark.parametrize(
    ("training_step", "code", "words"),
    [
        (failing_step(RuntimeError("CUDA out of memory")), 1, "out of memory"),
        (ctrl_c, 130, "interrupted; before the first step was done: "),
    ],
)
def test_what_fails_before_the_first_step_is_done_leaves_the_former_run_whole(
    tmp_path, easy, capsys, monkeypatch, training_step, code, words
):
    folder = tmp_path / "run"
    run(folder, easy)
    before = contents(folder)
    monkeypatch.setattr(ProteinTrainer, "training_step", training_step)
    assert main(["train", "--data", easy, "--output_dir", str(folder), *TINY, "--overwrite", "--seed", "8"]) == code
    (line,) = complaints(capsys.readouterr().err)
    assert words in line and "--resume" not in line
    assert contents(folder) == before


def test_an_overwriting_run_that_stops_after_its_first_step_is_the_only_one_left(tmp_path, easy, monkeypatch):
    folder = tmp_path / "run"
    run(folder, easy, "--num_train_epochs", "2")
    step = ProteinTrainer.training_step
    steps = []

    def second_one_interrupted(self, *args, **kwargs):
        steps.append(self.state.global_step)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(ProteinTrainer, "training_step", second_one_interrupted)
    with pytest.raises(KeyboardInterrupt, match="to continue from checkpoint-2"):
        run(folder, easy, "--overwrite", "--seed", "8")
    assert sorted(os.listdir(folder)) == ["checkpoint-2", "settings.json"]
    monkeypatch.undo()
    run(folder, easy, "--resume", "--seed", "8")
    run(tmp_path / "undisturbed", easy, "--seed", "8")
    assert_same_weights(folder / "model", tmp_path / "undisturbed" / "model")


def test_a_checkpoint_of_the_first_step_replaces_the_former_run_and_is_not_mixed_with_it(tmp_path, easy):
    folder = tmp_path / "run"
    every_step = ["--save_strategy", "steps", "--save_steps", "1", "--eval_strategy", "no", "--save_total_limit", "9"]
    run(folder, easy, *every_step)
    (folder / "checkpoint-1" / "former").write_text("")
    run(folder, easy, *every_step, "--overwrite", "--max_steps", "1")
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-1"]
    assert not (folder / "checkpoint-1" / "former").exists()
    assert json.loads((folder / "settings.json").read_text())["learning_rate"] == 0.01


def test_the_time_of_a_resumed_run_is_that_of_all_its_legs(tmp_path, easy):
    folder = tmp_path / "run"
    first = run(folder, easy)
    checkpoint = newest_complete_checkpoint(str(folder))
    state = last_state(folder)
    assert 0 < state["stateful_callbacks"]["TrainingTotals"]["attributes"]["seconds"] <= first["train_runtime"] + 0.1
    state["stateful_callbacks"]["TrainingTotals"]["attributes"]["seconds"] = 1000
    Path(checkpoint, "trainer_state.json").write_text(json.dumps(state))
    mark_complete(checkpoint, 5)
    second = run(folder, easy, "--num_train_epochs", "2", "--resume")
    assert 1000 < second["train_runtime"] < 1100
    assert json.loads((folder / "metrics.json").read_text())["train_runtime"] == second["train_runtime"]
    assert 1000 < last_state(folder)["stateful_callbacks"]["TrainingTotals"]["attributes"]["seconds"] < 1100


def test_a_checkpoint_that_knows_no_time_is_gone_on_from(tmp_path, easy):
    folder = tmp_path / "run"
    run(folder, easy)
    checkpoint, state = newest_complete_checkpoint(str(folder)), last_state(folder)
    del state["stateful_callbacks"]["TrainingTotals"]
    Path(checkpoint, "trainer_state.json").write_text(json.dumps(state))
    mark_complete(checkpoint, 5)
    assert 0 < run(folder, easy, "--num_train_epochs", "2", "--resume")["train_runtime"] < 100
