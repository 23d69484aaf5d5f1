"""The story of a run: load, train, evaluate, save; a trainer, and a folder around it."""

import dataclasses
import logging
import os
from datetime import datetime
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedTokenizerBase, set_seed

from ..data.columns import Columns
from ..data.fingerprint import fingerprint
from ..data.loading import check_there, read_proteins
from ..data.splitting import (
    add_validation,
    keep_labelled_classes,
    merge_splits,
    report_copies,
    sample,
    whole,
    without_unknown,
)
from ..data.tokenizer import PROTBERT_VOCABULARY, load_tokenizer, protbert_tokenizer
from ..errors import DataError, OptionError, first_line
from ..evaluation.decision import decide
from ..evaluation.metrics import evaluation_metrics
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model.backbone import count_special_tokens
from ..model.tasks import Task
from ..model_source import backbone_shape, cannot_load, check_max_length, resolve_model_path
from ..reporting.facts import count
from ..reporting.run_folder import METRICS
from ..tasks.columns import infer_task
from ..tasks.targets import label_counts
from .agreement import agree
from .arguments import DataArguments, ModelArguments
from .evaluation import labels_of
from .lock import FolderLock
from .outputs import claim_output_dir, is_finished, read_json
from .record import Arguments, write_outputs, write_test_predictions
from .resume import as_json, check_unchanged
from .trainer import ProteinTrainer
from .training_arguments import ProteinTrainingArguments

logger = logging.getLogger(__name__)

FEW_TO_CHOOSE_BY = 20  # one protein more or less is 5% of accuracy
MODEL_FIELDS = (
    "pooling",
    "head",
    "loss",
    "classifier_dropout",
    "light_attention_kernel_size",
    "light_attention_dropout",
    "freeze_backbone",
    "freeze_layers",
)
# where the data lies may change: its fingerprint tells whether it is the same
FREE_DATA = ("data", "validation_data", "test_data")


def train(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments
) -> dict[str, Any]:
    """Fine-tune a classifier and write everything about it to `training_args.output_dir`.

    Written: `model/` (safetensors, config, tokenizer), `metrics.json`, `test_predictions.csv`, `data.json` (labels and
    lengths of the proteins), `trainer_state.json` (the log), `figures/` and, last, `run.json` (arguments, tasks, data
    fingerprint, backbone revision, versions). Checkpoints stay beside them.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: Data, options or a model that cannot be used; nothing is written. Or the loss became NaN; earlier
            checkpoints are kept.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first, unless a run was to be overwritten and the first step
            was not done.
    """
    for source in (data_args.data, data_args.validation_data, data_args.test_data):
        check_there(source)
    arguments = model_args, data_args, training_args
    folder, is_first = str(training_args.output_dir), training_args.process_index == 0
    with FolderLock(folder, wanted=is_first):
        # refused now, before anything is read; the trainer asks again
        agree(lambda: claim_output_dir(folder, training_args.resume, training_args.overwrite), is_first)
        set_seed(training_args.seed)
        with training_args.main_process_first(desc="reading the data"):
            tokenizer = build_tokenizer(model_args, data_args.max_length)  # checks the model's name first
            splits, tasks = load_data(data_args)
        trainer = build_trainer(build_model(model_args, data_args, tasks), tokenizer, training_args, splits)
        trainer.settings = command_settings(model_args, data_args, splits)
        if agree(lambda: _is_finished(trainer), is_first):
            logger.info("the run in %s is finished; more --num_train_epochs would take it further", folder)
            return read_json(os.path.join(folder, METRICS))
        return save_run(trainer, splits, arguments, trainer.train().metrics)


def load_data(arguments: DataArguments) -> tuple[DatasetDict, tuple[Task, ...]]:
    """The proteins of a training, and what is learned about them: the main task, then the auxiliary ones.

    Raises:
        InputError: Proteins or columns that cannot be used.
    """
    splits = load_splits(arguments)
    splits = without_unknown(splits, main_task(splits, arguments))
    main = keep_labelled_classes(splits, main_task(splits, arguments))
    others = [
        dataclasses.replace(
            keep_labelled_classes(splits, infer_task(splits, column), auxiliary=True), weight=arguments.auxiliary_weight
        )
        for column in arguments.auxiliary_tasks
    ]
    splits["train"] = sample(splits["train"], arguments.max_train_samples, arguments.split_seed, main)
    report_splits(splits, main)
    return splits, (main, *others)


def main_task(splits: DatasetDict, arguments: DataArguments) -> Task:
    """The task that the label columns ask."""
    return infer_task(splits, arguments.label_column, problem_type=arguments.problem_type, name=arguments.task_name)


def load_splits(arguments: DataArguments) -> DatasetDict:
    """`train`, and as far as there are any `validation` and `test`, from one file or several."""
    options: dict[str, Any] = {
        "ambiguous": arguments.ambiguous,
        "header_pattern": arguments.header_pattern,
        "columns": columns_of(arguments),
    }
    splits = read_proteins(arguments.data, **options)
    others = {"validation": arguments.validation_data, "test": arguments.test_data}
    for split, source in others.items():
        if source is not None:
            splits = merge_splits(splits, split, whole(read_proteins(source, **options)))
    if "train" not in splits:
        raise OptionError(f"{arguments.data}: no training proteins; found {', '.join(splits)} only")
    splits = add_validation(splits, arguments.validation, arguments.split_seed, main_task(splits, arguments))
    report_copies(splits, main_task(splits, arguments))
    return DatasetDict({name: splits[name] for name in ("train", "validation", "test") if name in splits})


def columns_of(arguments: DataArguments) -> Columns:
    """Names of a table's columns."""
    return Columns(
        id=arguments.id_column,
        sequence=arguments.sequence_column,
        label=arguments.label_column,
        split=arguments.split_column,
        auxiliary=arguments.auxiliary_tasks,
        problem_type=arguments.problem_type,
    )


def report_splits(splits: DatasetDict, task: Task) -> None:
    """Say what is trained on, and how much of each class."""
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in splits.items())
    counts = label_counts(splits["train"], task)
    labels = ", ".join(f"{label} {number:,}" for label, number in zip(task.labels, counts, strict=True))
    logger.info("proteins: %s; %s in train: %s", sizes, task.name, labels)


def build_tokenizer(arguments: ModelArguments, max_length: int) -> PreTrainedTokenizerBase:
    """The backbone's tokenizer, ours; it stops at `max_length` like the model."""
    if arguments.backbone_config is not None:
        check_max_length(scratch_config(arguments).backbone_config, max_length)
        tokenizer: PreTrainedTokenizerBase = protbert_tokenizer()
    else:
        name = resolve_model_path(arguments.model_name_or_path)
        try:
            config = AutoConfig.from_pretrained(name, revision=arguments.model_revision, trust_remote_code=False)
            tokenizer = load_tokenizer(name, revision=arguments.model_revision)
        except (OSError, ValueError) as error:
            raise cannot_load(name, error) from error
        check_max_length(getattr(config, "backbone_config", config), max_length)
    tokenizer.model_max_length = max_length
    return tokenizer


def build_model(arguments: ModelArguments, data_args: DataArguments, tasks: tuple[Task, ...]) -> ProteinClassifier:
    """Fresh heads on a pretrained encoder, or all of it from scratch; what cannot be is one line."""
    fields = model_fields(arguments, data_args, tasks)
    try:
        if arguments.backbone_config is not None:
            return ProteinClassifier(scratch_config(arguments, **fields))
        return ProteinClassifier.from_pretrained(resolve_model_path(arguments.model_name_or_path), **fields)
    except OSError as error:
        raise cannot_load(arguments.model_name_or_path, error) from error
    except (ImportError, ValueError) as error:
        raise error if isinstance(error, OptionError) else OptionError(first_line(error)) from error


def model_fields(arguments: ModelArguments, data_args: DataArguments, tasks: tuple[Task, ...]) -> dict[str, Any]:
    """The options of a model as keywords of `ProteinClassifier.from_pretrained`, or of the configuration."""
    main, *others = tasks
    fields: dict[str, Any] = {
        "labels": list(main.labels),
        "problem_type": main.problem_type,
        "task_name": main.name,
        "auxiliary_tasks": others,
        "max_sequence_length": data_args.max_length,
        "crop": data_args.crop,
        "dtype": torch.float32,
    }
    fields.update((name, getattr(arguments, name)) for name in MODEL_FIELDS)
    if arguments.attn_implementation is not None:
        fields["attn_implementation"] = arguments.attn_implementation
    if arguments.backbone_config is None:
        fields["revision"] = arguments.model_revision
    return fields


def backbone_fields(arguments: ModelArguments) -> dict[str, Any]:
    """The shape of an encoder from scratch, with ProtBERT's vocabulary unless it says otherwise."""
    assert arguments.backbone_config is not None
    ours = {"vocab_size": len(PROTBERT_VOCABULARY), "pad_token_id": 0}
    return {**ours, **backbone_shape(arguments.backbone_config)}


def scratch_config(arguments: ModelArguments, **fields: Any) -> ProteinClassifierConfig:
    """The configuration of a network from scratch, which reads what ProtBERT's tokenizer writes.

    Raises:
        OptionError: Not an encoder, or a field that cannot be.
    """
    fields["special_tokens"] = count_special_tokens(protbert_tokenizer())
    try:
        return ProteinClassifierConfig(backbone_fields(arguments), **fields)
    except StrictDataclassError as error:
        raise OptionError(f"backbone_config: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise error if isinstance(error, OptionError) else OptionError(first_line(error)) from error


def build_trainer(
    model: ProteinClassifier,
    tokenizer: PreTrainedTokenizerBase,
    arguments: ProteinTrainingArguments,
    splits: DatasetDict,
) -> ProteinTrainer:
    """The trainer of the proteins; options that transformers checks only there become one line."""
    validation = splits.get("validation")
    name_for_trackers(arguments)
    try:
        trainer = ProteinTrainer(
            model=model,
            args=arguments,
            train_dataset=splits["train"],
            eval_dataset=validation,
            processing_class=tokenizer,
        )
    except (DataError, OptionError):
        raise
    except (ImportError, ValueError, RuntimeError) as error:  # report_to, say
        if isinstance(error, RuntimeError) and "to be installed" not in str(error):
            raise
        raise OptionError(first_line(error)) from error
    if arguments.load_best_model_at_end and validation is not None and len(validation) < FEW_TO_CHOOSE_BY:
        logger.warning(
            "%s to choose the best checkpoint by: between checkpoints of similar scores, chance decides; --validation "
            "or --validation_data gives more",
            count(len(validation), "validation protein"),
        )
    return trainer


def name_for_trackers(arguments: ProteinTrainingArguments) -> None:
    """Name the run where a tracker is told of it: without a name, trackio makes two, one for the test metrics alone.

    The name has the time in it, or a run started again in the same folder would continue the curves of the former one.
    """
    if arguments.report_to and arguments.run_name is None:
        folder = os.path.basename(os.path.abspath(str(arguments.output_dir)))
        arguments.run_name = f"{folder}-{datetime.now():%Y%m%d-%H%M%S}"


def command_settings(model_args: ModelArguments, data_args: DataArguments, splits: DatasetDict) -> dict[str, Any]:
    """What a resumed run must share with the one that began, beside what a trainer knows."""
    data = {name: value for name, value in dataclasses.asdict(data_args).items() if name not in FREE_DATA}
    answers = columns_of(data_args).answers
    prints = {f"{name} proteins": fingerprint(part, answers) for name, part in splits.items()}
    return as_json({**dataclasses.asdict(model_args), **data, **prints})


def _is_finished(trainer: ProteinTrainer) -> bool:
    """Whether the run that is to be resumed was written to its end, with the same settings."""
    folder = str(trainer.args.output_dir)
    if not trainer.args.resume or not is_finished(folder, trainer.args):
        return False
    check_unchanged(folder, trainer.compared_settings())
    return True


def save_run(
    trainer: ProteinTrainer, splits: DatasetDict, arguments: Arguments, train_metrics: dict[str, Any]
) -> dict[str, Any]:
    """Evaluate a trained model and write its run to `output_dir`.

    Args:
        trainer: That has trained.
        splits: The proteins, raw; `validation` and `test` are evaluated.
        arguments: Of the model, the data and the training; recorded in `run.json`.
        train_metrics: What `trainer.train()` returned.

    Returns:
        The content of `metrics.json`.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    metrics = {
        **train_metrics,
        "train_proteins": len(splits["train"]),
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    if "validation" in splits:
        metrics.update(_measured(trainer, trainer.eval_dataset, trainer.validation_logits(), "validation")[0])
    if "test" in splits:
        proteins = trainer.encoded(splits["test"])
        found, decision, references = _measured(trainer, proteins, trainer.predict(proteins).predictions, "test")
        metrics.update(found)
        if trainer.args.should_save:
            write_test_predictions(str(trainer.args.output_dir), splits["test"], decision, references, found)
    weights = trainer.accelerator.get_state_dict(trainer.model)  # on all processes: FSDP gathers them here
    if trainer.args.should_save:
        write_outputs(trainer, weights, splits, metrics, arguments)
    trainer.accelerator.wait_for_everyone()
    if trainer.args.push_to_hub:
        trainer.push_to_hub()
    return metrics


def _measured(trainer: ProteinTrainer, proteins: Dataset, logits: np.ndarray, split: str) -> tuple[Any, Any, Any]:
    """Metrics with the split's name before each, the answers, and what is true: main and auxiliary references."""
    decision = decide(logits, trainer.accelerator.unwrap_model(trainer.model).config)
    main, auxiliary = labels_of(proteins, "labels"), labels_of(proteins, "auxiliary_labels")
    assert main is not None, "its columns were read with the others"
    metrics = evaluation_metrics(decision, main, auxiliary)
    named = {f"{split}_{name}": value for name, value in metrics.items()}
    return {f"{split}_proteins": len(proteins), **named}, decision, (main, auxiliary)
