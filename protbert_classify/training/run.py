"""A training run from beginning to end: load, train, evaluate, save."""

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from ..data.column_names import ColumnNames
from ..data.fingerprint import fingerprint
from ..data.sources import check_there
from ..errors import DataError, OptionError, first_line
from ..model.four_bits import count_parameters
from ..model.tasks import Task
from ..model_source import resolve_model_path
from ..reporting.data_figures import draw_length_histogram
from ..reporting.figures import save_figure
from ..reporting.formatting import count
from ..runs.checkpoints import newest_complete_checkpoint
from ..runs.files import FIGURES, METRICS, RECORD, read_json
from ..runs.lock import FolderLock
from ..runs.output_dir import check_kept, claim_output_dir, claim_search, is_finished
from ..runs.writer import begin_results, describe_data, run_record, write_run
from .arguments import DataArguments, ModelArguments
from .build_model import build_model, build_tokenizer
from .callbacks import AfterFirstStep
from .distributed import check_same_on_every_process, on_main_process
from .effect import without_effect
from .layer_choice import layer_setting, settle_layer
from .load_data import load_data
from .resume import as_json, check_unchanged
from .split_results import evaluate_split, write_test_results
from .trainer import ProteinTrainer
from .training_arguments import ProteinTrainingArguments

logger = logging.getLogger(__name__)

FEW_TO_CHOOSE_BY = 20  # one protein more or less is 5% of accuracy
# where the data lies may change, as its fingerprint tells whether it is the same; and so may what is only reported
FREE_DATA = ("data", "validation_data", "test_data", "test_neighbours")
NOT_OF_MODEL = ("recipe", "search", "search_space")  # where options are from, not what they are

Arguments = tuple[ModelArguments, DataArguments, ProteinTrainingArguments]


def train(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments
) -> dict[str, Any]:
    """Fine-tune a classifier and write everything about it to `training_args.output_dir`.

    Written: `model/` (safetensors, config, tokenizer), `metrics.json`, `test_predictions.csv`, `test_neighbours.csv`
    (the nearest training protein of each test protein, where it was looked for), `data.json` (labels and lengths of
    the proteins), `trainer_state.json` (the log), `figures/` and, last, `run.json` (arguments, tasks, data fingerprint,
    backbone revision, versions). Checkpoints stay beside them.

    With `seeds` or `folds`, several models and their ensemble; see [`train_several`]. With `search`, options are
    searched first; see [`train_searched`].

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: Data, options or a model that cannot be used; nothing is written. Or the loss became NaN; earlier
            checkpoints are kept.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first, unless a run was to be overwritten and the first step
            was not done.
    """
    sources = {name: getattr(data_args, name) for name in ("data", "validation_data", "test_data")}
    for source in sources.values():
        check_there(source)
    pretrained = None if model_args.backbone_config else resolve_model_path(model_args.model_name_or_path)
    check_kept(str(training_args.output_dir), model_name_or_path=pretrained, **sources)
    if model_args.search:
        from .search import train_searched  # which trains with the best options here

        return train_searched(model_args, data_args, training_args)
    warn_without_effect((model_args, data_args, training_args))
    if model_args.seeds or data_args.folds:
        from .several_runs import train_several  # which trains each of its members here

        return train_several(model_args, data_args, training_args)
    arguments = model_args, data_args, training_args
    with claimed_folder(training_args) as lock:
        set_seed(training_args.seed)
        with training_args.main_process_first(desc="reading the data"):
            tokenizer = build_tokenizer(model_args, data_args.max_length)  # checks the model's name first
            splits, tasks = load_data(data_args)
        return train_on(splits, tasks, tokenizer, arguments, lock=lock)


@contextmanager
def claimed_folder(
    arguments: ProteinTrainingArguments, several: bool = False, searching: bool = False
) -> Iterator[FolderLock]:
    """Lock `output_dir` and check that a run may write there, before anything is read; the trainer asks again."""
    folder, is_main = str(arguments.output_dir), arguments.process_index == 0

    def claim() -> None:
        claim_output_dir(folder, arguments.resume, arguments.overwrite, several)
        claim_search(folder, arguments.resume, arguments.overwrite, searching)

    with FolderLock(folder, wanted=is_main) as lock:
        on_main_process(claim, is_main)
        yield lock


def train_on(
    splits: DatasetDict,
    tasks: tuple[Task, ...],
    tokenizer: PreTrainedTokenizerBase,
    arguments: Arguments,
    begin: Callable[[], None] | None = None,
    lock: FolderLock | None = None,
) -> dict[str, Any]:
    """[`train`] with proteins that are read already.

    Args:
        splits: The proteins, raw.
        tasks: The main task, then the auxiliary ones.
        tokenizer: Of the backbone.
        arguments: Of the model, the data and the training.
        begin: Called once after the first step, on the processes that may write files.
        lock: Of a folder that may not have been there yet: it is held until all is written.
    """
    asked, data_args, training_args = arguments
    model_args = settle_layer(arguments, splits, tasks, tokenizer)
    arguments = model_args, data_args, training_args
    trainer = build_trainer(build_model(model_args, data_args, tasks), tokenizer, training_args, splits)
    if lock is not None:
        lock.take()  # a new folder is there now
    _warn_of_few(training_args, splits.get("validation"))
    trainer.settings = {**command_settings(asked, data_args, splits), **layer_setting(asked, model_args)}
    if begin is not None:
        trainer.add_callback(AfterFirstStep(begin))
    check_same_on_every_process(trainer.settings, "the proteins", "install MMseqs2 on all machines or on none")
    done = metrics_if_finished(trainer)
    if done is not None:
        if training_args.push_to_hub:  # which may have failed when the run was finished
            trainer.push_to_hub()
        return done
    trained = trainer.train().metrics
    try:
        return save_run(trainer, splits, arguments, trained)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_after_training(str(training_args.output_dir))) from None


def _after_training(folder: str) -> str:
    """What Ctrl-C left of a training whose last step was done."""
    if os.path.exists(os.path.join(folder, RECORD)):
        return "after the model was saved, before it was published; protbert-classify push publishes it"
    if newest_complete_checkpoint(folder) is None:
        return "after the training, before its model was saved; no checkpoint was kept"
    return "after the training, before its model was saved; train again with resume to evaluate and save it"


def build_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    arguments: ProteinTrainingArguments,
    splits: DatasetDict,
    kind: type[ProteinTrainer] = ProteinTrainer,
) -> ProteinTrainer:
    """Build the trainer; options that transformers refuses there become one line."""
    name_for_trackers(arguments)
    try:
        trainer = kind(
            model=model,
            args=arguments,
            train_dataset=splits["train"],
            eval_dataset=splits.get("validation"),
            processing_class=tokenizer,
        )
    except (DataError, OptionError):
        raise
    except (ImportError, ValueError, RuntimeError) as error:  # report_to, say
        if isinstance(error, RuntimeError) and "to be installed" not in str(error):
            raise
        raise OptionError(first_line(error)) from error
    return trainer


def warn_without_effect(arguments: Arguments) -> None:
    """Name the options that were given and do nothing."""
    model_args, _, training_args = arguments
    for why in without_effect(model_args, training_args):
        logger.warning(why)


def _warn_of_few(arguments: ProteinTrainingArguments, validation: Dataset | None) -> None:
    """Warn if few validation proteins choose the best checkpoint."""
    if arguments.load_best_model_at_end and validation is not None and len(validation) < FEW_TO_CHOOSE_BY:
        logger.warning(
            "%s to choose the best checkpoint by: between checkpoints of similar scores, chance decides; a larger "
            "validation share, or validation_data, gives more",
            count(len(validation), "validation protein"),
        )


def name_for_trackers(arguments: ProteinTrainingArguments) -> None:
    """Name the run for trackers: without a name, trackio makes a second run for the test metrics.

    The name has the time in it, or a run started again in the same folder would continue the curves of the former one.
    """
    if arguments.report_to and arguments.run_name is None:
        folder = os.path.basename(os.path.abspath(str(arguments.output_dir)))
        arguments.run_name = f"{folder}-{datetime.now():%Y%m%d-%H%M%S}"


def command_settings(model_args: ModelArguments, data_args: DataArguments, splits: DatasetDict) -> dict[str, Any]:
    """What must be the same when a run is resumed, in addition to what the trainer compares."""
    data = {name: value for name, value in dataclasses.asdict(data_args).items() if name not in FREE_DATA}
    answers = ColumnNames.from_options(data_args).answers
    prints = {f"{name} proteins": fingerprint(part, answers) for name, part in splits.items()}
    return as_json({**_model_settings(model_args), **data, **prints})


def _model_settings(arguments: ModelArguments) -> dict[str, Any]:
    """The options of the model, whatever recipe they are from; those of an adapter count only where there is one."""
    options = dataclasses.asdict(arguments)
    for name in NOT_OF_MODEL:
        del options[name]
    if arguments.tuning == "lora":
        return options
    plain = {name: value for name, value in options.items() if not name.startswith("lora_")}
    return {**plain, "tuning": "full"}  # freeze_backbone says whether it is frozen


def metrics_if_finished(trainer: ProteinTrainer) -> dict[str, Any] | None:
    """The content of `metrics.json`, if the run to resume is finished."""
    folder = str(trainer.args.output_dir)
    if not on_main_process(lambda: _is_finished(trainer), trainer.args.process_index == 0):
        return None
    logger.info("the run in %s is finished; more num_train_epochs would take it further", folder)
    return read_json(os.path.join(folder, METRICS))


def _is_finished(trainer: ProteinTrainer) -> bool:
    """Whether the run to resume is finished, with the same settings."""
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
        trainer: A trainer that has trained.
        splits: The proteins, raw; `validation` and `test` are evaluated.
        arguments: Of the model, the data and the training; recorded in `run.json`.
        train_metrics: What `trainer.train()` returned.

    Returns:
        The content of `metrics.json`.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    folder = str(trainer.args.output_dir)
    if trainer.args.should_save:
        begin_results(folder)
    metrics = {
        **train_metrics,
        "train_proteins": len(splits["train"]),
        "parameters": count_parameters(model),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "calibration": trainer.calibration,
        "prediction_sets": trainer.prediction_sets,
    }
    if "validation" in splits:
        proteins, logits = trainer.eval_dataset, trainer.validation_logits()
        metrics.update(evaluate_split(model.config, proteins, logits, "validation")[0])
    if "test" in splits:
        proteins = trainer.encoded(splits["test"])
        logits = trainer.predict(proteins).predictions
        found, decision, references = evaluate_split(model.config, proteins, logits, "test")
        metrics.update(found)
        if trainer.args.should_save:
            metrics.update(write_test_results(folder, splits, decision, references, found))
    weights = trainer.accelerator.get_state_dict(trainer.model)  # on all processes: FSDP gathers them here
    if trainer.args.should_save:
        data = describe_data(splits, model.config.task, model.config.max_sequence_length - sum(model.special_tokens))
        draw_lengths(folder, data)
        model_args, data_args, training_args = arguments
        record = run_record(
            dataclasses.asdict(model_args), dataclasses.asdict(data_args), training_args, model.config.tasks, splits
        )
        write_run(
            *(folder, model, trainer.processing_class, weights),
            data=data,
            state=trainer.state,
            metrics=metrics,
            record=record,
        )
    trainer.accelerator.wait_for_everyone()
    if trainer.args.push_to_hub:
        trainer.push_to_hub()
    return metrics


def draw_lengths(folder: str, data: dict[str, Any]) -> None:
    """Draw how long the proteins of each split are into a run's folder."""
    lengths = {name: part["lengths"] for name, part in data["splits"].items()}
    save_figure(draw_length_histogram(lengths, data["max_residues"]), os.path.join(folder, FIGURES, "lengths.png"))
