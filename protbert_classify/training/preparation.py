"""Prepares a model and its proteins for training: encoding, the longest input, units of the targets."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainingArguments

from ..data.encoding import encode
from ..errors import OptionError
from ..model import ProteinClassifier
from ..model.configuration import TRAINED_FURTHER
from ..model.tasks import REGRESSION, SINGLE_LABEL
from ..reporting.formatting import count
from ..tasks.targets import fit_targets, targets
from .defaults import OF_A_RECIPE

logger = logging.getLogger(__name__)

OF_WEIGHTS = ("compensated", "logit_adjusted")  # losses
DEFAULT_MAX_LENGTH = 512  # tokens; where neither the model nor the user says how long an input may be


def is_raw(proteins: Any) -> bool:
    """Whether proteins are as they were loaded: sequences and answers, not token ids."""
    return _has_column(proteins, "sequence") and not has_ids(proteins)


def has_ids(proteins: Any) -> bool:
    """Whether proteins are encoded: they have token ids."""
    return _has_column(proteins, "input_ids")


def is_embedded(proteins: Any) -> bool:
    """Whether proteins are embeddings of a frozen backbone; see [`embed`]."""
    return _has_column(proteins, "last_hidden_state")


def _has_column(proteins: Any, name: str) -> bool:
    return isinstance(proteins, Dataset) and name in proteins.column_names


def encode_proteins(proteins: Dataset, tokenizer: PreTrainedTokenizerBase, model: ProteinClassifier) -> Dataset:
    """Token ids, lengths and labels of proteins, as the model reads them.

    Args:
        proteins: Raw, see [`is_raw`]; a task whose columns are missing has no labels. Encoded ones stay as they are.
        tokenizer: The backbone's, see [`tokenizer_for`].
        model: Says which tasks it has, how long an input may be and what is cropped.
    """
    if not is_raw(proteins):
        if has_ids(proteins) and "length" not in proteins.column_names:
            return proteins.add_column("length", [len(ids) for ids in proteins["input_ids"]])
        return proteins
    config = model.config
    return encode(proteins, tokenizer, max_length=config.max_sequence_length, crop=config.crop, tasks=config.tasks)


def keep_weight_names(model: Any) -> None:
    """Let a model save its weights under the names that its modules have.

    transformers 5.23 saves those of an ESM under names of old checkpoints (`LayerNorm.gamma`). `from_pretrained` knows
    them, but Trainer does not: a resumed run, and the best checkpoint, would keep the LayerNorms that were there.

    Args:
        model: Changed in place.
    """
    model._weight_conversions = []


def check_for_problem_type(problem_type: str, args: TrainingArguments) -> None:
    """Refuse options of the training that are for another problem type, and warn of those without effect.

    Args:
        problem_type: Of the main task.
        args: Of the training; plain `TrainingArguments` have fewer options.

    Raises:
        OptionError: `class_sampling` of what has no single class, or with batches that it does not draw.
    """
    power = getattr(args, "class_sampling", 0.0)
    if power and problem_type != SINGLE_LABEL:
        raise OptionError(
            f"class_sampling={power}: expected 0 for {problem_type}, as only {SINGLE_LABEL} draws proteins by their "
            "class; set it to 0"
        )
    if power and args.train_sampling_strategy != "group_by_length":
        raise OptionError(
            f"class_sampling={power}: expected train_sampling_strategy=group_by_length, found "
            f"{args.train_sampling_strategy}"
        )
    for name in ("class_weights", "class_weights_beta"):
        if power and getattr(args, name, 0.0):
            hint = f" {OF_A_RECIPE}" if name == "class_weights" else ""
            logger.warning(
                "%s=%s and class_sampling=%s correct twice for rare classes; expected one of them; set the other one "
                "to 0%s",
                *(name, getattr(args, name), power, hint),
            )
    if args.label_smoothing_factor and problem_type == REGRESSION:
        logger.warning("label_smoothing_factor=%s has no effect on %s", args.label_smoothing_factor, REGRESSION)


def fit_model(
    model: ProteinClassifier, proteins: Dataset | None, class_weights: float = 0.0, class_weights_beta: float = 0.0
) -> None:
    """Set what a model must know before training: the longest input, its positions, units of targets, class weights.

    Args:
        model: Changed in place. `max_sequence_length` is 512 if it was not set, or as much as the backbone can read; an
            absolute position table keeps the rows that such an input can reach.
        proteins: To train on, raw; their targets give a regression its mean and standard deviation, if it has none, and
            classes their weights.
        class_weights: Minus the power of the number of proteins that gives the weight of a class; 0 leaves the model's.
        class_weights_beta: The same by the effective number of proteins, see [`class_weights_for`].

    Raises:
        OptionError: The model is an ensemble, or weights of classes are asked for where there are none.
    """
    config = model.config
    if config.members:
        raise OptionError(TRAINED_FURTHER)
    if config.max_sequence_length is None:
        config.max_sequence_length = min(DEFAULT_MAX_LENGTH, model.max_positions or DEFAULT_MAX_LENGTH)
        logger.info(
            "proteins are cropped to %d tokens; set max_sequence_length for another limit", config.max_sequence_length
        )
    if model.max_positions is not None and model.max_positions > config.max_sequence_length:
        model.resize_position_embeddings(config.max_sequence_length)
    if proteins is not None and is_raw(proteins):
        _fit_units(model, proteins)
    if class_weights or class_weights_beta:
        _fit_class_weights(model, proteins, class_weights, class_weights_beta)
    if config.loss in OF_WEIGHTS and config.class_weights is None:
        logger.warning(
            "loss %s is cross_entropy without class_weights; expected class_weights or class_weights_beta above 0",
            config.loss,
        )


def _fit_class_weights(model: ProteinClassifier, proteins: Dataset | None, power: float, beta: float) -> None:
    config = model.config
    given = f"class_weights={power}" if power else f"class_weights_beta={beta}"
    if config.problem_type != SINGLE_LABEL:
        hint = f"set it to 0 {OF_A_RECIPE}" if power else "set it to 0"
        raise OptionError(
            f"{given}: expected 0 for {config.problem_type}, as only {SINGLE_LABEL} weighs its classes; {hint}"
        )
    if proteins is None or not is_raw(proteins):
        raise OptionError(f"{given}: the training proteins are encoded already; expected raw ones")
    known = targets(proteins, config.task)
    counts = np.bincount(known[known >= 0], minlength=config.num_labels)
    config.class_weights = weights = class_weights_for(counts, power, beta)
    logger.info("class weights: %s", _from_to(weights, counts, config.labels))


def _from_to(values: Sequence[float] | np.ndarray, proteins: np.ndarray, names: Sequence[str]) -> str:
    """The values of the class with the most proteins and of that with the fewest, for a log."""
    found: list[int] = sorted(np.flatnonzero(proteins).tolist(), key=proteins.__getitem__)
    written = [f"{values[c]:.2f} ({names[c]}, {count(proteins[c], 'protein')})" for c in (found[-1], found[0])]
    return f"from {written[0]} to {written[1]}"


def class_weights_for(proteins: np.ndarray, power: float = 0.0, beta: float = 0.0) -> list[float]:
    """Factors of the losses of classes: large for rare ones, and 1 in the mean over the proteins.

    Args:
        proteins: (C,), how many the classes have; a class without one gets 1.
        power: 0 for equal weights, 1 for classes that count the same.
        beta: 0 for equal weights. Above 0, weights are the inverse of the effective number of proteins,
            (1 - beta^n) / (1 - beta), which grows like n up to about 1 / (1 - beta), and little from there on (Cui et
            al. 2019, doi:10.1109/CVPR.2019.00949).
    """
    counts = np.maximum(proteins, 1).astype(float)
    effective = counts**power * (1 - beta**counts) / (1 - beta)
    weights = np.where(proteins > 0, 1 / effective, 0.0)
    weights *= proteins.sum() / (weights * proteins).sum()
    return np.where(proteins > 0, weights, 1.0).tolist()


def draws_per_epoch(labels: np.ndarray, names: Sequence[str], power: float) -> np.ndarray:
    """How often a training protein shall come in an epoch, (N,): often if its class is rare, and 1 in the mean.

    Args:
        labels: (N,), -100 where unknown.
        names: Of the C classes.
        power: 0 for once each, 1 if all classes shall come equally often.
    """
    known = labels >= 0
    counts = np.bincount(labels[known], minlength=len(names))
    weights = np.asarray(class_weights_for(counts, power))
    logger.info("times that a protein is shown in an epoch: %s", _from_to(weights, counts, names))
    return np.where(known, weights[np.where(known, labels, 0)], 1.0)


def _fit_units(model: ProteinClassifier, proteins: Dataset) -> None:
    config = model.config
    if config.problem_type == REGRESSION and config.target_mean is None:
        task = fit_targets(proteins, config.task)
        config.target_mean, config.target_std = list(task.mean or ()), list(task.std or ())
    for index, task in enumerate(config.auxiliary):
        if task.problem_type == REGRESSION and task.mean is None:
            config.auxiliary_tasks[index] = fit_targets(proteins, task).to_dict()


def by_length(lengths: np.ndarray) -> np.ndarray:
    """Rows, longest first: little padding, and memory runs out at once or never."""
    return np.argsort(-np.asarray(lengths), kind="stable")
