"""The folder of a finished run, read back: what the report and the model card are made of."""

import csv
import glob
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, ModelError, OptionError
from ..model_source import diverged

RECORD = "run.json"  # written last: a folder that has it holds a finished run
METRICS = "metrics.json"
PREDICTIONS = "test_predictions.csv"
DATA = "data.json"
STATE = "trainer_state.json"
FIGURES = "figures"
REPORT = "report.html"

CALL_COLUMNS = ("location", "predicted", "score")  # after the accession and the length, before the classes


@dataclass(frozen=True)
class Predictions:
    """What the model said of each test protein.

    Args:
        ids: (N,), accessions.
        references: (N,), true class, 0..C-1.
        calls: (N,), called class, 0..C-1.
        probabilities: (N, C), six digits.
        lengths: (N,), residues; None in runs that did not write them.
    """

    ids: list[str]
    references: np.ndarray
    calls: np.ndarray
    probabilities: np.ndarray
    lengths: np.ndarray | None


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: Where it is.
        labels: (C,), names of the classes in the order of the logits.
        metrics: `metrics.json`.
        record: `run.json`: arguments, data fingerprint, versions.
        log: What Trainer logged, in order; empty in runs that did not write `trainer_state.json`.
        data: `data.json`: `max_residues` and `splits` (split -> `classes`, label -> proteins, and `lengths`, sorted
            residues); None in runs that did not write it.
        predictions: None without test proteins.
    """

    folder: str
    labels: list[str]
    metrics: dict[str, Any]
    record: dict[str, Any]
    log: list[dict[str, Any]]
    data: dict[str, Any] | None
    predictions: Predictions | None


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Read what a finished training wrote.

    Args:
        folder: The `output_dir` of the training.

    Raises:
        OptionError: No such folder, or no finished run in it.
        DataError: A damaged file; the message names it, and in a table the row.
        ModelError: Its scores are no numbers.
    """
    folder = os.fspath(folder)
    _check_finished(folder)
    record = _read_object(folder, RECORD)
    metrics = _read_object(folder, METRICS)
    labels = _read_labels(folder, metrics)
    return Run(
        folder=folder,
        labels=labels,
        metrics=metrics,
        record=record,
        log=_read_log(folder),
        data=_read_data(folder),
        predictions=_read_predictions(folder, labels, metrics.get("test_proteins")),
    )


def _check_finished(folder: str) -> None:
    if not os.path.isdir(folder):
        raise OptionError(f"{folder}: no such folder; expected the output_dir of a finished training")
    if os.path.isfile(os.path.join(folder, RECORD)):
        return
    if os.path.exists(os.path.join(folder, "settings.json")) or glob.glob("checkpoint-*", root_dir=folder):
        raise OptionError(f"{folder} holds an interrupted run (no {RECORD}); --resume would finish it")
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


def _read_labels(folder: str, metrics: dict[str, Any]) -> list[str]:
    for split in ("test", "validation"):
        if f"{split}_per_class" in metrics:
            return list(metrics[f"{split}_per_class"])
    names = _read_object(folder, os.path.join("model", "config.json")).get("id2label", {})
    return [names[index] for index in sorted(names, key=int)]


def _read_log(folder: str) -> list[dict[str, Any]]:
    if not os.path.isfile(os.path.join(folder, STATE)):
        return []
    log = _read_object(folder, STATE).get("log_history")
    if not isinstance(log, list):
        raise DataError(f"{os.path.join(folder, STATE)}: damaged; expected log_history, a list")
    return log


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


def _read_predictions(folder: str, labels: list[str], proteins: int | None) -> Predictions | None:
    path = os.path.join(folder, PREDICTIONS)
    if not os.path.isfile(path):
        return None
    header, rows = _read_table(path)
    known = ["id", "length"] if header[1:2] == ["length"] else ["id"]  # runs of version 0.1 have no lengths
    expected = [*known, *CALL_COLUMNS, *labels]
    if header != expected:
        raise DataError(f"{path}: found the columns {', '.join(header)[:100]}; expected {', '.join(expected)[:100]}")
    if not rows or proteins not in (None, len(rows)):
        raise DataError(f"{path}: found {len(rows)} proteins, expected {proteins or 'some'}; is it cut off?")
    return _predictions(path, rows, labels, len(known))


def _read_table(path: str) -> tuple[list[str], list[list[str]]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (ValueError, csv.Error) as error:  # no UTF-8, or a NUL
        raise DataError(f"{path}: damaged ({error})") from None
    return rows[0] if rows else [], rows[1:]


def _predictions(path: str, rows: Sequence[list[str]], labels: list[str], known: int) -> Predictions:
    places = {label: index for index, label in enumerate(labels)}
    first = known + len(CALL_COLUMNS)
    references, calls, lengths = (np.zeros(len(rows), dtype=np.int64) for _ in range(3))
    probabilities = np.zeros((len(rows), len(labels)))
    for index, row in enumerate(rows):
        try:
            if len(row) != first + len(labels):
                raise ValueError(f"found {len(row)} columns, expected {first + len(labels)}")
            references[index], calls[index] = places[row[known]], places[row[known + 1]]
            probabilities[index] = [float(value) for value in row[first:]]
            if known == 2:
                lengths[index] = int(row[1])
            if not np.isfinite(probabilities[index]).all():
                raise diverged(os.path.join(os.path.dirname(path), "model"))
            if not np.isclose(probabilities[index].sum(), 1, atol=1e-3):
                raise ValueError("its probabilities do not add up to 1")
        except ModelError:
            raise
        except (KeyError, ValueError) as error:
            number = index + 2  # as a spreadsheet counts, the header is row 1
            raise DataError(f"{path}, row {number} ({row[0] if row else 'empty'}): damaged: {_reason(error)}") from None
    ids = [row[0] for row in rows]
    return Predictions(ids, references, calls, probabilities, lengths if known == 2 else None)


def _reason(error: Exception) -> str:
    return f"{error} is no class of the run" if isinstance(error, KeyError) else str(error)
