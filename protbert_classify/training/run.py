"""The story of a run: load, encode, train, evaluate, save."""

import dataclasses
import logging
import os
from datetime import datetime
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from transformers import AutoConfig, PreTrainedTokenizerBase, set_seed

from ..data.collators import PaddingCollator
from ..data.encoding import encode
from ..data.homology import add_validation, keep_labelled_classes, report_copies, sample
from ..data.sources import Columns, check_there, merge_splits, read_proteins, whole
from ..data.tokenizer import load_tokenizer, protbert_tokenizer
from ..errors import OptionError, first_line
from ..evaluation.metrics import classification_metrics
from ..model import ProteinClassifier, ProteinClassifierConfig
from ..model_source import cannot_load, model_folder
from ..reporting.facts import count
from ..reporting.run_folder import METRICS
from ..tasks.columns import infer_task
from .arguments import DataArguments, ModelArguments
from .beginning import Beginning
from .checkpoints import newest_complete_checkpoint
from .divergence import StopOnDivergence, check_weights
from .duration import TrainingTime
from .early_stopping import EarlyStopping
from .embeddings import EmbeddingCollator, embed
from .interrupt import SaveOnInterrupt
from .lock import FolderLock
from .options import backbone_shape
from .outputs import claim_output_dir, clear_output_dir, is_finished, read_json, write_json
from .record import write_outputs, write_test_calls
from .settings import FILE as SETTINGS
from .settings import FOUND_TOKENS, check_unchanged, run_settings
from .trainer import ProteinTrainer
from .training_arguments import ProteinTrainingArguments

logger = logging.getLogger(__name__)

FEW_TO_CHOOSE_BY = 20  # one protein more or less is 5% of accuracy


def train(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments
) -> dict[str, Any]:
    """Fine-tune a classifier and write everything about it to `training_args.output_dir`.

    Written: `model/` (safetensors, config, tokenizer), `metrics.json`, `test_predictions.csv`, `data.json` (classes and
    lengths of the proteins), `trainer_state.json` (the log), `figures/` and, last, `run.json` (arguments, data
    fingerprint, backbone revision, versions). Checkpoints stay beside them.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: Data, options or a model that cannot be used; nothing is written. Or a training that diverged; the
            checkpoints before are there.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first, unless a run was to be overwritten and the first step
            was not done.
    """
    for source in (data_args.data, data_args.validation_data, data_args.test_data):
        check_there(source)
    with FolderLock(str(training_args.output_dir), wanted=training_args.process_index == 0) as lock:
        return _train(model_args, data_args, training_args, lock)


def _train(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments, lock: FolderLock
) -> dict[str, Any]:
    folder = str(training_args.output_dir)
    checkpoint = claim_output_dir(folder, training_args.resume, training_args.overwrite)
    set_seed(training_args.seed)
    with training_args.main_process_first(desc="reading the data"):
        tokenizer = build_tokenizer(model_args, data_args.max_length)  # checks the model's name before the data is read
        splits = load_splits(data_args)
        labels = keep_labelled_classes(splits)
        task = infer_task(splits, "location")
        task = dataclasses.replace(task, labels=labels)
        splits["train"] = sample(splits["train"], data_args.max_train_samples, data_args.split_seed)
        report_splits(splits, labels)
        settings = run_settings(model_args, data_args, training_args, splits)
        if checkpoint is not None:
            check_unchanged(folder, settings)
            if is_finished(folder, training_args):
                logger.info("the run in %s is finished; more --num_train_epochs would take it further", folder)
                return read_json(os.path.join(folder, METRICS))
        elif training_args.resume:
            logger.info("no complete checkpoint in %s: starting from the beginning", folder)
        encoded = {
            name: encode(part, tokenizer, max_length=data_args.max_length, crop=data_args.crop, tasks=[task])
            for name, part in splits.items()
        }
    model = build_model(model_args, data_args, labels)
    embedded = model_args.freeze_backbone and model_args.cache_embeddings
    learned = embed_splits(model, encoded, training_args) if embedded else encoded
    trainer = build_trainer(model, tokenizer, training_args, learned, EmbeddingCollator() if embedded else None)
    trainer.decide_tokens_per_batch(_found_tokens(folder) if checkpoint is not None else None)

    def begin() -> None:
        os.makedirs(folder, exist_ok=True)
        lock.take()
        if training_args.overwrite:
            clear_output_dir(folder)
        write_json(os.path.join(folder, SETTINGS), {**settings, FOUND_TOKENS: trainer.tokens_per_batch})

    metrics = fit(trainer, checkpoint, Beginning(begin))
    trainer.data_collator = PaddingCollator(model.config.pad_token_id or 0)  # judged is the whole model, not its head
    for split in ("validation", "test"):
        if split in encoded:
            metrics.update(judge(trainer, encoded[split], splits[split], labels, split))
    weights = trainer.accelerator.get_state_dict(trainer.model)  # on all processes: FSDP gathers them here
    if training_args.should_save:
        write_outputs(trainer, tokenizer, weights, splits, labels, metrics, (model_args, data_args, training_args))
    trainer.accelerator.wait_for_everyone()
    if training_args.push_to_hub:
        trainer.push_to_hub()
    return metrics


def _found_tokens(folder: str) -> int | None:
    path = os.path.join(folder, SETTINGS)
    return read_json(path).get(FOUND_TOKENS) if os.path.isfile(path) else None


def load_splits(arguments: DataArguments) -> DatasetDict:
    """`train`, and as far as there are any `validation` and `test`, from one file or several."""
    columns = Columns(arguments.id_column, arguments.sequence_column, arguments.label_column, arguments.split_column)
    options: dict[str, Any] = {
        "ambiguous": arguments.ambiguous,
        "header_pattern": arguments.header_pattern,
        "columns": columns,
    }
    splits = read_proteins(arguments.data, **options)
    others = {"validation": arguments.validation_data, "test": arguments.test_data}
    for split, source in others.items():
        if source is not None:
            splits = merge_splits(splits, split, whole(read_proteins(source, **options)))
    if "train" not in splits:
        raise OptionError(f"{arguments.data}: no training proteins; found {', '.join(splits)} only")
    splits = add_validation(splits, arguments.validation, arguments.split_seed)
    report_copies(splits)
    return DatasetDict({name: splits[name] for name in ("train", "validation", "test") if name in splits})


def report_splits(splits: DatasetDict, labels: list[str]) -> None:
    """Say what is trained on, and how much of each class."""
    sizes = ", ".join(f"{count(len(part), 'protein')} to {name}" for name, part in splits.items())
    names = splits["train"].features["location"].names
    counts = np.bincount(splits["train"]["location"][:], minlength=len(names))
    classes = ", ".join(f"{label} {counts[names.index(label)]:,}" for label in labels)
    logger.info("%s; classes to train: %s", sizes, classes)


def build_tokenizer(arguments: ModelArguments, max_length: int) -> PreTrainedTokenizerBase:
    """The backbone's tokenizer, ours; it stops at `max_length` like the model."""
    if arguments.backbone_config is not None:
        check_max_length(backbone_shape(arguments.backbone_config), max_length)
        tokenizer: PreTrainedTokenizerBase = protbert_tokenizer()
    else:
        name = model_folder(arguments.model_name_or_path)
        try:
            config = AutoConfig.from_pretrained(name, revision=arguments.model_revision, trust_remote_code=False)
            tokenizer = load_tokenizer(name, revision=arguments.model_revision)
        except (OSError, ValueError) as error:
            raise cannot_load(name, error) from error
        check_max_length(getattr(config, "backbone_config", config).to_dict(), max_length)
    tokenizer.model_max_length = max_length
    return tokenizer


def build_model(arguments: ModelArguments, data_args: DataArguments, labels: list[str]) -> ProteinClassifier:
    """A fresh head on a pretrained encoder, or all of it from scratch; as many positions as `max_length` needs."""
    fields: dict[str, Any] = {
        "pooling": arguments.pooling,
        "head": arguments.head,
        "classifier_dropout": arguments.classifier_dropout,
        "light_attention_kernel_size": arguments.light_attention_kernel_size,
        "light_attention_dropout": arguments.light_attention_dropout,
        "freeze_backbone": arguments.freeze_backbone,
        "freeze_layers": arguments.freeze_layers,
        "max_sequence_length": data_args.max_length,
        "crop": data_args.crop,
    }
    options: dict[str, Any] = (
        {} if arguments.attn_implementation is None else {"attn_implementation": arguments.attn_implementation}
    )
    try:
        if arguments.backbone_config is not None:
            shape = backbone_shape(arguments.backbone_config)
            shape.setdefault("vocab_size", len(protbert_tokenizer()))
            shape.setdefault("pad_token_id", 0)
            config = ProteinClassifierConfig(
                shape, **fields, **options, id2label=dict(enumerate(labels)), label2id=_indices(labels)
            )
            model = ProteinClassifier(config)
        else:
            name = model_folder(arguments.model_name_or_path)
            model = ProteinClassifier.from_pretrained(
                name, labels=labels, revision=arguments.model_revision, dtype=torch.float32, **fields, **options
            )
    except OSError as error:
        raise cannot_load(arguments.model_name_or_path, error) from error
    except (ImportError, ValueError) as error:
        raise error if isinstance(error, OptionError) else OptionError(first_line(error)) from error
    if model.max_positions is not None:
        model.resize_position_embeddings(data_args.max_length)
    return model


def embed_splits(
    model: ProteinClassifier, encoded: dict[str, Dataset], arguments: ProteinTrainingArguments
) -> dict[str, Dataset]:
    """What a frozen backbone makes of the proteins that training reads, computed once for all epochs and runs."""
    precision = torch.bfloat16 if arguments.bf16 else torch.float32
    splits = [name for name in ("train", "validation") if name in encoded]
    return {name: embed(model, encoded[name], dtype=precision, device=arguments.device) for name in splits}


def check_max_length(shape: dict[str, Any], max_length: int) -> None:
    """Refuse what absolute positions cannot reach, before data and weights are loaded."""
    positions = shape.get("max_position_embeddings", 512)  # BERT's default
    if shape["model_type"] == "bert" and max_length > positions:
        raise OptionError(f"max_length={max_length}: the backbone has {positions} positions; expected no more")


def build_trainer(
    model: ProteinClassifier,
    tokenizer: PreTrainedTokenizerBase,
    arguments: ProteinTrainingArguments,
    encoded: dict[str, Dataset],
    collator: EmbeddingCollator | None = None,
) -> ProteinTrainer:
    """Without validation proteins nothing can be best or stop early: the last weights are the result."""
    validation = encoded.get("validation")
    if validation is None:
        arguments.eval_strategy = type(arguments.eval_strategy)("no")
        arguments.load_best_model_at_end = False
    name_for_trackers(arguments)
    try:
        trainer = ProteinTrainer(
            model=model,
            args=arguments,
            train_dataset=encoded["train"],
            eval_dataset=validation,
            processing_class=tokenizer,
            data_collator=collator,
        )
    except (ImportError, ValueError, RuntimeError) as error:  # options that transformers checks only here: report_to
        if isinstance(error, RuntimeError) and "to be installed" not in str(error):
            raise
        raise OptionError(first_line(error)) from error
    if arguments.load_best_model_at_end and validation is not None and len(validation) < FEW_TO_CHOOSE_BY:
        logger.warning(
            "%s to choose the best checkpoint by: chance decides among close ones; --validation or --validation_data "
            "gives more",
            count(len(validation), "validation protein"),
        )
    if arguments.load_best_model_at_end and arguments.early_stopping_patience > 0:
        trainer.add_callback(EarlyStopping(arguments.early_stopping_patience))
    return trainer


def name_for_trackers(arguments: ProteinTrainingArguments) -> None:
    """Name the run where a tracker is told of it: without a name, trackio makes two, one for the test metrics alone.

    The name has the time in it, or a run started anew in the same folder would go on in the curves of the former one.
    """
    if arguments.report_to and arguments.run_name is None:
        folder = os.path.basename(os.path.abspath(str(arguments.output_dir)))
        arguments.run_name = f"{folder}-{datetime.now():%Y%m%d-%H%M%S}"


def fit(trainer: ProteinTrainer, checkpoint: str | None, beginning: Beginning) -> dict[str, Any]:
    """Train, from a checkpoint if there is one, and return how it went.

    Raises:
        OptionError: The loss or the weights are no numbers any more.
    """
    if checkpoint is not None:
        logger.info("going on from %s", checkpoint)
    overwriting = bool(getattr(trainer.args, "overwrite", False))
    interrupt = SaveOnInterrupt(after_first_step=overwriting)  # a checkpoint before that would replace the former run
    watch = TrainingTime()
    # in this order: what the first asks to be saved the second looks at, and the third makes room for
    for callback in (interrupt, StopOnDivergence(), beginning, watch):
        trainer.add_callback(callback)
    try:
        result = trainer.train(resume_from_checkpoint=checkpoint)
    except KeyboardInterrupt:  # a second Ctrl-C, or a first one before the former run is replaced
        if overwriting and not beginning.done:
            raise KeyboardInterrupt(f"before the first step was done: {trainer.args.output_dir} is as it was") from None
        raise _interruption(trainer) from None
    finally:
        interrupt.release()
    if interrupt.interrupted:
        raise _interruption(trainer)
    check_weights(trainer.model, trainer.args, trainer.state)
    counts = {
        "train_proteins": len(trainer.train_dataset),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
    }
    # since the last line of the log, Trainer has counted what this process alone computed
    loss = trainer.accelerator.reduce(torch.tensor(result.metrics["train_loss"], device=trainer.args.device), "mean")
    runtime = round(result.metrics["train_runtime"] + watch.seconds, 4)
    return {**result.metrics, "train_loss": float(loss), "train_runtime": runtime, **counts}


def _interruption(trainer: ProteinTrainer) -> KeyboardInterrupt:
    checkpoint = newest_complete_checkpoint(str(trainer.args.output_dir))
    if checkpoint is None:
        return KeyboardInterrupt("before the first checkpoint: the same command with --resume begins anew")
    return KeyboardInterrupt(f"the same command with --resume goes on from {os.path.basename(checkpoint)}")


def judge(
    trainer: ProteinTrainer, encoded: Dataset, proteins: Dataset, labels: list[str], split: str
) -> dict[str, Any]:
    """The metrics of one split, its name before each; test predictions and their matrix are written, too."""
    prefix = "eval" if split == "validation" else split  # the names that trackers know
    output = trainer.predict(encoded, metric_key_prefix=prefix)
    references = np.asarray(encoded["labels"])
    metrics = classification_metrics(output.predictions.argmax(-1), references, labels)
    if split == "test" and trainer.args.should_save:
        folder = str(trainer.args.output_dir)
        matrix = metrics["confusion_matrix"]
        write_test_calls(folder, proteins, references, output.predictions, matrix, labels)
    return {f"{split}_proteins": len(encoded), **{f"{split}_{name}": value for name, value in metrics.items()}}


def _indices(labels: list[str]) -> dict[str, int]:
    return {label: index for index, label in enumerate(labels)}
