"""Writes the folder of a finished run: the model, metrics, predictions, and what it takes to repeat the run."""

import glob
import os
import platform
import shutil
import stat
from contextlib import suppress
from importlib import metadata
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerState, TrainingArguments

from ..data.fingerprint import fingerprint
from ..evaluation.by_identity import metrics_by_identity
from ..evaluation.decision import Decision
from ..model.repository_names import cached_commit
from ..model.tasks import Task
from ..model_source import backbone_shape
from ..tasks.targets import label_counts
from ..version import __version__
from .files import (
    DATA,
    METRICS,
    MODEL,
    PREDICTIONS,
    RECORD,
    STATE,
    TEST_NEIGHBOURS,
    naming,
    write_atomically,
    write_json,
)
from .predictions import write_predictions
from .test_neighbours import write_test_neighbours

PACKAGES = ("accelerate", "datasets", "numpy", "tokenizers", "torch", "transformers")


def write_test_predictions(
    folder: str, proteins: Dataset, decision: Decision, references: tuple[np.ndarray, np.ndarray | None]
) -> None:
    """Write `test_predictions.csv`.

    Args:
        folder: The run's folder.
        proteins: N raw test proteins.
        decision: The model's predictions for them.
        references: The true answers of the main task, (N,) or (N, C), and of the auxiliary ones, (N, A') or None.
    """
    ids, lengths = proteins["id"][:], proteins["sequence_length"][:]
    write_predictions(os.path.join(folder, PREDICTIONS), ids, lengths, decision, *references)


def write_nearest(folder: str, splits: DatasetDict, decision: Decision, references: np.ndarray) -> dict[str, Any]:
    """Write `test_neighbours.csv`, if the nearest training proteins of the test proteins were looked for.

    Args:
        folder: The run's folder.
        splits: With N raw test proteins and, if the command line prepared them, `nearest`.
        decision: The model's predictions for them.
        references: The true answers of the main task, (N,) or (N, C).

    Returns:
        `test_by_identity` for `metrics.json`, see [`metrics_by_identity`]; nothing where no search was made.
    """
    nearest = getattr(splits, "nearest", None)
    if nearest is None:
        return {}
    write_test_neighbours(os.path.join(folder, TEST_NEIGHBOURS), nearest)
    return {"test_by_identity": metrics_by_identity(decision, references, nearest.identity, nearest.group)}


def begin_results(folder: str) -> None:
    """Take back that the run is finished, before its results are replaced: it was, with fewer epochs."""
    with suppress(FileNotFoundError):
        os.remove(os.path.join(folder, RECORD))


def write_run(
    folder: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    weights: dict[str, torch.Tensor],
    *,
    data: dict[str, Any],
    state: TrainerState,
    metrics: dict[str, Any],
    record: dict[str, Any],
) -> None:
    """Write everything but the test predictions and the figures.

    Args:
        folder: The run's folder.
        model: The trained model, for `model/`.
        tokenizer: Saved beside it.
        weights: The state dict of the model.
        data: What [`describe_data`] returns, for `data.json`.
        state: Trainer's state, for `trainer_state.json`.
        metrics: For `metrics.json`.
        record: What [`run_record`] returns, for `run.json`.
    """
    begin_results(folder)
    save_model(folder, model, tokenizer, weights)
    write_results(folder, data=data, state=state, metrics=metrics, record=record)


def write_results(
    folder: str, *, data: dict[str, Any], state: TrainerState, metrics: dict[str, Any], record: dict[str, Any]
) -> None:
    """[`write_run`] without the model; `run.json` comes last and marks the run as finished."""
    write_json(os.path.join(folder, DATA), data, indent=None)  # thousands of lengths, not a line each
    write_atomically(os.path.join(folder, STATE), state.save_to_json)
    write_json(os.path.join(folder, METRICS), metrics)
    write_json(os.path.join(folder, RECORD), record)


def save_model(
    folder: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, weights: dict[str, torch.Tensor]
) -> str:
    """Write `model/` in a run's folder, all of it or nothing, and return its path."""
    final = os.path.join(folder, MODEL)
    part = final + ".part"
    shutil.rmtree(part, ignore_errors=True)
    with naming(final):
        model.save_pretrained(part, state_dict=weights)
        tokenizer.save_pretrained(part)
    _make_weights_readable(part)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)
    return final


def _make_weights_readable(folder: str) -> None:
    """Give the weights the permissions of the other files: safetensors 0.8 writes them for their owner alone."""
    for name in glob.glob("*.safetensors", root_dir=folder):
        usual = os.stat(os.path.join(folder, "config.json")).st_mode
        os.chmod(os.path.join(folder, name), stat.S_IMODE(usual))


def describe_data(splits: DatasetDict, task: Task, max_residues: int) -> dict[str, Any]:
    """The proteins of each split in numbers: `classes` (label -> count) and `lengths` (residues, sorted).

    Args:
        splits: Proteins with the columns of the task and `sequence_length`.
        task: The main task; for a regression, `classes` counts the known numbers.
        max_residues: Residues of the longest protein that the model reads whole.
    """
    described = {}
    for name, part in splits.items():
        counts = label_counts(part, task)
        described[name] = {
            "classes": {label: int(number) for label, number in zip(task.labels, counts, strict=True)},
            "lengths": sorted(part["sequence_length"][:]),
        }
    return {"max_residues": max_residues, "splits": described}


def run_record(
    model_arguments: dict[str, Any],
    data_arguments: dict[str, Any],
    training_arguments: TrainingArguments,
    tasks: tuple[Task, ...],
    splits: DatasetDict,
) -> dict[str, Any]:
    """The content of `run.json`: arguments, tasks, data fingerprints, how the splits were made, device and versions.

    Args:
        model_arguments: The fields of `ModelArguments`.
        data_arguments: The fields of `DataArguments`.
        training_arguments: Of the training; tokens in it are masked.
        tasks: The main task, then the auxiliary ones.
        splits: The raw proteins; with `notes`, if the command line prepared them.
    """
    columns = data_arguments.get("label_column", [])  # a pretraining has none
    on_gpu = training_arguments.device.type == "cuda"
    return {
        "model_arguments": _with_shape(model_arguments),
        "data_arguments": data_arguments,
        "training_arguments": training_arguments.to_dict(),  # masks tokens
        "tasks": [task.to_dict() for task in tasks],
        "data_fingerprint": {name: fingerprint(part, columns) for name, part in splits.items()},
        **split_notes(splits),
        "backbone_revision": _backbone_revision(model_arguments),
        "world_size": training_arguments.world_size,
        "device": torch.cuda.get_device_name() if on_gpu else platform.machine(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Name -> version of what numbers depend on."""
    return {
        "protbert_classify": __version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in PACKAGES},
    }


def split_notes(splits: DatasetDict) -> dict[str, Any]:
    """`split_notes` for `run.json`: how the splits were made, if the command line prepared them."""
    notes = getattr(splits, "notes", None)
    return {} if notes is None else {"split_notes": {**notes, "train_proteins": len(splits["train"])}}


def _with_shape(arguments: dict[str, Any]) -> dict[str, Any]:
    """The model's arguments; of a network from scratch with its shape, not the name of the file that has it."""
    if arguments["backbone_config"] is None:
        return arguments
    return {**arguments, "backbone_config": backbone_shape(arguments["backbone_config"]), "model_name_or_path": None}


def _backbone_revision(arguments: dict[str, Any]) -> str | None:
    """The commit of a Hub model, from the cache; None for a folder or a network from scratch."""
    name = arguments["model_name_or_path"]
    if arguments["backbone_config"] is not None or os.path.isdir(name):
        return None
    return cached_commit(name, arguments["model_revision"])
