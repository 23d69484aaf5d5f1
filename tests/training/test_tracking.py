"""Live training: what Trainer's integrations are told of a run, read back from what they wrote."""

import json
import os
import sqlite3
import subprocess
import sys

import pytest

from protbert_classify.commands import main
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import name_for_trackers, train
from tests.training.runs import ROOT, TINY, complaints, environment

# a tracker that asks the network fails here, it does not wait
OFFLINE = (
    "import socket, sys\n"
    "def refuse(self, address):\n"
    "    raise AssertionError(f'a connection to {address}')\n"
    "socket.socket.connect = socket.socket.connect_ex = refuse\n"
    "from protbert_classify.commands import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


def options(folder, data, *more):
    own = ["--num_train_epochs", "2", "--logging_steps", "2", "--disable_tqdm", "true"]
    return ["--data", data, "--output_dir", str(folder), *TINY, *own, *more]


def logged(folder, name):
    """Step -> value in the run's own log; of two values at one step the last."""
    log = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return {entry["step"]: entry[name] for entry in log if name in entry}


def test_tensorboard_has_the_curves_of_the_run(tmp_path, easy):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "run"
    train(*parse_options(options(folder, easy, "--report_to", "tensorboard")))
    (events,) = (folder / "runs").iterdir()
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    for tag, name in (("train/loss", "loss"), ("eval/loss", "eval_loss"), ("eval/mcc", "eval_mcc")):
        shown = {scalar.step: scalar.value for scalar in accumulator.Scalars(tag)}
        assert shown == pytest.approx(logged(folder, name)), tag
    assert list(logged(folder, "loss")) == [2, 4, 6, 8, 10] and list(logged(folder, "eval_mcc")) == [5, 10]


@pytest.mark.slow
def test_trackio_has_the_curves_and_the_test_metrics_in_one_run_without_a_network(tmp_path, easy):
    folder, store = tmp_path / "run", tmp_path / "trackio"
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, "train", *options(folder, easy, "--report_to", "trackio", "--project", "mine")],
        capture_output=True, text=True, timeout=180, cwd=ROOT, env=environment(TRACKIO_DIR=str(store)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    with sqlite3.connect(store / "mine.db") as database:
        rows = database.execute("select run_name, metrics from metrics order by id").fetchall()
        (config,) = database.execute("select config from configs").fetchone()
    database.close()
    (name,) = {name for name, _ in rows}
    assert name.startswith("run-")
    entries = [json.loads(metrics) for _, metrics in rows]
    for key, logged_name in (("train/loss", "loss"), ("eval/loss", "eval_loss"), ("eval/mcc", "eval_mcc")):
        told = [entry for entry in entries if {key, "train/global_step"} <= set(entry)]
        shown = {entry["train/global_step"]: entry[key] for entry in told}
        assert shown == pytest.approx(logged(folder, logged_name)), key
    metrics = json.loads((folder / "metrics.json").read_text())
    assert entries[-1]["test/accuracy"] == pytest.approx(metrics["test_accuracy"])
    assert metrics["validation_mcc"] == pytest.approx(max(entry.get("eval/mcc", -1) for entry in entries))
    assert json.loads(config)["learning_rate"] == 0.01


def test_a_tracker_that_is_not_installed_is_one_line(tmp_path, easy, capsys, monkeypatch):
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: False)
    assert main(["train", *options(tmp_path / "run", easy, "--report_to", "tensorboard")]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "TensorBoardCallback requires tensorboard to be installed" in line


def test_a_run_has_a_name_of_its_own_for_trackers_and_a_users_name_stays(tmp_path):
    def named(*more):
        arguments = parse_options(["--output_dir", str(tmp_path / "mine"), *more])[-1]
        name_for_trackers(arguments)
        return arguments.run_name

    assert named("--report_to", "tensorboard").startswith("mine-20")
    assert named("--report_to", "tensorboard", "--run_name", "third try") == "third try"
    assert named() is None
    assert os.listdir(tmp_path) == []
