"""Reads the folder of a finished run, for the report and the model card."""

import glob
import json
import os
from dataclasses import dataclass
from typing import Any

from ..data.test_neighbours import NearestTraining
from ..errors import DataError, OptionError
from ..model.tasks import SINGLE_LABEL, Task
from .files import DATA, METRICS, MODEL, PREDICTIONS, RECORD, SETTINGS, STATE, TEST_NEIGHBOURS
from .predictions import Predictions, read_predictions
from .test_neighbours import read_test_neighbours


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: Where it is.
        tasks: The main task, and behind it the auxiliary ones.
        metrics: `metrics.json`.
        record: `run.json`: arguments, data fingerprint, versions.
        log: What Trainer logged, in order; empty in runs that did not write `trainer_state.json`.
        data: `data.json`: `max_residues` and `splits` (split -> `classes`, label -> proteins, and `lengths`, sorted
            residues); None in runs that did not write it.
        predictions: None without test proteins.
        nearest: The nearest training proteins of the test proteins; None where the training did not look for them.
    """

    folder: str
    tasks: tuple[Task, ...]
    metrics: dict[str, Any]
    record: dict[str, Any]
    log: list[dict[str, Any]]
    data: dict[str, Any] | None
    predictions: Predictions | None
    nearest: NearestTraining | None = None

    @property
    def task(self) -> Task:
        """The main task."""
        return self.tasks[0]

    @property
    def is_baseline(self) -> bool:
        """Whether this is a simple classifier, which reads proteins whole and has no model."""
        return "training_arguments" not in self.record

    @property
    def labels(self) -> list[str]:
        """(C,), names of its classes or numbers, in the order of the logits."""
        return list(self.task.labels)


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Read what a finished training wrote.

    Args:
        folder: The `output_dir` of the training.

    Raises:
        OptionError: No such folder, or no finished run in it.
        DataError: A damaged file; the message names it, and in a table the row.
        ModelError: Its scores are NaN or infinite.
    """
    folder = os.fspath(folder)
    _check_finished(folder)
    record = _read_object(folder, RECORD)
    if record.get("command") == "pretrain":
        raise OptionError(
            f"{folder}: a pretraining, which has no classes; expected the output_dir of a training, such as one with "
            f"train --model_name_or_path {os.path.join(folder, MODEL)}"
        )
    metrics = _read_object(folder, METRICS)
    tasks = _read_tasks(folder, record, metrics)
    path = os.path.join(folder, PREDICTIONS)
    proteins = metrics.get("test_proteins")
    predictions = read_predictions(path, tasks, proteins) if os.path.isfile(path) else None
    return Run(
        folder=folder,
        tasks=tasks,
        metrics=metrics,
        record=record,
        log=_read_log(folder),
        data=_read_data(folder),
        predictions=predictions,
        nearest=_read_nearest(folder, predictions),
    )


def finished_run(folder: str, log: list[dict[str, Any]]) -> Run | None:
    """The finished run in a folder, if it is the one of a trainer with this log; else None.

    Args:
        folder: The `output_dir` of the training.
        log: Trainer's `log_history`.
    """
    if not os.path.isfile(os.path.join(folder, RECORD)):
        return None
    run = read_run(folder)
    # as text: NaN is not equal to itself
    same = json.dumps(log[: len(run.log)], sort_keys=True) == json.dumps(run.log, sort_keys=True)
    return run if run.log and same else None


def unfinished_run(
    folder: str, tasks: tuple[Task, ...], record: dict[str, Any], log: list[dict[str, Any]], parameters: int
) -> Run:
    """A run without `run.json`, from what its trainer knows.

    Args:
        folder: The `output_dir` of the training.
        tasks: The main task, then the auxiliary ones.
        record: The part of `run.json` that is known.
        log: Trainer's `log_history`.
        parameters: Of the model.
    """
    ends = [entry for entry in log if "train_runtime" in entry]
    metrics = {**ends[-1], "parameters": parameters} if ends else {}
    return Run(folder=folder, tasks=tasks, metrics=metrics, record=record, log=log, data=None, predictions=None)


def _check_finished(folder: str) -> None:
    if not os.path.isdir(folder):
        raise OptionError(f"{folder}: no such folder; expected the output_dir of a finished training")
    if os.path.isfile(os.path.join(folder, RECORD)):
        return
    if os.path.exists(os.path.join(folder, SETTINGS)) or glob.glob("checkpoint-*", root_dir=folder):
        raise OptionError(
            f"{folder} has no {RECORD}: its training was interrupted, and resume finishes it; or it ran in Python with "
            "ProteinTrainer alone, which writes none: call save_run after train, as examples/train.py does"
        )
    raise OptionError(f"{folder} holds no run (no {RECORD}); expected the output_dir of a finished training")


def _read_object(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, though the run is finished; run the training again") from None
    except ValueError as error:  # no JSON, or no UTF-8
        raise DataError(f"{path}: damaged, no JSON ({error})") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: damaged; found {type(value).__name__}, expected an object")
    return value


def _read_tasks(folder: str, record: dict[str, Any], metrics: dict[str, Any]) -> tuple[Task, ...]:
    """The tasks of a run; runs that did not record them had a single one, DeepLoc's location."""
    if "tasks" not in record:
        labels = _read_labels(folder, metrics)
        return (Task(name="location", problem_type=SINGLE_LABEL, labels=labels),)
    try:
        main, *others = (Task(**values) for values in record["tasks"])
    except (TypeError, ValueError) as error:
        raise DataError(f"{os.path.join(folder, RECORD)}: damaged; expected tasks, one or more ({error})") from None
    return main, *others


def _read_labels(folder: str, metrics: dict[str, Any]) -> list[str]:
    for split in ("test", "validation"):
        if f"{split}_per_class" in metrics:
            return list(metrics[f"{split}_per_class"])
    names = _read_object(folder, os.path.join(MODEL, "config.json")).get("id2label", {})
    return [names[index] for index in sorted(names, key=int)]


def _read_log(folder: str) -> list[dict[str, Any]]:
    if not os.path.isfile(os.path.join(folder, STATE)):
        return []
    log = _read_object(folder, STATE).get("log_history")
    if not isinstance(log, list):
        raise DataError(f"{os.path.join(folder, STATE)}: damaged; expected log_history, a list")
    return log


def _read_nearest(folder: str, predictions: Predictions | None) -> NearestTraining | None:
    path = os.path.join(folder, TEST_NEIGHBOURS)
    if predictions is None or not os.path.isfile(path):
        return None
    return read_test_neighbours(path, predictions.ids)


def _read_data(folder: str) -> dict[str, Any] | None:
    path = os.path.join(folder, DATA)
    if not os.path.isfile(path):
        return None
    data = _read_object(folder, DATA)
    splits = data.get("splits")
    whole = isinstance(splits, dict) and isinstance(data.get("max_residues"), int)
    if not whole or not all({"classes", "lengths"} <= set(split) for split in data["splits"].values()):
        raise DataError(f"{path}: damaged; expected max_residues, and splits, each with classes and lengths")
    return data
