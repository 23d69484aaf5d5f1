"""Resuming a run: from which checkpoint, with which settings, and which checkpoint is the best so far."""

import hashlib
import json
import logging
import os
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset
from transformers import TrainerState, TrainingArguments
from transformers.trainer import SCHEDULER_NAME

from ..errors import OptionError
from ..evaluation.best_evaluation import metric_key, rank
from ..homology.neighbours import COVERAGE, IDENTITY
from ..model import ProteinClassifierConfig
from ..model.heads import HEADS
from ..model.tasks import VALIDATION_FITS
from ..reporting.formatting import count
from ..runs.checkpoints import MARKER, checkpoint_path, is_complete, newest_complete_checkpoint
from ..runs.files import SETTINGS, read_json, write_json
from ..runs.lock import FolderLock
from ..runs.output_dir import claim_output_dir, clear_output_dir
from .callbacks import EarlyStopping
from .distributed import check_on_every_process, on_main_process
from .preparation import has_ids

logger = logging.getLogger(__name__)

COMMAND_SETTING = "model_name_or_path"  # in the settings of runs of our commands, and of no others
FOUND_TOKENS = "found_tokens_per_batch"  # the number that `auto` became when the run began; a resumed run keeps it
FOUND_LAYER = "found_layer"  # likewise of `layer`
LAYERS = "num_hidden_layers"  # of the backbone, which may have been cut; not in the settings of earlier runs
# of runs that began before there were these options
FORMER = {
    "split": "identical",
    "split_identity": IDENTITY,
    "split_coverage": COVERAGE,
    "light_attention_layers": 0,
    "class_weights": 0.0,
    "class_weights_beta": 0.0,
    "class_sampling": 0.0,
    "head_learning_rate": None,
    "layer_decay": 1.0,
    "tuning": "full",
    "lora_bits": 32,
    "layer": None,
}
# training arguments that must not change; num_train_epochs may grow, and the logging, saving and evaluation are free
TRAINING_SETTINGS = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "label_smoothing_factor",
    "class_weights",
    "class_weights_beta",
    "class_sampling",
    "head_learning_rate",
    "layer_decay",
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
# fields of the model's configuration that must not change
MODEL_SETTINGS = (
    "pooling",
    "head",
    "classifier_dropout",
    "light_attention_kernel_size",
    "light_attention_layers",
    "light_attention_dropout",
    "freeze_backbone",
    "freeze_layers",
    "max_sequence_length",
    "crop",
    "loss",
)


class ResumableRun:
    """The run in `output_dir`: begins one there, or finds the checkpoint to resume from.

    Args:
        args: Of the training; plain `TrainingArguments` have no `resume` and `overwrite`, and nothing is refused.
        settings: What a resumed run must share with the one that began.
        lock: The training's lock on the folder.
        began: Whether this trainer has trained here before.
    """

    def __init__(self, args: TrainingArguments, settings: dict[str, Any], lock: FolderLock, began: bool) -> None:
        self.args, self.settings, self.lock, self.began = args, settings, lock, began
        self.path = str(args.output_dir)
        self.is_main = PartialState().is_main_process

    def checkpoint(self, given: str | bool | None) -> str | None:
        """The checkpoint to resume from, the same on all processes; None to start from the beginning.

        Args:
            given: A checkpoint; True for the newest complete one.

        Raises:
            OptionError: The folder holds another run, or one that began with other settings; or not every machine has
                the checkpoint.
        """
        if isinstance(given, str):
            found: str | None = given
        else:
            name = on_main_process(lambda: self._claim(bool(given)), self.is_main)
            found = None if name is None else os.path.join(self.path, name)
        if found is not None:
            is_there = os.path.isdir(found) if isinstance(given, str) else os.path.isfile(os.path.join(found, MARKER))
            advice = "several machines need one folder that all of them see, or save_on_each_node"
            check_on_every_process(is_there, found, advice)
            if self.is_main:
                logger.info("resuming from %s", found)
        return found

    def found_tokens(self) -> int | None:
        """The number that `tokens_per_batch="auto"` became when the run began."""

        def read() -> int | None:
            path = os.path.join(self.path, SETTINGS)
            return read_json(path).get(FOUND_TOKENS) if os.path.isfile(path) else None

        return on_main_process(read, self.is_main)

    def begin(self, tokens_per_batch: int | None) -> None:
        """Replace an earlier run if `overwrite` is set, and write this one's settings."""
        os.makedirs(self.path, exist_ok=True)
        self.lock.take()
        if getattr(self.args, "overwrite", False) and not self.began:
            clear_output_dir(self.path)
        write_json(os.path.join(self.path, SETTINGS), {**self.settings, FOUND_TOKENS: tokens_per_batch})

    def _claim(self, wanted: bool) -> str | None:
        """The name of the checkpoint to resume from."""
        resume = wanted or bool(getattr(self.args, "resume", False))
        if not hasattr(self.args, "resume") or (self.began and not resume):
            found = newest_complete_checkpoint(self.path) if wanted else None
        else:
            found = claim_output_dir(self.path, resume, bool(getattr(self.args, "overwrite", False)))
        if found is not None:
            check_unchanged(self.path, self.settings)
            check_whole(found)
        elif wanted:
            raise OptionError(f"{self.path} has no complete checkpoint to resume from")
        elif resume:
            logger.info("no complete checkpoint in %s: starting from the beginning", self.path)
        return None if found is None else os.path.basename(found)


def check_whole(checkpoint: str) -> None:
    """Refuse a checkpoint of weights alone: the optimizer would start again, at the first learning rate.

    Raises:
        OptionError: It was saved with `save_only_model`.
    """
    if not os.path.isfile(os.path.join(checkpoint, SCHEDULER_NAME)):
        raise OptionError(
            f"resume: {checkpoint} has no optimizer (save_only_model), so that the training would not continue as it "
            "began; start again with overwrite, or from these weights with model_name_or_path"
        )


def run_settings(
    config: ProteinClassifierConfig, arguments: TrainingArguments, proteins: dict[str, Any]
) -> dict[str, Any]:
    """Everything that shapes the weights, as JSON has it.

    Args:
        config: Of the model.
        arguments: Of the training.
        proteins: Name -> encoded proteins; those without token ids are not compared.
    """
    settings = {
        **{name: getattr(config, name) for name in (*MODEL_SETTINGS, LAYERS)},
        "tasks": [_without_fitted(task.to_dict()) for task in config.tasks],
        **_tuning(config),
        **training_settings(arguments),
        **{name: encoded_fingerprint(part) for name, part in proteins.items() if has_ids(part)},
    }
    return as_json(settings)


def _tuning(config: ProteinClassifierConfig) -> dict[str, Any]:
    """What trains beside the pooling and the head, under the names of the options; `freeze_backbone` has its own."""
    if config.adapter is None:
        return {"tuning": "full"}
    given = {name: value for name, value in config.adapter.items() if not name.startswith("base_")}
    # the base model may have moved, but must be the same
    base = {"weights of the base model": config.adapter["base_sample"]}
    return {"tuning": "lora", **{f"lora_{name}": value for name, value in given.items()}, **base}


def training_settings(arguments: TrainingArguments) -> dict[str, Any]:
    """The arguments of a training that must not change, as JSON has them."""
    return as_json({name: getattr(arguments, name, FORMER.get(name)) for name in TRAINING_SETTINGS})


def as_json(values: dict[str, Any]) -> dict[str, Any]:
    """Values as they come back from a JSON file."""
    return json.loads(json.dumps(values, default=str))


def _without_fitted(task: dict[str, Any]) -> dict[str, Any]:
    """A task without what is fitted to validation proteins, which differs between checkpoints."""
    return {name: value for name, value in task.items() if name not in VALIDATION_FITS}


def encoded_fingerprint(proteins: Dataset) -> str:
    """SHA-256 of token ids and labels, in order: equal for the same proteins as the model reads them."""
    digest = hashlib.sha256()
    columns = [name for name in ("labels", "auxiliary_labels") if name in proteins.column_names]
    for rows in proteins.with_format("numpy").iter(batch_size=1000):
        for ids in rows["input_ids"]:
            digest.update(np.ascontiguousarray(ids, dtype=np.int64).tobytes() + b"|")
        for name in columns:
            digest.update(np.ascontiguousarray(rows[name], dtype=np.float64).tobytes())
    return digest.hexdigest()


def choose_best_again(state: TrainerState, metric: str, greater_is_better: bool, folder: str) -> None:
    """Find the best checkpoint in the log by a metric other than the one it was chosen by before.

    Args:
        state: Of the resumed training, changed in place. Evaluations whose checkpoint was deleted do not count.
        metric: Trainer's `metric_for_best_model`.
        greater_is_better: Whether a higher value is better.
        folder: The folder with the checkpoints.
    """
    name = metric_key(metric)
    evaluations = [entry for entry in state.log_history if name in entry]
    there = [entry for entry in evaluations if is_complete(checkpoint_path(folder, entry["step"]))]
    best = max(there, key=lambda entry: rank(entry, metric, greater_is_better), default=None)
    step = None if best is None else best["step"]
    state.best_global_step, state.best_metric = step, None if best is None else best[name]
    state.best_model_checkpoint = None if step is None else checkpoint_path(folder, step)
    waited = sum(1 for entry in evaluations if step is not None and entry["step"] > step)
    early = state.stateful_callbacks.get(EarlyStopping.__name__)
    if early is not None:
        early["attributes"]["early_stopping_patience_counter"] = waited


def find_best_again(state: TrainerState, folder: str) -> None:
    """Find the best checkpoint in a run's folder that was moved, or that has another name from where this process is.

    Args:
        state: Of the resumed run; changed.
        folder: Of the run.
    """
    if state.best_global_step and state.best_model_checkpoint is None:
        best = checkpoint_path(folder, state.best_global_step)
        state.best_model_checkpoint = best if is_complete(best) else None


def stopped_early(state: TrainerState, patience: int) -> bool:
    """Whether a resumed run had ended by early stopping, with the patience that it has now."""
    saved = state.stateful_callbacks.get(EarlyStopping.__name__)
    return bool(patience and saved) and saved["attributes"]["early_stopping_patience_counter"] >= patience


def check_unchanged(output_dir: str, settings: dict[str, Any]) -> None:
    """Refuse to resume with settings other than those the run began with.

    Raises:
        OptionError: Names the first setting that changed, and its old and new value.
    """
    path = os.path.join(output_dir, SETTINGS)
    if not os.path.isfile(path):
        return
    with open(path, encoding="utf-8") as file:
        before = json.load(file)
    before = {name: value for name, value in before.items() if name not in (FOUND_TOKENS, FOUND_LAYER)}
    settings = {name: value for name, value in settings.items() if name != FOUND_LAYER}
    if LAYERS in settings:
        before.setdefault(LAYERS, settings[LAYERS])
    before = {**{name: value for name, value in FORMER.items() if name in settings}, **before}
    if "head" in before:
        before["head"] = HEADS.resolve(before["head"])
    by_command = COMMAND_SETTING in before
    if by_command != (COMMAND_SETTING in settings):
        began = f"protbert-classify {before.get('command', 'train')}" if by_command else "ProteinTrainer"
        advice = "with that command" if by_command else "in Python"
        raise OptionError(
            f"resume: the run in {output_dir} began with {began}; resume it {advice}, or start again with overwrite"
        )
    changed = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
    if "world_size" in changed:
        raise OptionError(
            f"resume: the run in {output_dir} began on {count(before['world_size'], 'process')}, and this is "
            f"{count(settings['world_size'], 'process')}; continue with as many (num_processes), or start again with "
            "overwrite"
        )
    if changed:
        name = changed[0]
        was, now = ("not set" if (v := values.get(name)) is None else str(v)[:60] for values in (before, settings))
        more = f" ({', '.join(changed[1:])} changed, too)" if len(changed) > 1 else ""
        raise OptionError(
            f"resume: {name} was {was} when the run in {output_dir} began and is {now}{more}; "
            "continue with the same data and options, or start again with overwrite"
        )
