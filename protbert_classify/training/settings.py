"""What a run must not change when it goes on: the data, the model, and the options that shape the weights."""

import dataclasses
import json
import os
from typing import Any

from datasets import DatasetDict

from ..data.fingerprint import fingerprint
from ..errors import OptionError
from ..reporting.facts import count
from .arguments import DataArguments, ModelArguments
from .training_arguments import ProteinTrainingArguments

FILE = "settings.json"  # written when a run begins
FOUND_TOKENS = "found_tokens_per_batch"  # what `auto` came to when the run began; it holds for all of the run
# the number of epochs may grow, and how often something is logged, saved or evaluated is free
SHAPING = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "label_smoothing_factor",
    "optim",
    "bf16",
    "fp16",
    "seed",
    "data_seed",
    "train_sampling_strategy",
    "tokens_per_batch",
    "packing",
    "world_size",
)
# where the data lies may change: its fingerprint tells whether it is the same
FREE_DATA = ("data", "validation_data", "test_data")


def run_settings(
    model_args: ModelArguments, data_args: DataArguments, training_args: ProteinTrainingArguments, splits: DatasetDict
) -> dict[str, Any]:
    """Everything that shapes the weights, as JSON has it."""
    data = {name: value for name, value in dataclasses.asdict(data_args).items() if name not in FREE_DATA}
    training = {name: getattr(training_args, name) for name in SHAPING}
    settings = {
        **dataclasses.asdict(model_args),
        **data,
        **training,
        **{f"{name} proteins": fingerprint(part) for name, part in splits.items()},
    }
    return json.loads(json.dumps(settings, default=str))


def check_unchanged(output_dir: str, settings: dict[str, Any]) -> None:
    """Refuse to go on with other settings than those the run began with.

    Raises:
        OptionError: Names the first of them that changed, before and now.
    """
    path = os.path.join(output_dir, FILE)
    if not os.path.isfile(path):
        return
    with open(path, encoding="utf-8") as file:
        before = json.load(file)
    before.pop(FOUND_TOKENS, None)
    changed = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
    if "world_size" in changed:
        raise OptionError(
            f"--resume: the run in {output_dir} began on {count(before['world_size'], 'process')}, and this is "
            f"{count(settings['world_size'], 'process')}; go on with as many (--num_processes), or start anew with "
            "--overwrite"
        )
    if changed:
        name = changed[0]
        was, now = (str(values.get(name))[:60] for values in (before, settings))
        more = f" (and {', '.join(changed[1:])})" if len(changed) > 1 else ""
        raise OptionError(
            f"--resume: {name} was {was} when the run in {output_dir} began and is {now}{more}; "
            "go on with the same data and options, or start anew with --overwrite"
        )
