"""Runs a baseline, and writes it as a run: `report` and `compare` read it like that of a model."""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from datasets import DatasetDict

from ..data.fingerprint import fingerprint
from ..evaluation.decision import Decision
from ..model.registry import Registry
from ..model.tasks import Task
from ..runs.files import DATA, METRICS, RECORD, write_json
from ..runs.writer import describe_data, split_notes, versions, write_nearest, write_test_predictions
from ..tasks.targets import targets
from .composition import composition
from .majority import majority
from .measured_scores import measure
from .nearest_neighbour import nearest_neighbour
from .random_network import random_network

# Learns from `train` of the splits, and gives the scores of the proteins of every other split, (N, C): probabilities of
# the labels, or the numbers of a regression.
Baseline = Callable[[DatasetDict, Task], dict[str, np.ndarray]]
BASELINES: Registry[Baseline] = Registry("baseline")
BASELINES.register("majority")(majority)
BASELINES.register("composition")(composition)
BASELINES.register("random_network")(random_network)
BASELINES.register("nearest_neighbour")(nearest_neighbour)


def run_baseline(name: str, splits: DatasetDict, task: Task) -> tuple[dict[str, Any], dict[str, Decision]]:
    """Learn a baseline from `train`, and measure it on the other splits.

    Args:
        name: Of one in `BASELINES`.
        splits: The proteins of a training.
        task: The main task.

    Returns:
        The metrics, as in `metrics.json` of a training, and the answers for each split.
    """
    start = time.perf_counter()
    scores = BASELINES[name](splits, task)
    seconds = time.perf_counter() - start
    measured, decisions = measure(scores, splits, task)
    metrics: dict[str, Any] = {"train_runtime": seconds, "train_proteins": len(splits["train"])}
    for split, found in measured.items():
        metrics[f"{split}_proteins"] = len(decisions[split])
        metrics.update({f"{split}_{metric}": value for metric, value in found.items()})
    return metrics, decisions


def write_baseline_run(
    folder: str,
    name: str,
    splits: DatasetDict,
    metrics: dict[str, Any],
    decisions: dict[str, Decision],
    data_arguments: dict[str, Any],
) -> None:
    """Write what a training writes, without a model; `run.json` comes last and marks the run as finished.

    Args:
        folder: Created if missing.
        name: Of the baseline.
        splits: The proteins.
        metrics: As [`run_baseline`] returns them.
        decisions: As [`run_baseline`] returns them.
        data_arguments: How the proteins were read and split, for `run.json`.
    """
    os.makedirs(folder, exist_ok=True)
    task = next(iter(decisions.values())).task
    if "test" in splits:
        references = (targets(splits["test"], task), None)
        write_test_predictions(folder, splits["test"], decisions["test"], references)
        metrics = {**metrics, **write_nearest(folder, splits, decisions["test"], references[0])}
    longest = max(max(part["sequence_length"][:]) for part in splits.values())
    write_json(os.path.join(folder, DATA), describe_data(splits, task, longest), indent=None)
    write_json(os.path.join(folder, METRICS), metrics)
    columns = data_arguments["label_column"]
    record = {
        "model_arguments": {"model_name_or_path": f"The baseline {name}"},
        "data_arguments": data_arguments,
        "tasks": [task.to_dict()],
        "data_fingerprint": {split: fingerprint(part, columns) for split, part in splits.items()},
        **split_notes(splits),
        "versions": versions(),
    }
    write_json(os.path.join(folder, RECORD), record)
