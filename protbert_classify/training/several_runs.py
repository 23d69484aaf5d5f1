"""Trains several models, by seeds or by folds, and saves their ensemble as one run."""

import copy
import dataclasses
import gc
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase, set_seed

from ..data.folds import find_folds
from ..data.splitting import whole
from ..hub import push_model
from ..inference.engine import empty_cache
from ..model.tasks import Task
from ..runs.files import METRICS, SETTINGS, read_json, write_json
from ..runs.lock import FolderLock
from ..runs.output_dir import clear_output_dir, is_finished
from .arguments import DataArguments, ModelArguments
from .build_model import build_tokenizer
from .distributed import on_main_process
from .ensemble_run import Member, save_ensemble
from .layer_choice import layer_setting, settle_layer
from .load_data import PreparedSplits, load_data, nearest_training
from .resume import check_unchanged, training_settings
from .run import Arguments, claimed_folder, command_settings, train_on
from .training_arguments import ProteinTrainingArguments

logger = logging.getLogger(__name__)


def train_several(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments
) -> dict[str, Any]:
    """Train a model for each seed or for each fold, and write their ensemble to `output_dir` as a run.

    Each member is a run of its own, in `output_dir/seed-0` or `output_dir/fold-1` and so on. `output_dir` itself has
    what the folder of a run has, but for checkpoints: `model/` is the ensemble, and the test proteins are predicted by
    it. `metrics.json` has `members`: each metric of each member, with mean and standard deviation. With folds, the
    validation metrics are those of all proteins, each predicted by the member that did not train on it; these
    predictions are in `out_of_fold_predictions.csv`.

    `resume` keeps the finished members, and resumes the one that was interrupted.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: As [`train`].
        KeyboardInterrupt: Ctrl-C; a checkpoint of the member was written first.
    """
    arguments, folder = (model_args, data_args, training_args), str(training_args.output_dir)
    with claimed_folder(training_args, several=True) as lock:
        with training_args.main_process_first(desc="reading the data"):
            tokenizer = build_tokenizer(model_args, data_args.max_length)
            splits, tasks, folds = load_folds(data_args) if data_args.folds else (*load_data(data_args), None)
        settings = {**command_settings(model_args, data_args, splits), **training_settings(training_args)}
        if on_main_process(partial(_is_finished, training_args, settings), training_args.process_index == 0):
            logger.info("the runs in %s are finished; more num_train_epochs would take them further", folder)
            return read_json(os.path.join(folder, METRICS))
        members = plan_members(splits, folds, model_args.seeds, training_args.seed)
        # once, with the proteins of the first: the members of an ensemble are of one shape
        settled = settle_layer(arguments, members[0].splits, tasks, tokenizer)
        arguments = settled, data_args, training_args
        settings |= layer_setting(model_args, settled)
        for member in members:
            _train_member(
                member, members, arguments, (tokenizer, tasks), partial(_begin, lock, training_args, settings)
            )
        metrics = save_ensemble(members, splits, folds, arguments)
        if training_args.push_to_hub and training_args.should_save:
            _push(training_args)
        return metrics


def load_folds(data_args: DataArguments) -> tuple[PreparedSplits, tuple[Task, ...], np.ndarray]:
    """The proteins of a cross-validation as [`load_data`] gives them, those of validation in `train`; and their folds.

    Returns:
        `train` with N proteins, and `test` if there is one; the tasks; the fold of each, (N,), from 1.
    """
    splits, tasks = load_data(dataclasses.replace(data_args, validation=0.0))
    if "validation" in splits:
        logger.info("the validation proteins are divided into folds with those of training")
    every = whole(DatasetDict({name: part for name, part in splits.items() if name != "test"}))
    folds, how = find_folds(every, tasks[0], data_args)
    logger.info("%d folds: %s", data_args.folds, how)
    test = {"test": splits["test"]} if "test" in splits else {}
    joined = DatasetDict({"train": every, **test})
    if "validation" not in splits:
        return PreparedSplits(joined, splits.notes, splits.nearest), tasks, folds
    nearest = nearest_training(joined, data_args)  # some may be validation proteins, which the folds train on
    near = None if nearest is None else nearest.count(data_args.split_identity)
    return PreparedSplits(joined, {**splits.notes, "test_neighbours": near}, nearest), tasks, folds


def plan_members(splits: PreparedSplits, folds: np.ndarray | None, seeds: int | None, seed: int) -> list[Member]:
    """The trainings: one for each fold, else one for each seed.

    Args:
        splits: The proteins of all.
        folds: (N,), of the training proteins, from 1; None to train by seeds.
        seeds: How many.
        seed: Of the first; of all, by folds.
    """
    if folds is None:
        return [Member(f"seed-{number}", seed + number, splits) for number in range(seeds or 0)]
    return [Member(f"fold-{number}", seed, _without_fold(splits, folds == number)) for number in np.unique(folds)]


def _without_fold(splits: PreparedSplits, fold: np.ndarray) -> PreparedSplits:
    """The splits with the proteins of one fold, (N,) bool, for validation.

    The nearest training proteins are those of the ensemble, some of which a member did not train on: it has none.
    """
    train = splits["train"]
    parts = {"train": train.select(np.flatnonzero(~fold)), "validation": train.select(np.flatnonzero(fold))}
    return PreparedSplits(DatasetDict({**splits, **parts}), splits.notes)


def _is_finished(arguments: ProteinTrainingArguments, settings: dict[str, Any]) -> bool:
    """Whether the ensemble to resume is finished; one with other settings is refused."""
    folder = str(arguments.output_dir)
    if not arguments.resume:
        return False
    check_unchanged(folder, settings)
    return is_finished(folder, arguments)


def _begin(lock: FolderLock, arguments: ProteinTrainingArguments, settings: dict[str, Any], keep: str) -> None:
    """Replace an earlier run if `overwrite` is set, all but the folder of the member that has begun; write settings."""
    folder = str(arguments.output_dir)
    lock.take()
    if arguments.overwrite:
        clear_output_dir(folder, keep)
    write_json(os.path.join(folder, SETTINGS), settings)


def _train_member(
    member: Member,
    members: Sequence[Member],
    arguments: Arguments,
    prepared: tuple[PreTrainedTokenizerBase, tuple[Task, ...]],
    begin: Callable[[str], None],
) -> None:
    """Train one member, or find it finished."""
    model_args, data_args, training_args = arguments
    own = copy.copy(training_args)  # not made anew: that would set up the devices again
    own.output_dir = os.path.join(str(training_args.output_dir), member.name)
    own.seed, own.push_to_hub = member.seed, False
    own.run_name = None if training_args.run_name is None else f"{training_args.run_name}-{member.name}"
    place = members.index(member) + 1
    logger.info("model %d of %d, %s: seed %d, in %s", place, len(members), member.name, member.seed, own.output_dir)
    alone = dataclasses.replace(model_args, seeds=None), dataclasses.replace(data_args, folds=None), own
    tokenizer, tasks = prepared
    with claimed_folder(own):
        set_seed(member.seed)
        first = partial(begin, member.name) if place == 1 else None
        train_on(member.splits, tasks, tokenizer, alone, first)
    gc.collect()  # a trainer and its model hold each other
    empty_cache(training_args.device)


def _push(arguments: ProteinTrainingArguments) -> None:
    """Publish the ensemble, as the trainer publishes a single model."""
    folder = str(arguments.output_dir)
    push_model(
        folder,
        arguments.hub_model_id or os.path.basename(os.path.abspath(folder)),
        private=arguments.hub_private_repo is not False,
        token=arguments.hub_token,
        revision=arguments.hub_revision,
    )
