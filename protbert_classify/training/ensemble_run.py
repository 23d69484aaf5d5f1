"""Writes the ensemble of several trainings as a run: its model, its metrics, and those of its members.

Shapes: N proteins, C labels, A logits of all auxiliary tasks.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase, TrainerState

from ..data.encoding import encode
from ..evaluation.decision import Decision, decide
from ..evaluation.member_metrics import summarize_members
from ..evaluation.metrics import evaluation_metrics
from ..inference.ensemble import load_ensemble
from ..inference.logits import predict_logits
from ..inference.saved_classifier import load_classifier
from ..model.tasks import REGRESSION
from ..runs.files import METRICS, MODEL, OUT_OF_FOLD, read_json
from ..runs.predictions import write_predictions
from ..runs.writer import (
    begin_results,
    describe_data,
    run_record,
    save_model,
    write_results,
)
from .distributed import check_on_every_process
from .evaluation_loop import labels_of
from .run import Arguments, draw_lengths
from .split_results import evaluate_split, write_test_results
from .training_arguments import ProteinTrainingArguments
from .validation_fits import (
    answered_tasks,
    calibrated,
    held_out,
    set_calibration,
    set_thresholds,
    set_validation_scores,
)

ONE_DISK = "several machines need one folder that all of them see"


class Member(NamedTuple):
    """One of the trainings.

    Args:
        name: Of its folder in `output_dir`.
        seed: Of its training.
        splits: Its proteins.
    """

    name: str
    seed: int
    splits: DatasetDict


def save_ensemble(
    members: Sequence[Member], splits: DatasetDict, folds: np.ndarray | None, arguments: Arguments
) -> dict[str, Any]:
    """Build the ensemble of trained members, evaluate it, and write it as the run of `output_dir`.

    Args:
        members: Whose runs are finished.
        splits: The raw proteins of all; with folds, those of all folds are in `train`.
        folds: (N,), the fold of each protein of `train`, from 1; None without folds.
        arguments: Of the model, the data and the training; recorded in `run.json`.

    Returns:
        The content of `metrics.json`.
    """
    training_args = arguments[-1]
    folder = str(training_args.output_dir)
    paths = [os.path.join(folder, member.name) for member in members]
    each = [_metrics(path) for path in paths]
    if training_args.should_save:
        begin_results(folder)
        ensemble, tokenizer = load_ensemble(paths)
        save_model(folder, ensemble, tokenizer, ensemble.state_dict())
    PartialState().wait_for_everyone()
    model, tokenizer = _load(os.path.join(folder, MODEL), training_args)
    seconds = sum(values["train_runtime"] for values in each)
    seen = sum(values["train_runtime"] * values["train_samples_per_second"] for values in each)
    metrics = {
        "train_runtime": seconds,
        "train_samples_per_second": seen / seconds if seconds else 0.0,
        "train_proteins": len(splits["train"]),
        "parameters": model.num_parameters(),
        "trained_parameters": sum(values["trained_parameters"] for values in each),
        "members": summarize_members([member.name for member in members], each),
    }
    if folds is not None:
        metrics.update(_out_of_fold(members, splits["train"], folds, training_args))
    elif "validation" in splits:
        proteins, logits = _predicted(model, tokenizer, splits["validation"], training_args)
        logits = _calibrated(model, proteins, logits, metrics, training_args)
        metrics.update(evaluate_split(model.config, proteins, logits, "validation")[0])
    if "test" in splits:
        metrics.update(_tested(model, tokenizer, splits, training_args))
    if training_args.should_save:
        _write(folder, model, splits, metrics, arguments, [member.name for member in members])
    PartialState().wait_for_everyone()
    return metrics


def _calibrated(
    model: Any, proteins: Dataset, logits: np.ndarray, metrics: dict[str, Any], arguments: ProteinTrainingArguments
) -> np.ndarray:
    """Calibrate an ensemble whose members share N validation proteins, as [`ProteinTrainer`] does a single model.

    The proteins that no member's checkpoint was chosen by are the same in all members.

    Returns:
        `logits`, (N, C) or (N, C + A), calibrated.
    """
    config = model.config
    classifies = any(task.problem_type != REGRESSION for task in config.tasks)
    if arguments.calibrate == "none" or not classifies:
        return logits
    answers = labels_of(proteins, "labels"), labels_of(proteins, "auxiliary_labels")
    held = held_out(len(proteins)) | (not arguments.load_best_model_at_end)
    tasks = answered_tasks(config, logits, *answers)
    metrics["calibration"] = set_calibration(config, tasks, arguments.calibrate, held)
    logits = calibrated(config, logits)
    tasks = answered_tasks(config, logits, *answers)
    metrics["prediction_sets"] = set_validation_scores(config, tasks, held, arguments.seed)
    set_thresholds(config, answered_tasks(config, logits, *answers))
    if arguments.should_save:
        config.save_pretrained(os.path.join(str(arguments.output_dir), MODEL))
    return logits


def _tested(
    model: Any, tokenizer: PreTrainedTokenizerBase, splits: DatasetDict, arguments: ProteinTrainingArguments
) -> dict[str, Any]:
    """Metrics of the ensemble on the test proteins; writes its predictions."""
    encoded, logits = _predicted(model, tokenizer, splits["test"], arguments)
    found, decision, references = evaluate_split(model.config, encoded, logits, "test")
    if arguments.should_save:
        folder = str(arguments.output_dir)
        found.update(write_test_results(folder, splits, decision, references, found))
    return found


def _write(
    folder: str, model: Any, splits: DatasetDict, metrics: dict[str, Any], arguments: Arguments, names: list[str]
) -> None:
    """What the folder of a run has beside the model and the predictions."""
    config = model.config
    data = describe_data(splits, config.task, config.max_sequence_length - sum(model.special_tokens))
    draw_lengths(folder, data)
    model_args, data_args, training_args = arguments
    told = dataclasses.asdict(model_args), dataclasses.asdict(data_args)
    record = {**run_record(*told, training_args, config.tasks, splits), "members": names}
    write_results(folder, data=data, state=TrainerState(), metrics=metrics, record=record)


def _out_of_fold(
    members: Sequence[Member], proteins: Dataset, folds: np.ndarray, arguments: ProteinTrainingArguments
) -> dict[str, Any]:
    """Metrics of N proteins, each predicted by the member whose validation fold it was in; writes the predictions."""
    decisions, references, auxiliary = [], [], []
    for member in members:
        model, tokenizer = _load(os.path.join(str(arguments.output_dir), member.name), arguments)
        encoded, logits = _predicted(model, tokenizer, member.splits["validation"], arguments)
        decisions.append(decide(logits, model.config))
        references.append(labels_of(encoded, "labels"))
        auxiliary.append(labels_of(encoded, "auxiliary_labels"))
    order = np.argsort(np.concatenate([np.flatnonzero(folds == number) for number in np.unique(folds)]))
    decision = _joined(decisions)[order]
    main, beside = (_concatenated(parts, order) for parts in (references, auxiliary))
    assert main is not None, "its columns were read with the others"
    if arguments.should_save:
        path = os.path.join(str(arguments.output_dir), OUT_OF_FOLD)
        write_predictions(path, proteins["id"][:], proteins["sequence_length"][:], decision, main, beside)
    found = evaluation_metrics(decision, main, beside)
    return {"validation_proteins": len(main), **{f"validation_{name}": value for name, value in found.items()}}


def _concatenated(parts: Sequence[np.ndarray | None], order: np.ndarray) -> np.ndarray | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there)[order] if there else None


def _joined(decisions: Sequence[Decision]) -> Decision:
    """The answers for the proteins of all, one after the other."""
    first = decisions[0]
    others = {name: _joined([decision.auxiliary[name] for decision in decisions]) for name in first.auxiliary}
    scores, chosen = (np.concatenate([getattr(part, name) for part in decisions]) for name in ("scores", "chosen"))
    task = dataclasses.replace(first.task, validation_scores=None, thresholds=None)  # fitted in each fold anew
    return Decision(task, scores, chosen, others)


def _load(folder: str, arguments: ProteinTrainingArguments) -> tuple[Any, PreTrainedTokenizerBase]:
    """A saved model on this process's device, in the precision of the training."""
    check_on_every_process(os.path.isdir(folder), folder, ONE_DISK)
    return load_classifier(folder, str(arguments.device), "bfloat16" if arguments.bf16 else "float32")


def _predicted(
    model: Any, tokenizer: PreTrainedTokenizerBase, proteins: Dataset, arguments: ProteinTrainingArguments
) -> tuple[Dataset, np.ndarray]:
    """Encoded proteins, and their logits on every process, (N, C) or (N, C + A); each computes its share."""
    config = model.config
    with arguments.main_process_first(desc="encoding"):
        encoded = encode(
            proteins, tokenizer, max_length=config.max_sequence_length, crop=config.crop, tasks=config.tasks
        )
    world, rank = arguments.world_size, arguments.process_index
    share = encoded.select(range(rank, len(encoded), world))
    found = predict_logits(model, share["input_ids"][:])
    parts = [found] if world == 1 else gather_object([found])
    logits = np.empty((len(encoded), parts[0].shape[1]), dtype=np.float32)
    for start, part in enumerate(parts):
        if len(part):
            logits[start::world] = part
    return encoded, logits


def _metrics(path: str) -> dict[str, Any]:
    """Of a member's run."""
    path = os.path.join(path, METRICS)
    check_on_every_process(os.path.isfile(path), path, ONE_DISK)
    return read_json(path)
