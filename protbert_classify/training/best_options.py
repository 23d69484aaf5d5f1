"""Options that a search has chosen: put into the arguments of a training, and into a file for others."""

import copy
import dataclasses
from typing import Any

from transformers import SchedulerType

from ..model_source import backbone_shape
from .arguments import DataArguments, ModelArguments
from .resume import as_json
from .run import Arguments
from .search_space import OF_MODEL, OF_TRAINING
from .training_arguments import ProteinTrainingArguments

# options of one run, which a file for others leaves to them
OF_THIS_RUN = (
    *("output_dir", "recipe", "search", "search_space", "resume", "overwrite", "run_name", "logging_dir"),
    *("push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "hub_revision", "push_to_hub_token"),
    "disable_tqdm",
)


def with_options(arguments: Arguments, options: dict[str, Any]) -> Arguments:
    """The arguments of a training with other options, and without a search.

    Args:
        arguments: Of the search; they stay as they are.
        options: Option -> value, as a trial has them.
    """
    model_args, data_args, training_args = arguments
    own = copy.copy(training_args)  # not made anew: that would set up the devices again
    for name, value in options.items():
        if name in OF_TRAINING:
            setattr(own, name, SchedulerType(value) if name == "lr_scheduler_type" else value)
    alone = dataclasses.replace(of_model(model_args, options), search=None, search_space=None)
    return alone, data_args, own


def of_model(model_args: ModelArguments, options: dict[str, Any]) -> ModelArguments:
    """The arguments of a model, with what a trial chose of them."""
    chosen = {name: value for name, value in options.items() if name in OF_MODEL}
    return dataclasses.replace(model_args, **chosen)


def given_options(arguments: Arguments) -> dict[str, Any]:
    """The options of a training that are not the default ones, as a file of options has them."""
    model_args, data_args, training_args = arguments
    usual = ProteinTrainingArguments(use_cpu=training_args.use_cpu)
    found = {
        **_changed(dataclasses.asdict(model_args), dataclasses.asdict(ModelArguments())),
        **_changed(dataclasses.asdict(data_args), dataclasses.asdict(DataArguments())),
        **_changed(training_args.to_dict(), usual.to_dict()),
    }
    if model_args.tuning == "lora":
        found["learning_rate"] = training_args.learning_rate  # its default is another one
    if training_args.use_cpu:
        found["use_cpu"] = True
    if model_args.backbone_config is not None:
        found["backbone_config"] = backbone_shape(model_args.backbone_config)  # not the name of a file that has it
    return as_json({name: value for name, value in found.items() if name not in OF_THIS_RUN})


def _changed(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != usual.get(name)}
