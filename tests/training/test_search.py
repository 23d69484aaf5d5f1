"""A search over hyperparameters: what it finds, what it keeps, what interrupts it, and what it never looks at."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset

from protbert_classify.commands import main
from protbert_classify.errors import OptionError
from protbert_classify.runs.search_trials import Trial
from protbert_classify.training import options as options_module
from protbert_classify.training import search as search_module
from protbert_classify.training.options import parse_options
from protbert_classify.training.search_trainer import SearchTrainer
from protbert_classify.training.trainer import ProteinTrainer
from protbert_classify.training.training_arguments import ProteinTrainingArguments
from tests.training.runs import (
    ROOT,
    TINY,
    assert_same_weights,
    command,
    complaints,
    easy_records,
    environment,
    fasta,
    record,
    run,
)

optuna = pytest.importorskip("optuna", reason="the extra search is not installed")

SPLIT = ("--split", "identical", "--validation", "0.3")
# a learning rate of 0 learns nothing
PLANTED = """\
learning_rate: [0, 0.005, 0.01, 0.02]
classifier_dropout: {low: 0, high: 0.3}
pooling: [mean, light_attention]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "easy.fasta"
    path.write_text(fasta(easy_records(90, 30)))
    return path


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "space.yaml"
    path.write_text(PLANTED)
    return str(path)


@pytest.fixture(scope="module")
def searched(data, space, tmp_path_factory):
    """A search of ten trials: its folder, and what `train` returned."""
    folder = tmp_path_factory.mktemp("searched") / "run"
    return folder, search(folder, data, space, 10)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing takes longer than these trials; the page of `searched` is made before."""
    monkeypatch.setattr(search_module, "write_search_page", lambda path, found: Path(path).touch())


def search(folder, data, space, trials, *more):
    file = () if space is None else ("--search_space", str(space))
    return run(folder, data, *SPLIT, "--num_train_epochs", "3", "--search", str(trials), *file, *more)


def rows(folder):
    with open(folder / "search" / "trials.csv", newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def study_of(folder):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / "search" / "journal.log")))
    return optuna.load_study(study_name="search", storage=storage)


def after_each_trial(monkeypatch, note):
    """A list that grows by `note(trainer, trial)` once a trial has trained to its end."""
    train, seen = SearchTrainer.train, []

    def noted(self, *arguments, **options):
        output = train(self, *arguments, **options)
        seen.append(note(self, options["trial"]))
        return output

    monkeypatch.setattr(SearchTrainer, "train", noted)
    return seen


def best_of(folder):
    return yaml.safe_load((folder / "search" / "best.yaml").read_text())


# --- what it finds


def test_options_that_learn_win_over_those_that_cannot(searched):
    folder, _ = searched
    assert {float(row["learning_rate"]) for row in rows(folder)} >= {0.0, 0.01}
    found = record(folder)["search"]
    rate = found["best"]["options"]["learning_rate"]
    assert rate > 0 and record(folder)["training_arguments"]["learning_rate"] == rate
    assert found["best"]["value"] > max(float(row["mcc"]) for row in rows(folder) if row["learning_rate"] == "0.0")
    assert record(folder)["model_arguments"]["pooling"] == found["best"]["options"]["pooling"]
    assert (found["trials"], found["metric"]) == (10, "mcc")
    assert found["space"]["pooling"] == ["mean", "light_attention"]


def test_the_first_trial_has_the_options_that_were_given(searched):
    first = rows(searched[0])[0]
    assert (first["learning_rate"], first["classifier_dropout"], first["pooling"]) == ("0.01", "0.1", "mean")


def test_the_final_model_is_the_one_that_the_best_trial_measured(searched):
    """Equal, and not just similar: the trial and the training begin with the same weights, proteins and dropout."""
    folder, metrics = searched
    assert metrics["validation_mcc"] == pytest.approx(record(folder)["search"]["best"]["value"], abs=1e-12)
    assert "test_mcc" in metrics


def test_table_and_page_say_what_the_study_says(searched):
    folder, _ = searched
    trials = study_of(folder).trials
    assert len(trials) == 10
    page = (folder / "search.html").read_text()
    for row, trial in zip(rows(folder), trials, strict=True):
        assert float(row["classifier_dropout"]) == trial.params["classifier_dropout"]
        assert (float(row["learning_rate"]), row["pooling"]) == (trial.params["learning_rate"], trial.params["pooling"])
        reached = trial.value if row["ended"] == "finished" else max(trial.intermediate_values.values())
        assert float(row["mcc"]) == reached
        assert f'<td class="number">{reached:.3f}</td>' in page
    finished = [trial.value for trial in trials if trial.state.name == "COMPLETE"]
    assert record(folder)["search"]["best"]["value"] == max(finished)


def test_a_trial_that_falls_behind_is_pruned_and_recorded(searched):
    folder, _ = searched
    pruned = [row for row in rows(folder) if row["ended"] == "pruned"]
    assert pruned and {float(row["learning_rate"]) for row in pruned} == {0.0}
    assert all(float(row["epochs"]) < 3 for row in pruned)
    assert record(folder)["search"]["pruned"] == len(pruned)
    states = [trial.state.name for trial in study_of(folder).trials]
    assert states.count("PRUNED") == len(pruned)
    assert ">pruned</td>" in (folder / "search.html").read_text()


def test_the_best_options_are_a_file_that_gives_the_same_model(searched, data, tmp_path):
    folder, _ = searched
    best = best_of(folder)
    assert best["learning_rate"] == record(folder)["search"]["best"]["options"]["learning_rate"]
    assert best["data"] == str(data)
    not_of_another = {"output_dir", "recipe", "search", "search_space", "resume", "overwrite", "disable_tqdm"}
    assert not not_of_another & set(best)
    path = str(folder / "search" / "best.yaml")
    again = parse_options([path, "--output_dir", str(tmp_path / "again"), "--disable_tqdm", "true"])
    from protbert_classify.training.run import train

    train(*again)
    assert_same_weights(tmp_path / "again" / "model", folder / "model")


def test_trials_leave_no_checkpoints(searched):
    folder, _ = searched
    assert sorted(path.name for path in (folder / "search").iterdir()) == [
        "best.yaml",
        "figures",
        "journal.log",
        "settings.json",
        "trials.csv",
    ]
    assert not list(folder.glob("run-*"))
    assert sum(path.stat().st_size for path in (folder / "search").rglob("*") if path.is_file()) < 400_000


class Untouchable(Dataset):
    """Cannot be read while it is locked."""

    locked = False

    def _getitem(self, key, **options):
        self._refuse()
        return super()._getitem(key, **options)

    def select(self, *arguments, **options):
        self._refuse()
        return super().select(*arguments, **options)

    def map(self, *arguments, **options):
        self._refuse()
        return super().map(*arguments, **options)

    def _refuse(self):
        assert not Untouchable.locked, "a trial read the test proteins"


def test_no_trial_sees_the_test_proteins(data, space, tmp_path, monkeypatch):
    found = []

    def load(arguments):
        splits, tasks = load_data(arguments)
        splits["test"].__class__ = Untouchable
        found.append(splits["test"])
        return splits, tasks

    def locked(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(Untouchable, "locked", True)
            with pytest.raises(AssertionError, match="a trial read the test proteins"):
                found[0]["id"][0]
            return search_trials(*arguments)

    load_data, search_trials = search_module.load_data, search_module._search
    monkeypatch.setattr(search_module, "load_data", load)
    monkeypatch.setattr(search_module, "_search", locked)
    assert search(tmp_path / "run", data, space, 2)["test_proteins"] == 30


def test_each_trial_is_a_line_of_the_log_and_nothing_else_of_it_is(data, space, tmp_path, log):
    search(tmp_path / "run", data, space, 2)
    lines = [record.getMessage() for record in log.records]
    begin = next(place for place, line in enumerate(lines) if line.startswith("search: 2 trials over learning_rate"))
    end = next(place for place, line in enumerate(lines) if line.startswith("the best of 2 trials is trial "))
    assert [line.split(":")[0] for line in lines[begin + 1 : end]] == ["trial 1 of 2", "trial 2 of 2"]
    assert "learning rate 0.01, classifier dropout 0.1, pooling mean: MCC" in lines[begin + 1]


def test_given_options_that_the_space_lacks_are_named(data, tmp_path, log):
    (tmp_path / "space.yaml").write_text("learning_rate: [0.005, 0.01]\npooling: [mean, cls]\n")
    search(tmp_path / "run", data, tmp_path / "space.yaml", 2, "--learning_rate", "0.05")
    assert "trial 1 has values of the space for learning_rate, as those given are not in it" in log.text


@pytest.mark.parametrize(
    ("ended", "shown"),
    [
        (("finished", 0.41), "MCC 0.410, 9 s"),
        (("pruned", 0.41), "MCC 0.410 (pruned at epoch 2), 9 s"),
        (("diverged", None), "no value (diverged), 9 s"),
        (("out of memory", None), "no value (out of memory), 9 s"),
    ],
)
def test_the_line_of_a_trial_says_how_it_ended(ended, shown):
    how, value = ended
    trial = Trial(3, {"learning_rate": 2.34567e-4, "pooling": "mean"}, value, 2.0, 9.3, how)
    expected = f"trial 3 of 20: learning rate 0.000235, pooling mean: {shown}"
    assert search_module.trial_line(trial, "mcc", 20) == expected


def test_a_trial_whose_loss_becomes_nan_is_recorded_and_the_search_goes_on(data, tmp_path):
    (tmp_path / "space.yaml").write_text("learning_rate: [1.0e-2, 1.0e30]\n")
    search(tmp_path / "run", data, tmp_path / "space.yaml", 6)
    ended = {(row["learning_rate"], row["ended"]) for row in rows(tmp_path / "run")}
    assert ("1e+30", "diverged") in ended and ("0.01", "finished") in ended
    assert record(tmp_path / "run")["search"]["diverged"] >= 1


def test_a_trial_that_does_not_fit_in_memory_is_recorded_and_the_search_goes_on(data, tmp_path, monkeypatch):
    (tmp_path / "space.yaml").write_text("learning_rate: [0.01, 0.02]\n")
    step = SearchTrainer.training_step

    def fails(self, *arguments, **options):
        if self.args.learning_rate == 0.02:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, *arguments, **options)

    monkeypatch.setattr(SearchTrainer, "training_step", fails)
    search(tmp_path / "run", data, tmp_path / "space.yaml", 5)
    ended = {(row["learning_rate"], row["ended"]) for row in rows(tmp_path / "run")}
    assert ended == {("0.02", "out of memory"), ("0.01", "finished")}
    assert record(tmp_path / "run")["search"]["out of memory"] >= 1


def test_the_embeddings_of_a_trial_are_those_of_its_pooling(data, tmp_path, monkeypatch):
    (tmp_path / "space.yaml").write_text("pooling: [mean, light_attention]\n")
    seen = after_each_trial(
        monkeypatch,
        lambda trainer, trial: (
            trial.params["pooling"],
            len(next(iter(trainer._embeddings.values()))[0]["last_hidden_state"]) == 1,
        ),
    )
    search(tmp_path / "run", data, tmp_path / "space.yaml", 5, "--tuning", "frozen")
    assert set(seen) == {("mean", True), ("light_attention", False)}


def test_a_search_in_which_every_loss_becomes_nan_says_so(data, tmp_path):
    (tmp_path / "space.yaml").write_text("learning_rate: [1.0e30, 1.0e31]\n")
    with pytest.raises(OptionError, match="not a number, or memory ran out, in each of 2 trials; expected"):
        search(tmp_path / "run", data, tmp_path / "space.yaml", 2)
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("option", ["class_weights", "class_weights_beta"])
def test_class_weights_of_a_trial_are_in_its_model_and_not_in_the_next_one(option, data, tmp_path, monkeypatch):
    (tmp_path / "space.yaml").write_text(f"{option}: [0.0, 0.5]\n")
    seen = after_each_trial(
        monkeypatch, lambda trainer, trial: (trial.params[option], trainer.model.config.class_weights)
    )
    search(tmp_path / "run", data, tmp_path / "space.yaml", 5)
    assert {value for value, _ in seen} == {0.0, 0.5}
    assert all((weights is None) == (value == 0) for value, weights in seen)


# --- interrupted and resumed


class StopInTrial:
    """Ctrl-C in the middle of a trial, after one of its steps."""

    def __init__(self, number, monkeypatch):
        training_step = SearchTrainer.training_step
        trials = set()

        def step(trainer, *arguments, **options):
            trials.add(trainer._trial.number)
            if len(trials) == number:
                signal.raise_signal(signal.SIGINT)
            return training_step(trainer, *arguments, **options)

        monkeypatch.setattr(SearchTrainer, "training_step", step)


def test_interrupted_and_resumed_it_has_the_trials_of_a_search_without_interruption(
    searched, data, space, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        StopInTrial(4, patch)
        with pytest.raises(KeyboardInterrupt, match="in trial 4 of 6; train again with resume to continue"):
            search(tmp_path / "run", data, space, 6)
    assert len(rows(tmp_path / "run")) == 3
    assert not (tmp_path / "run" / "run.json").exists()
    with pytest.raises(OptionError, match="holds a search; set resume to continue it, or overwrite to start again"):
        search(tmp_path / "run", data, space, 6)
    with pytest.raises(OptionError, match="holds an unfinished search; resume it with the same search"):
        run(tmp_path / "run", data, *SPLIT, "--resume")
    with pytest.raises(OptionError, match="resume: num_train_epochs was 3.0 when the run in .* began and is 2.0"):
        search(tmp_path / "run", data, space, 6, "--resume", "--num_train_epochs", "2")
    search(tmp_path / "run", data, space, 6, "--resume")
    assert rows(tmp_path / "run") == rows(searched[0])[:6]
    assert best_of(tmp_path / "run") == best_of(searched[0])
    assert_same_weights(tmp_path / "run" / "model", searched[0] / "model")


def test_ctrl_c_at_the_line_of_a_trial_keeps_that_trial(data, space, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(search_module, "trial_line", lambda *arguments: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "run", data, space, 2)
    trained, train = [], SearchTrainer.train
    monkeypatch.setattr(
        SearchTrainer, "train", lambda *arguments, **options: trained.append(1) or train(*arguments, **options)
    )
    search(tmp_path / "run", data, space, 2, "--resume")
    assert len(trained) == 1 and len(rows(tmp_path / "run")) == 2


def test_a_line_that_a_kill_has_cut_off_does_not_hinder_the_resume(data, space, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        StopInTrial(2, patch)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "run", data, space, 2)
    with open(tmp_path / "run" / "search" / "journal.log", "a") as file:
        file.write('{"op_code": 8, "worker')
    search(tmp_path / "run", data, space, 2, "--resume")
    assert [row["trial"] for row in rows(tmp_path / "run")] == ["1", "2"]


def test_resuming_a_finished_search_changes_nothing_and_more_trials_go_on(data, space, tmp_path):
    folder = tmp_path / "run"
    first = search(folder, data, space, 2)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("model/*")}
    assert search(folder, data, space, 2, "--resume") == first
    assert {path: path.stat().st_mtime_ns for path in folder.glob("model/*")} == before
    two = rows(folder)
    metrics = search(folder, data, space, 4, "--resume")
    assert rows(folder)[:2] == two and len(rows(folder)) == 4
    found = record(folder)["search"]
    assert found["trials"] == 4
    assert metrics["validation_mcc"] == pytest.approx(found["best"]["value"], abs=1e-12)


def test_more_trials_that_find_better_options_replace_the_model(data, space, tmp_path):
    folder = tmp_path / "run"
    search(folder, data, space, 2)
    path = folder / "search" / "best.yaml"
    worse = {**best_of(folder), "classifier_dropout": 0.29}  # as if another trial had been the best
    path.write_text(yaml.safe_dump(worse))
    before = [checkpoint.stat().st_mtime_ns for checkpoint in sorted(folder.glob("checkpoint-*"))]
    search(folder, data, space, 2, "--resume")
    assert [checkpoint.stat().st_mtime_ns for checkpoint in sorted(folder.glob("checkpoint-*"))] != before
    assert best_of(folder)["classifier_dropout"] == record(folder)["model_arguments"]["classifier_dropout"] != 0.29
    assert (folder / "search.html").is_file() and len(rows(folder)) == 2


def test_a_training_with_the_best_options_that_was_interrupted_is_resumed_and_no_trial_again(
    searched, data, space, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        training_step = ProteinTrainer.training_step

        def step(trainer, *arguments, **options):
            if type(trainer) is ProteinTrainer and trainer.state.global_step == 7:
                signal.raise_signal(signal.SIGINT)
            return training_step(trainer, *arguments, **options)

        patch.setattr(ProteinTrainer, "training_step", step)
        with pytest.raises(KeyboardInterrupt, match="train again with resume to continue from checkpoint-8"):
            search(tmp_path / "run", data, space, 2)
    assert not (tmp_path / "run" / "run.json").exists()
    monkeypatch.setattr(SearchTrainer, "train", None)
    search(tmp_path / "run", data, space, 2, "--resume", "--logging_steps", "5")
    assert record(tmp_path / "run")["search"]["best"]["trial"] == record(searched[0])["search"]["best"]["trial"]
    assert_same_weights(tmp_path / "run" / "model", searched[0] / "model")


@pytest.mark.slow
def test_a_search_replaces_a_run_only_when_told_to_and_the_other_way_round(data, space, tmp_path):
    folder = tmp_path / "run"
    run(folder, data, *SPLIT)
    with pytest.raises(OptionError, match="holds a finished run; set another output_dir, overwrite or resume"):
        search(folder, data, space, 2)
    with pytest.raises(OptionError, match="holds a training without a search; expected another output_dir"):
        search(folder, data, space, 2, "--resume")
    search(folder, data, space, 2, "--overwrite")
    search(folder, data, space, 3, "--overwrite")
    assert len(study_of(folder).trials) == 3
    run(folder, data, *SPLIT, "--overwrite")
    assert not (folder / "search").exists() and not (folder / "search.html").exists()
    assert "search" not in record(folder)


@pytest.mark.slow
def test_killed_in_a_trial_and_resumed_it_ends_with_the_same_model(searched, data, space, tmp_path):
    folder = tmp_path / "run"
    arguments = ["train", "--data", data, *TINY, "--disable_tqdm", "true", *SPLIT, "--num_train_epochs", "3"]
    more = ["--search", "10", "--search_space", space, "--output_dir", folder]
    process = subprocess.Popen(
        command(*arguments, *more), env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    table = folder / "search" / "trials.csv"
    while not (table.is_file() and len(rows(folder)) >= 3) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= len(rows(folder)) < 10
    search(folder, data, space, 10, "--resume")
    assert rows(folder) == rows(searched[0])
    assert_same_weights(folder / "model", searched[0] / "model")


# --- what is refused


def refused(capsys, data, *more):
    assert main(["train", "--data", str(data), *TINY, "--output_dir", "never", *map(str, more)]) == 2
    assert not os.path.exists("never")
    return complaints(capsys.readouterr().err)[-1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--search", "1"], "search=1: expected 2 or more"),
        (["--search", "4", "--seeds", "2"], "search and seeds exclude each other: search first, then train with seeds"),
        (["--search", "4", "--folds", "2"], "search and folds exclude each other"),
        (["--search_space", "space.yaml"], "search_space=space.yaml: expected --search N, too"),
        (["--search", "4", "--eval_strategy", "no"], "search: found eval_strategy=no; expected epoch or steps"),
        (["--search", "4", "--validation", "0"], "search: no validation proteins to compare the trials by; expected"),
        (["--search", "4", "--learning_rate", "0"], "search: found learning_rate=0; expected more than 0, or a search"),
        (["--search", "4", "--search_space", "none.yaml"], "none.yaml: no such file; expected a YAML or JSON file"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(more, message, data, capsys):
    assert message in refused(capsys, data, *more)


def test_without_optuna_the_extra_is_named(data, capsys, monkeypatch):
    find = options_module.find_spec
    monkeypatch.setattr(options_module, "find_spec", lambda name: None if name == "optuna" else find(name))
    expected = "search=4: a search needs the package optuna: pip install 'protbert_classify[search]'"
    assert expected in refused(capsys, data, "--search", "4")


def test_several_processes_are_refused(data, capsys, monkeypatch):
    monkeypatch.setattr(ProteinTrainingArguments, "world_size", 2)
    message = refused(capsys, data, "--search", "4")
    assert "search: found 2 processes; expected one: search on one device, then train on several" in message


def test_a_job_elsewhere_does_not_search(tmp_path):
    (tmp_path / "run.yaml").write_text("search: 4\n")
    with pytest.raises(OptionError, match="search=4: a job on another machine does not search; search here"):
        options_module.check_options(str(tmp_path / "run.yaml"))


def test_a_choice_that_cannot_be_built_is_refused_before_the_first_trial(data, tmp_path):
    (tmp_path / "space.yaml").write_text("freeze_layers: [0, 7]\n")
    with pytest.raises(OptionError, match="freeze_layers=7: expected 0 to 1"):
        search(tmp_path / "run", data, tmp_path / "space.yaml", 2)
    assert not (tmp_path / "run").exists()
    (tmp_path / "space.yaml").write_text("loss: [cross_entropy, mean_squared_error]\n")
    with pytest.raises(OptionError, match="mean_squared_error"):
        search(tmp_path / "run", data, tmp_path / "space.yaml", 2)


# --- the trainer of trials


def test_the_value_of_a_trial_is_its_best_evaluation_unless_the_last_weights_are_kept(data, tmp_path):
    trainer = SearchTrainer.__new__(SearchTrainer)
    plain = {"metric_for_best_model": "mcc", "greater_is_better": True, "load_best_model_at_end": True}
    log = [{"eval_mcc": value} for value in (0.1, 0.5, float("nan"), 0.3)]

    def value(**more):
        trainer.args = type("Arguments", (), {**plain, **more})
        trainer.state = type("State", (), {"log_history": log})
        return trainer._best_value()

    assert value() == 0.5
    assert value(greater_is_better=False) == 0.1
    assert value(load_best_model_at_end=False) == 0.3
    assert np.isnan(trainer.value_of({"eval_mcc": None})) and trainer.value_of({"eval_mcc": 0.25}) == 0.25


def test_the_number_of_a_trial_and_its_settings_are_of_the_search_and_not_of_the_model(data, tmp_path):
    plain = parse_options(["--data", str(data), *TINY])[0]
    from protbert_classify.training.run import _model_settings

    assert _model_settings(dataclasses.replace(plain, search=4, search_space="x.yaml")) == _model_settings(plain)
    assert "search" not in json.dumps(_model_settings(plain))
