"""A pretraining from beginning to end: load, train, evaluate, save."""

import csv
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from transformers import set_seed

from ..data.fingerprint import fingerprint
from ..data.sources import check_there
from ..model.backbone import count_special_tokens
from ..model_source import resolve_model_path
from ..runs.files import REJECTED, write_atomically
from ..runs.output_dir import check_kept
from ..runs.writer import describe_data, run_record, write_run
from ..training.build_model import build_tokenizer
from ..training.distributed import check_same_on_every_process
from ..training.resume import as_json
from ..training.run import build_trainer, claimed_folder, metrics_if_finished
from .arguments import PretrainedEncoderArguments, UnlabelledDataArguments
from .build_model import build_masked_lm, masked_lm_config
from .proteins import TASK, Rejected, UnlabelledSplits, check_standard_input, load_unlabelled
from .trainer import MaskedLMTrainer
from .training_arguments import PretrainingArguments

COMMAND = "pretrain"  # in the record of a run, and in its settings
# where the data lies may change, as its fingerprint tells whether it is the same
FREE_DATA = ("data", "exclude")


def pretrain(
    model_args: PretrainedEncoderArguments, data_args: UnlabelledDataArguments, training_args: PretrainingArguments
) -> dict[str, Any]:
    """Train a masked-language model and write it to `training_args.output_dir`.

    Written: `model/` (a masked-language model of transformers, safetensors, and its tokenizer), `metrics.json`,
    `data.json` (lengths of the proteins), `trainer_state.json` (the log), `rejected.csv` (records that cannot be read,
    if there are any) and, last, `run.json` (arguments, data fingerprint, versions). Checkpoints stay beside them.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: Data, options or a model that cannot be used; nothing is written.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first, as for [`train`].
    """
    check_standard_input([*data_args.data, *data_args.exclude], training_args.world_size)
    for source in (*data_args.data, *data_args.exclude):
        check_there(source)
        check_kept(str(training_args.output_dir), data=source)
    pretrained = None if model_args.backbone_config else resolve_model_path(model_args.model_name_or_path)
    check_kept(str(training_args.output_dir), model_name_or_path=pretrained)
    with claimed_folder(training_args) as lock:
        set_seed(training_args.seed)
        with training_args.main_process_first(desc="reading the proteins"):
            masked_lm_config(model_args)  # refused first: reading takes a while
            tokenizer = build_tokenizer(model_args, training_args.max_length)
            quiet = bool(training_args.disable_tqdm) or training_args.local_process_index != 0
            splits = load_unlabelled(
                data_args.data,
                quiet=quiet,
                **{name: value for name, value in vars(data_args).items() if name != "data"},
            )
        model = build_masked_lm(model_args, tokenizer)
        trainer = build_trainer(model, tokenizer, training_args, splits, MaskedLMTrainer)
        lock.take()  # a new folder is there now
        trainer.settings = pretraining_settings(model_args, data_args, splits)
        check_same_on_every_process(trainer.settings, "the proteins", "install MMseqs2 on all machines or on none")
        done = metrics_if_finished(trainer)
        if done is not None:
            return done
        trained = trainer.train().metrics
        return save_pretraining(trainer, splits, (model_args, data_args, training_args), trained)


def pretraining_settings(
    model_args: PretrainedEncoderArguments, data_args: UnlabelledDataArguments, splits: UnlabelledSplits
) -> dict[str, Any]:
    """What must be the same when a pretraining is resumed, in addition to what the trainer compares."""
    data = {name: value for name, value in dataclasses.asdict(data_args).items() if name not in FREE_DATA}
    prints = {f"{name} proteins": fingerprint(part, []) for name, part in splits.items()}
    return as_json({"command": COMMAND, **dataclasses.asdict(model_args), **data, **prints})


def save_pretraining(
    trainer: MaskedLMTrainer,
    splits: UnlabelledSplits,
    arguments: tuple[PretrainedEncoderArguments, UnlabelledDataArguments, PretrainingArguments],
    train_metrics: dict[str, Any],
) -> dict[str, Any]:
    """Evaluate a trained masked-language model and write its run to `output_dir`.

    Args:
        trainer: A trainer that has trained.
        splits: The proteins, raw.
        arguments: Of the model, the data and the training; recorded in `run.json`.
        train_metrics: What `trainer.train()` returned.

    Returns:
        The content of `metrics.json`: beside those of the training, `validation_loss`, `validation_perplexity`,
        `validation_masked_accuracy` and `validation_frequency_loss`; see [`MaskedLMTrainer.frequency_loss`].
    """
    model_args, data_args, training_args = arguments
    folder = str(training_args.output_dir)
    model = trainer.accelerator.unwrap_model(trainer.model)
    metrics = {
        **train_metrics,
        "train_proteins": len(splits["train"]),
        "rejected_records": len(splits.rejected),
        "parameters": model.num_parameters(),
    }
    if "validation" in splits:
        found = trainer.evaluate(metric_key_prefix="validation")
        metrics |= {name: value for name, value in found.items() if name.startswith("validation_")}
        metrics |= {
            "validation_proteins": len(splits["validation"]),
            "validation_frequency_loss": trainer.frequency_loss(),
        }
    weights = trainer.accelerator.get_state_dict(trainer.model)  # on all processes: FSDP gathers them here
    if training_args.should_save:
        if splits.rejected:
            write_atomically(os.path.join(folder, REJECTED), lambda path: _write_rejected(path, splits.rejected))
        special = sum(count_special_tokens(trainer.processing_class))
        record = run_record(dataclasses.asdict(model_args), dataclasses.asdict(data_args), training_args, (), splits)
        write_run(
            *(folder, model, trainer.processing_class, weights),
            data=describe_data(splits, TASK, training_args.max_length - special),
            state=trainer.state,
            metrics=metrics,
            record={"command": COMMAND, **{name: value for name, value in record.items() if name != "tasks"}},
        )
    trainer.accelerator.wait_for_everyone()
    return metrics


def _write_rejected(path: str, rejected: Sequence[Rejected]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([Rejected._fields, *rejected])
