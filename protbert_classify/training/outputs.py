"""The folder of a run: what it holds, and that it holds it whole."""

import glob
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from ..errors import OptionError
from ..reporting.atomic_file import write_atomically
from ..reporting.run_folder import DATA, FIGURES, METRICS, PREDICTIONS, RECORD, REPORT, STATE
from .checkpoints import checkpoints, newest_complete_checkpoint
from .resume import FILE as SETTINGS

OUTPUTS = ("model", METRICS, SETTINGS, PREDICTIONS, DATA, STATE, FIGURES, REPORT, RECORD)


def claim_output_dir(output_dir: str, resume: bool, overwrite: bool) -> str | None:
    """Check that a run may write here; nothing is touched yet.

    Returns:
        The checkpoint to resume from, if any.

    Raises:
        OptionError: The folder holds a run, finished or not, and neither `resume` nor `overwrite` says what to do.
    """
    if os.path.exists(output_dir) and not os.path.isdir(output_dir):
        raise OptionError(f"output_dir {output_dir} is a file; expected a folder, or a name that is free")
    if resume and overwrite:
        raise OptionError("--resume and --overwrite exclude each other")
    if resume:
        return newest_complete_checkpoint(output_dir)
    if overwrite:
        return None
    if os.path.exists(os.path.join(output_dir, RECORD)):
        raise OptionError(f"{output_dir} holds a finished run; give another --output_dir, --overwrite or --resume")
    if newest_complete_checkpoint(output_dir):
        raise OptionError(
            f"{output_dir} holds an interrupted run; continue with --resume or start again with --overwrite"
        )
    return None


def is_finished(output_dir: str, arguments: TrainingArguments) -> bool:
    """Whether a run of as many epochs and steps was written to its end."""
    path = os.path.join(output_dir, RECORD)
    if not os.path.isfile(path):
        return False
    done = read_json(path)["training_arguments"]
    return all(done[name] == getattr(arguments, name) for name in ("num_train_epochs", "max_steps"))


def clear_output_dir(output_dir: str) -> None:
    """Remove what a former run wrote, and nothing else."""
    leftovers = [*glob.glob("checkpoint-*.removed", root_dir=output_dir), "model.part"]  # of a kill
    for path in [*checkpoints(output_dir), *(os.path.join(output_dir, name) for name in (*OUTPUTS, *leftovers))]:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)


def save_model(
    output_dir: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, weights: dict[str, torch.Tensor]
) -> str:
    """Write `model/`, all of it or nothing, and return its path."""
    final = os.path.join(output_dir, "model")
    part = final + ".part"
    shutil.rmtree(part, ignore_errors=True)
    with naming(final):
        model.save_pretrained(part, state_dict=weights)
        tokenizer.save_pretrained(part)
    _let_others_read(part)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)
    return final


def _let_others_read(folder: str) -> None:
    """Give weights the rights of the other files: safetensors 0.8 keeps them from everyone else, a server, say."""
    for name in glob.glob("*.safetensors", root_dir=folder):
        usual = os.stat(os.path.join(folder, "config.json")).st_mode
        os.chmod(os.path.join(folder, name), stat.S_IMODE(usual))


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Note what was being written on an error that passes: torch and safetensors do not say it."""
    try:
        yield
    except Exception as error:
        error.add_note(path)
        raise


def read_json(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path: str, value: Any, indent: int | None = 2) -> None:
    write_atomically(path, lambda part: _dump(part, value, indent))


def _dump(path: str, value: Any, indent: int | None) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=indent, ensure_ascii=False, default=str)
        file.write("\n")
