"""What a finished run leaves behind: its model, numbers and pictures, and what it takes to repeat it."""

import dataclasses
import os
import platform
from importlib import metadata
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from huggingface_hub import try_to_load_from_cache

from ..data.fingerprint import fingerprint
from ..evaluation.decision import Decision
from ..model.tasks import Task
from ..model_source import backbone_shape
from ..reporting.atomic_file import write_atomically
from ..reporting.class_figures import draw_confusion_matrix
from ..reporting.data_figures import draw_length_histogram
from ..reporting.figures import save_figure
from ..reporting.predictions import write_predictions
from ..reporting.run_folder import DATA, FIGURES, METRICS, PREDICTIONS, RECORD, STATE
from ..tasks.targets import label_counts
from ..version import __version__
from .arguments import DataArguments, ModelArguments
from .outputs import save_model, write_json
from .trainer import ProteinTrainer
from .training_arguments import ProteinTrainingArguments

PACKAGES = ("accelerate", "datasets", "numpy", "tokenizers", "torch", "transformers")


Arguments = tuple[ModelArguments, DataArguments, ProteinTrainingArguments]


def write_test_predictions(
    folder: str,
    proteins: Dataset,
    decision: Decision,
    references: tuple[np.ndarray, np.ndarray | None],
    metrics: dict[str, Any],
) -> None:
    """The predictions for the test proteins and, of single labels, their confusion matrix as a picture.

    Args:
        folder: Of the run.
        proteins: N of them, raw.
        decision: The answers of the model.
        references: The true answers of the main task, (N,) or (N, C), and of the auxiliary ones, (N, A') or None.
        metrics: Of the test proteins, `test_` before each name.
    """
    write_predictions(
        os.path.join(folder, PREDICTIONS),
        proteins["id"][:],
        proteins["sequence_length"][:],
        decision,
        *references,
    )
    if "test_confusion_matrix" in metrics:
        figure = draw_confusion_matrix(metrics["test_confusion_matrix"], list(decision.task.labels))
        save_figure(figure, os.path.join(folder, FIGURES, "confusion_matrix.png"))


def write_outputs(
    trainer: ProteinTrainer,
    weights: dict[str, torch.Tensor],
    splits: DatasetDict,
    metrics: dict[str, Any],
    arguments: Arguments,
) -> None:
    """Everything but the test predictions; `run.json` last."""
    model_args, data_args, training_args = arguments
    folder = str(training_args.output_dir)
    model = trainer.accelerator.unwrap_model(trainer.model)
    tasks = model.config.tasks
    save_model(folder, model, trainer.processing_class, weights)
    data = describe_data(splits, tasks[0], model.config.max_sequence_length - sum(model.special_tokens))
    write_json(os.path.join(folder, DATA), data, indent=None)  # a line each of thousands of lengths helps nobody
    lengths = {name: part["lengths"] for name, part in data["splits"].items()}
    save_figure(draw_length_histogram(lengths, data["max_residues"]), os.path.join(folder, FIGURES, "lengths.png"))
    write_atomically(os.path.join(folder, STATE), trainer.state.save_to_json)
    write_json(os.path.join(folder, METRICS), metrics)
    record = {
        "model_arguments": _described(model_args),
        "data_arguments": dataclasses.asdict(data_args),
        "training_arguments": training_args.to_dict(),  # masks tokens
        "tasks": [task.to_dict() for task in tasks],
        "data_fingerprint": {name: fingerprint(part, data_args.label_column) for name, part in splits.items()},
        "backbone_revision": _backbone_revision(model_args),
        "world_size": training_args.world_size,
        "device": torch.cuda.get_device_name() if training_args.device.type == "cuda" else platform.machine(),
        "versions": {
            "protbert_classify": __version__,
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in PACKAGES},
        },
    }
    write_json(os.path.join(folder, RECORD), record)


def describe_data(splits: DatasetDict, task: Task, max_residues: int) -> dict[str, Any]:
    """The proteins of each split in numbers: `classes`, label -> how many, and `lengths`, residues, sorted.

    Args:
        splits: Proteins with the columns of the task and `sequence_length`.
        task: The main one; of a regression, `classes` counts the known numbers.
        max_residues: Of the longest protein that the model reads whole.
    """
    described = {}
    for name, part in splits.items():
        counts = label_counts(part, task)
        described[name] = {
            "classes": {label: int(number) for label, number in zip(task.labels, counts, strict=True)},
            "lengths": sorted(part["sequence_length"][:]),
        }
    return {"max_residues": max_residues, "splits": described}


def _backbone_revision(arguments: ModelArguments) -> str | None:
    """The commit of a Hub model, as the cache has it; None for a folder, or a network from scratch."""
    name = arguments.model_name_or_path
    if arguments.backbone_config is not None or os.path.isdir(name):
        return None
    config = try_to_load_from_cache(name, "config.json", revision=arguments.model_revision)
    return os.path.basename(os.path.dirname(config)) if isinstance(config, str) else None


def _described(arguments: ModelArguments) -> dict[str, Any]:
    """The model's arguments with the shape itself, not the name of its file, for a network from scratch."""
    described = dataclasses.asdict(arguments)
    if arguments.backbone_config is not None:
        described.update(backbone_config=backbone_shape(arguments.backbone_config), model_name_or_path=None)
    return described
