"""The allowed ranges of numeric options: one table, checked before the data is read."""

import math
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError


@dataclass(frozen=True)
class Range:
    """From `least`, or from just above `above`, to `most`, or to just below `below`."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    why: str = ""

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most and self.above < value < self.below

    def __str__(self) -> str:
        if self.above > -math.inf:
            return f"more than {self.above} and less than {self.below}{self.why}"
        if self.most < math.inf:
            return f"{self.least} to {self.most}{self.why}"
        return f"{self.least} or more{self.why}" if self.below == math.inf else f"{self.least} up to below {self.below}"


COUNT = Range(1)
SEVERAL = Range(2)
NOT_NEGATIVE = Range(0)
SHARE = Range(0, most=1)
DECAY = Range(0, below=1)
PART = Range(above=0, below=1, why=" (0.3 for 30%)")
SEED = Range(0, most=2**32 - 1)  # numpy's

RANGES = {
    "max_length": Range(10, why=", room for a few residues beside the special tokens"),
    "max_train_samples": COUNT,
    "seeds": SEVERAL,
    "folds": SEVERAL,
    "search": SEVERAL,
    "split_identity": PART,
    "split_coverage": PART,
    "exclude_identity": PART,
    "exclude_coverage": PART,
    "split_seed": SEED,
    "auxiliary_weight": NOT_NEGATIVE,
    "classifier_dropout": SHARE,
    "light_attention_dropout": SHARE,
    "lora_rank": COUNT,
    "lora_alpha": COUNT,
    "lora_dropout": DECAY,
    "light_attention_layers": NOT_NEGATIVE,
    "per_device_train_batch_size": COUNT,
    "per_device_eval_batch_size": COUNT,
    "gradient_accumulation_steps": COUNT,
    "learning_rate": NOT_NEGATIVE,
    "head_learning_rate": NOT_NEGATIVE,
    "layer_decay": SHARE,
    "weight_decay": NOT_NEGATIVE,
    "warmup_steps": NOT_NEGATIVE,
    "max_grad_norm": NOT_NEGATIVE,
    "adam_beta1": DECAY,
    "adam_beta2": DECAY,
    "adam_epsilon": NOT_NEGATIVE,
    "label_smoothing_factor": DECAY,
    "class_weights": SHARE,
    "class_weights_beta": DECAY,
    "class_sampling": SHARE,
    "early_stopping_patience": NOT_NEGATIVE,
    "dataloader_num_workers": NOT_NEGATIVE,
    "seed": SEED,
    "data_seed": SEED,
}


def check_ranges(*options: Any) -> None:
    """Refuse a number that would fail later or silently do the wrong thing.

    Args:
        options: Objects with options as attributes; those that they lack, or that are None, are not checked.

    Raises:
        OptionError: Names the option, its value and its range.
    """
    for name, expected in RANGES.items():
        for holder in options:
            value = getattr(holder, name, None)
            if value is not None and value not in expected:
                raise OptionError(f"{name}={value}: expected {expected}")
