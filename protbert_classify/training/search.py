"""Searches hyperparameters: trains trials, writes the best options, and trains with them."""

import copy
import dataclasses
import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from ..errors import OptionError
from ..evaluation.metrics import NAMES
from ..inference.engine import empty_cache
from ..model.tasks import Task
from ..reporting.formatting import count, duration, listed, options_text
from ..reporting.search_page import write_search_page
from ..runs.checkpoints import newest_complete_checkpoint
from ..runs.files import RECORD, SEARCH, SEARCH_PAGE, SETTINGS, read_json, write_atomically, write_json
from ..runs.lock import FolderLock
from ..runs.output_dir import clear_output_dir
from ..runs.search_trials import FINISHED, PRUNED, Search, Trial, write_trials
from .arguments import DataArguments, ModelArguments
from .best_options import given_options, of_model, with_options
from .build_model import build_model, build_tokenizer
from .layer_choice import layer_setting, settle_layer
from .load_data import load_data
from .options import read_options_file, write_options_file
from .resume import as_json, check_unchanged
from .run import Arguments, claimed_folder, command_settings, train_on, warn_without_effect
from .search_space import OF_TRAINING, SearchSpace, as_given, check_task, default_space, read_space
from .search_trainer import SearchTrainer
from .training_arguments import ProteinTrainingArguments

logger = logging.getLogger(__name__)

BEST, TRIALS = "best.yaml", "trials.csv"
# beside the options that must not change when any training is resumed
SEARCH_SETTINGS = ("num_train_epochs", "max_steps", "eval_strategy", "eval_steps", "early_stopping_patience")
# options of which a value may not fit the backbone or the task
MAY_NOT_FIT = ("pooling", "head", "loss", "freeze_layers", "lora_kind")


def train_searched(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments
) -> dict[str, Any]:
    """Search options, then train with the best of them, as [`train`] does.

    Trials train on the training proteins and are compared by `metric_for_best_model` on the validation proteins. The
    test proteins are used once the options are chosen, by the training with the best ones. Beside what [`train`]
    writes: `search.html`, and in `search/` `trials.csv`, `best.yaml` (options for another training) and what it takes
    to resume.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: As [`train`]; a search space that cannot be searched; no trial could be trained to its end.
        KeyboardInterrupt: Ctrl-C; the trials that have ended are kept.
    """
    given = None if model_args.search_space is None else read_space(model_args.search_space, model_args)
    with claimed_folder(training_args, searching=True) as lock:
        set_seed(training_args.seed)
        tokenizer = build_tokenizer(model_args, data_args.max_length)
        splits, tasks = load_data(data_args)
        if "validation" not in splits:
            raise OptionError(
                "search: no validation proteins to compare the trials by; expected validation above 0, or "
                "validation_data"
            )
        space = default_space(model_args, training_args, tasks[0]) if given is None else given
        check_task(space, tasks[0], training_args)
        parts = DatasetDict({name: splits[name] for name in ("train", "validation")})  # a trial sees no test protein
        # once, for all trials and for the training with the best options
        settled = settle_layer((model_args, data_args, training_args), parts, tasks, tokenizer)
        arguments = settled, data_args, training_args
        found = _search(arguments, (parts, tokenizer, tasks), space, lock, layer_setting(model_args, settled))
        best = _begin_training(arguments, found)
        warn_without_effect(best)
        set_seed(training_args.seed)
        metrics = train_on(splits, tasks, tokenizer, best)
        _record(str(training_args.output_dir), found)
        return metrics


def _search(
    arguments: Arguments,
    prepared: tuple[DatasetDict, PreTrainedTokenizerBase, tuple[Task, ...]],
    space: SearchSpace,
    lock: FolderLock,
    layer: dict[str, str],
) -> Search:
    """Train the trials that are missing, and write their table and page; `layer` goes into the settings."""
    from .search_study import done, open_study, trials_of

    model_args, data_args, training_args = arguments
    _, _, tasks = prepared
    folder = os.path.join(str(training_args.output_dir), SEARCH)
    planned, given = model_args.search or 0, as_given(space, model_args, training_args, tasks[0])
    with _quiet():
        _check_models(space, arguments, tasks)
        trainer = _build_trainer(arguments, prepared, space)
        _begin(folder, {**_settings(trainer, training_args, space), **layer}, training_args, lock)
        maximize = bool(trainer.args.greater_is_better)
        study, settings = open_study(folder, training_args.seed, maximize, given)
        search = Search(
            str(trainer.args.metric_for_best_model).removeprefix("eval_"),
            maximize,
            space.describe(),
            trials_of(study, space, maximize),
        )
        missing = planned - len(search.trials)
        before = f" ({len(search.trials)} done)" if search.trials else ""
        logger.info("search: %s%s over %s", count(planned, "trial"), before, space)
        outside = [name for name in space.names() if name not in given]
        if outside and not search.trials:
            logger.info("trial 1 has values of the space for %s, as those given are not in it", listed(outside))
        if missing > 0:
            trainer.where = lambda: f"in trial {len(done(study)) + 1} of {planned}"
            trainer.trial_ended = partial(_note, study=study, search=search, planned=planned, folder=folder)
            _run_trials(trainer, missing, settings, space)
    del trainer
    gc.collect()  # a trainer and its model hold each other
    empty_cache(training_args.device)
    search = dataclasses.replace(search, trials=trials_of(study, space, maximize))
    _write(str(training_args.output_dir), search)
    return search


def _write(folder: str, search: Search) -> None:
    """Write the table and the page, and log the best trial.

    Raises:
        OptionError: No trial was trained to its end.
    """
    trials, best = count(len(search.trials), "trial"), search.best
    if best is None:
        raise OptionError(
            f"search: the loss or {search.metric} was not a number, or memory ran out, in each of {trials}; expected a "
            "search space with lower learning rates or smaller batches"
        )
    page = os.path.join(folder, SEARCH_PAGE)
    write_trials(os.path.join(folder, SEARCH, TRIALS), search)
    write_search_page(page, search)
    logger.info(
        "the best of %s is trial %d, %s %.3f: %s; all of them in %s",
        *(trials, best.number, NAMES.get(search.metric, search.metric), best.value),
        *(options_text(best.options), page),
    )


def _check_models(space: SearchSpace, arguments: Arguments, tasks: tuple[Task, ...]) -> None:
    """Build a model with each choice, so that one that cannot be built is not found after hours.

    Raises:
        OptionError: Names the option and its value, or what is wrong with it.
    """
    model_args, data_args, _ = arguments
    for dimension in space:
        if dimension.name in MAY_NOT_FIT:
            for value in dimension.checked:
                build_model(dataclasses.replace(model_args, **{dimension.name: value}), data_args, tasks)


def _build_trainer(
    arguments: Arguments,
    prepared: tuple[DatasetDict, PreTrainedTokenizerBase, tuple[Task, ...]],
    space: SearchSpace,
) -> SearchTrainer:
    """The trainer of all trials; a trial differs from a training with its options in what is written only."""
    model_args, data_args, training_args = arguments
    parts, tokenizer, tasks = prepared
    own = copy.copy(training_args)  # not made anew: that would set up the devices again
    own.resume = own.overwrite = own.push_to_hub = False
    own.report_to, own.disable_tqdm = [], True

    def model_init(trial: Any = None) -> PreTrainedModel:
        chosen = {} if trial is None else space.suggest(trial)
        for name in {"class_weights", "class_weights_beta"} & set(chosen):  # before Trainer sets the options
            setattr(own, name, chosen[name])
        model = build_model(of_model(model_args, chosen), data_args, tasks)
        set_seed(own.seed)  # as Trainer does between building a model and training it
        return model

    trainer = SearchTrainer(
        model_init=model_init,
        args=own,
        train_dataset=parts["train"],
        eval_dataset=parts["validation"],
        processing_class=tokenizer,
    )
    trainer.settings = command_settings(model_args, data_args, parts)
    return trainer


def _settings(trainer: SearchTrainer, training_args: ProteinTrainingArguments, space: SearchSpace) -> dict[str, Any]:
    """What a resumed search must share with the one that began; the number of trials may grow."""
    return as_json(
        {
            **trainer.compared_settings(),
            **{name: getattr(training_args, name) for name in SEARCH_SETTINGS},
            "metric_for_best_model": trainer.args.metric_for_best_model,
            "load_best_model_at_end": trainer.args.load_best_model_at_end,
            "search_space": space.describe(),
        }
    )


def _begin(folder: str, settings: dict[str, Any], training_args: ProteinTrainingArguments, lock: FolderLock) -> None:
    """Make the folder of the search; with `overwrite`, what was there before is removed."""
    if training_args.resume:
        check_unchanged(folder, settings)
    if training_args.overwrite:
        clear_output_dir(str(training_args.output_dir))
    os.makedirs(folder, exist_ok=True)
    lock.take()
    write_json(os.path.join(folder, SETTINGS), settings)


def _run_trials(trainer: SearchTrainer, missing: int, settings: dict[str, Any], space: SearchSpace) -> None:
    def of_training(trial: Any) -> dict[str, Any]:
        return {name: value for name, value in space.suggest(trial).items() if name in OF_TRAINING}

    try:
        trainer.hyperparameter_search(
            hp_space=of_training,
            compute_objective=trainer.value_of,
            n_trials=missing,
            direction="maximize" if trainer.args.greater_is_better else "minimize",
            backend="optuna",
            **settings,
        )
    except ValueError as error:  # Trainer asks for the best of trials that have all diverged
        if isinstance(error, OptionError) or "No trials are completed" not in str(error):
            raise
    trainer.tell()


def _note(
    trial: Any, ended: str, value: float | None, *, study: Any, search: Search, planned: int, folder: str
) -> None:
    """Log a trial that has ended, and write it to the table."""
    from .search_study import describe

    own = study.get_trials()[trial.number]
    found = describe(own, len(search.trials) + 1, list(search.space), search.greater_is_better)
    found = dataclasses.replace(found, ended=ended, value=found.value if value is None else value)
    search.trials.append(found)
    write_trials(os.path.join(folder, TRIALS), search)
    logger.info("%s", trial_line(found, search.metric, planned))


def trial_line(trial: Trial, metric: str, planned: int) -> str:
    """A trial in a line of the log.

    Example:
        >>> from protbert_classify.runs.search_trials import Trial
        >>> from protbert_classify.training.search import trial_line
        >>> trial_line(Trial(3, {"learning_rate": 2e-4, "pooling": "mean"}, 0.41, 2.0, 9.3, "pruned"), "mcc", 20)
        'trial 3 of 20: learning rate 0.0002, pooling mean: MCC 0.410 (pruned at epoch 2), 9 s'
    """
    value = "no value" if trial.value is None else f"{NAMES.get(metric, metric)} {trial.value:.3f}"
    how = {PRUNED: f" (pruned at epoch {trial.epochs:g})", FINISHED: ""}.get(trial.ended, f" ({trial.ended})")
    took = duration(trial.seconds)
    return f"trial {trial.number} of {planned}: {options_text(trial.options)}: {value}{how}, {took}"


def _begin_training(arguments: Arguments, search: Search) -> Arguments:
    """Write `best.yaml`, and prepare the folder for the training with the best options.

    Returns:
        Its arguments. It resumes what an earlier training with the same options has left there.
    """
    trial = search.best
    assert trial is not None
    best = with_options(arguments, trial.options)
    training_args = best[-1]
    folder = str(training_args.output_dir)
    path = os.path.join(folder, SEARCH, BEST)
    before = read_options_file(path) if os.path.isfile(path) else {}
    begun = os.path.exists(os.path.join(folder, RECORD)) or newest_complete_checkpoint(folder) is not None
    if begun and any(before.get(name) != value for name, value in trial.options.items()):
        logger.info("more trials found better options: the model of the earlier ones is replaced")
        clear_output_dir(folder, keep=SEARCH)
        begun = False
    training_args.resume, training_args.overwrite = begun, False
    write_atomically(path, lambda part: write_options_file(part, {**given_options(best), **trial.options}))
    logger.info("training with the options in %s", path)
    return best


def _record(folder: str, search: Search) -> None:
    """Note the search in the record of the run."""
    path = os.path.join(folder, RECORD)
    record = read_json(path)
    if record.get("search") != as_json(search.record()):
        write_json(path, {**record, "search": search.record()})


@contextmanager
def _quiet() -> Iterator[None]:
    """Log a line a trial, and not what a training logs: of the package, warnings; of the libraries, errors."""
    import optuna
    import transformers

    package, libraries = logging.getLogger(__name__.split(".")[0]), (optuna.logging, transformers.utils.logging)
    before, levels = package.level, [library.get_verbosity() for library in libraries]
    logger.setLevel(package.getEffectiveLevel())
    package.setLevel(max(logging.WARNING, before))
    for library in libraries:
        library.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        package.setLevel(before)
        logger.setLevel(logging.NOTSET)
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
