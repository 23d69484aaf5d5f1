"""Settles which layer of the backbone a training takes: `layer="auto"` becomes a number before the model is built."""

import dataclasses
import gc
import logging
import os
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase, set_seed

from ..errors import OptionError
from ..inference.engine import empty_cache
from ..inference.saved_classifier import ready
from ..layers.probe import probe_layers
from ..model.tasks import Task
from ..runs.files import SEARCH, SETTINGS, read_json
from .arguments import DataArguments, ModelArguments
from .build_model import build_model
from .distributed import on_main_process
from .resume import FOUND_LAYER
from .training_arguments import ProteinTrainingArguments

logger = logging.getLogger(__name__)

AUTO = "auto"
# the whole backbone with its own weights is probed, whatever is trained of it, and how
PROBED: dict[str, Any] = {
    "layer": None,
    "tuning": "full",
    "freeze_layers": 0,
    "freeze_backbone": False,
    "pooling": "mean",
}

Arguments = tuple[ModelArguments, DataArguments, ProteinTrainingArguments]


def settle_layer(
    arguments: Arguments, splits: DatasetDict, tasks: tuple[Task, ...], tokenizer: PreTrainedTokenizerBase
) -> ModelArguments:
    """The options of the model with a number in place of `layer="auto"`; others stay as they are.

    The main process probes the layers on the training and validation proteins, see [`probe_layers`]. A resumed run
    keeps what it found when it began.

    Args:
        arguments: Of the model, the data and the training.
        splits: The proteins, raw.
        tasks: The main task decides.
        tokenizer: Of the backbone.

    Raises:
        InputError: No validation proteins, or a backbone whose layers cannot be probed.
    """
    model_args, _, training_args = arguments
    if model_args.layer != AUTO:
        return model_args
    found = on_main_process(
        lambda: _found_before(training_args) or _probe(arguments, splits, tasks, tokenizer),
        training_args.process_index == 0,
    )
    set_seed(training_args.seed)  # as if the number had been given
    return dataclasses.replace(model_args, layer=str(found))


def layer_setting(asked: ModelArguments, settled: ModelArguments) -> dict[str, str]:
    """What the settings of a run say of a layer that was found; nothing of one that was given."""
    return {FOUND_LAYER: str(settled.layer)} if asked.layer == AUTO else {}


def _found_before(arguments: ProteinTrainingArguments) -> str | None:
    """What `auto` became when the run to resume, or its search, began."""
    folder = str(arguments.output_dir)
    paths = [os.path.join(folder, SETTINGS), os.path.join(folder, SEARCH, SETTINGS)]
    found = [read_json(path).get(FOUND_LAYER) for path in paths if arguments.resume and os.path.isfile(path)]
    return next((layer for layer in found if layer is not None), None)


def _probe(
    arguments: Arguments, splits: DatasetDict, tasks: tuple[Task, ...], tokenizer: PreTrainedTokenizerBase
) -> str:
    model_args, data_args, training_args = arguments
    if "validation" not in splits:
        raise OptionError("layer=auto: no validation proteins to compare the layers on; expected validation above 0")
    model = build_model(dataclasses.replace(model_args, **PROBED), data_args, tasks)
    found = probe_layers(
        ready(model, str(training_args.device), "auto", compiled=False),
        tokenizer,
        splits,
        tasks[0],
        max_length=data_args.max_length,
        crop=data_args.crop,
        seed=data_args.split_seed,
    )
    del model
    gc.collect()
    empty_cache(training_args.device)
    logger.info("layer auto: %s", found.verdict)
    return str(found.best)
