"""Resuming: what must be the same as when the run began, and which checkpoint is the best one so far."""

import hashlib
import json
import os
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import TrainerState, TrainingArguments

from ..errors import OptionError
from ..model import ProteinClassifierConfig
from ..reporting.facts import count
from .checkpoints import is_complete
from .early_stopping import EarlyStopping
from .preparation import has_ids

FILE = "settings.json"  # written when a run begins
FOUND_TOKENS = "found_tokens_per_batch"  # what `auto` came to when the run began; it holds for all of the run
# the number of epochs may grow, and how often something is logged, saved or evaluated is free
SHAPING = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "label_smoothing_factor",
    "optim",
    "bf16",
    "fp16",
    "seed",
    "data_seed",
    "train_sampling_strategy",
    "tokens_per_batch",
    "packing",
    "world_size",
)
# of the model's configuration
MODEL = (
    "pooling",
    "head",
    "classifier_dropout",
    "light_attention_kernel_size",
    "light_attention_dropout",
    "freeze_backbone",
    "freeze_layers",
    "max_sequence_length",
    "crop",
    "loss",
)


def run_settings(
    config: ProteinClassifierConfig, arguments: TrainingArguments, proteins: dict[str, Any]
) -> dict[str, Any]:
    """Everything that shapes the weights, as JSON has it.

    Args:
        config: Of the model.
        arguments: Of the training.
        proteins: By name, encoded; what has no token ids is not compared.
    """
    settings = {
        **{name: getattr(config, name) for name in MODEL},
        "tasks": [_without_fitted(task.to_dict()) for task in config.tasks],
        **{name: getattr(arguments, name, None) for name in SHAPING},
        **{name: encoded_fingerprint(part) for name, part in proteins.items() if has_ids(part)},
    }
    return as_json(settings)


def as_json(values: dict[str, Any]) -> dict[str, Any]:
    """Values as they come back from a JSON file."""
    return json.loads(json.dumps(values, default=str))


def _without_fitted(task: dict[str, Any]) -> dict[str, Any]:
    """A task without what training fits, which differs from checkpoint to checkpoint."""
    return {name: value for name, value in task.items() if name != "thresholds"}


def encoded_fingerprint(proteins: Dataset) -> str:
    """SHA-256 of token ids and labels, in order: the same proteins for a model, the same fingerprint."""
    digest = hashlib.sha256()
    columns = [name for name in ("labels", "auxiliary_labels") if name in proteins.column_names]
    for rows in proteins.with_format("numpy").iter(batch_size=1000):
        for ids in rows["input_ids"]:
            digest.update(np.ascontiguousarray(ids, dtype=np.int64).tobytes() + b"|")
        for name in columns:
            digest.update(np.ascontiguousarray(rows[name], dtype=np.float64).tobytes())
    return digest.hexdigest()


def choose_best_again(state: TrainerState, metric: str, greater_is_better: bool, folder: str) -> None:
    """Find the best checkpoint of the log by another metric than it was chosen by before.

    Args:
        state: Of the resumed training, changed in place. Evaluations whose checkpoint is gone do not count.
        metric: Trainer's `metric_for_best_model`.
        greater_is_better: Whether a higher value is better.
        folder: With the checkpoints.
    """
    name = f"eval_{metric.removeprefix('eval_')}"
    evaluations = [(entry["step"], entry[name]) for entry in state.log_history if name in entry]
    there = [(step, value) for step, value in evaluations if is_complete(checkpoint_of(folder, step))]
    best = (max if greater_is_better else min)(there, key=lambda found: found[1], default=None)
    state.best_global_step, state.best_metric = best if best is not None else (None, None)
    state.best_model_checkpoint = checkpoint_of(folder, best[0]) if best is not None else None
    waited = sum(1 for step, _ in evaluations if best is not None and step > best[0])
    early = state.stateful_callbacks.get(EarlyStopping.__name__)
    if early is not None:
        early["attributes"]["early_stopping_patience_counter"] = waited


def checkpoint_of(folder: str, step: int) -> str:
    """Where the checkpoint of a step is."""
    return os.path.join(folder, f"checkpoint-{step}")


def check_unchanged(output_dir: str, settings: dict[str, Any]) -> None:
    """Refuse to resume with other settings than those the run began with.

    Raises:
        OptionError: Names the first of them that changed, before and now.
    """
    path = os.path.join(output_dir, FILE)
    if not os.path.isfile(path):
        return
    with open(path, encoding="utf-8") as file:
        before = json.load(file)
    before.pop(FOUND_TOKENS, None)
    changed = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
    if "world_size" in changed:
        raise OptionError(
            f"--resume: the run in {output_dir} began on {count(before['world_size'], 'process')}, and this is "
            f"{count(settings['world_size'], 'process')}; continue with as many (--num_processes), or start again with "
            "--overwrite"
        )
    if changed:
        name = changed[0]
        was, now = (str(values.get(name))[:60] for values in (before, settings))
        more = f" (and {', '.join(changed[1:])})" if len(changed) > 1 else ""
        raise OptionError(
            f"--resume: {name} was {was} when the run in {output_dir} began and is {now}{more}; "
            "continue with the same data and options, or start again with --overwrite"
        )
