"""The training arguments with defaults for masked-language modelling."""

from dataclasses import dataclass, field
from typing import Any

from ..training.training_arguments import ProteinTrainingArguments
from .defaults import PRETRAINING_DEFAULTS


def _default(name: str) -> Any:
    value, text = PRETRAINING_DEFAULTS[name]
    return field(default=value, metadata={"help": text})


@dataclass
class PretrainingArguments(ProteinTrainingArguments):
    """[`ProteinTrainingArguments`] with defaults for masked-language modelling.

    Args:
        max_length: Tokens of a protein, at most, special ones included; of a longer one, a random part is read.
        mask_share: Share of the residues that is predicted, above 0 and up to 1.

    What concerns classifiers only has no effect: `packing`, `class_weights`, `class_weights_beta`, `class_sampling`,
    `calibrate` and `cache_embeddings`.

    Example:
        >>> from protbert_classify import PretrainingArguments
        >>> arguments = PretrainingArguments("runs/pretrained", max_steps=1000)
        >>> arguments.learning_rate, arguments.mask_share
        (0.0001, 0.15)
    """

    output_dir: str | None = _default("output_dir")
    num_train_epochs: float = _default("num_train_epochs")
    per_device_train_batch_size: int = _default("per_device_train_batch_size")
    learning_rate: float = _default("learning_rate")
    warmup_steps: float = _default("warmup_steps")
    adam_beta2: float = _default("adam_beta2")
    adam_epsilon: float = _default("adam_epsilon")
    metric_for_best_model: str | None = _default("metric_for_best_model")
    early_stopping_patience: int = _default("early_stopping_patience")
    seed: int = _default("seed")
    max_length: int = _default("max_length")
    mask_share: float = _default("mask_share")

    def __post_init__(self) -> None:
        if self.push_to_hub:
            raise ValueError("push_to_hub: not for a pretraining; publish its model/ with `hf upload OWNER/NAME model`")
        if not 0 < self.mask_share <= 1:
            raise ValueError(f"mask_share={self.mask_share}: expected more than 0 and at most 1 (0.15 for 15%)")
        super().__post_init__()
