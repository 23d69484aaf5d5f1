"""transformers' TrainingArguments with defaults for fine-tuning on proteins."""

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from ..inference.precision import has_gpu_backend
from .defaults import OF_A_RECIPE, TRAINING_DEFAULTS


def _default(name: str) -> Any:
    value, text = TRAINING_DEFAULTS[name]
    return field(default=value, metadata={"help": text})


@dataclass
class ProteinTrainingArguments(TrainingArguments):
    """Every option of `transformers.TrainingArguments`, and a few of ours.

    Args:
        tokens_per_batch: Tokens of a forward pass on each device, padding included, at most; `auto` for what fits the
            device, None for no limit. A step of `per_device_train_batch_size` proteins that has more is computed in
            parts, with the same result.
        packing: Proteins in one row without padding: `on`, `off` or `auto` (on a GPU in half precision).
        class_weights: Factors of the losses of the classes, so that rare classes count more: proportional to the number
            of training proteins to the power of minus `class_weights`; 0 for equal ones, 1 if all classes shall count
            the same. The mean over the training proteins is 1. Of a `single_label_classification`.
        class_weights_beta: In place of `class_weights`, the beta of the effective number of proteins of Cui et al. 2019
            (doi:10.1109/CVPR.2019.00949): classes of many more than 1 / (1 - beta) proteins count the same, rarer ones
            more; 0 for equal weights.
        class_sampling: How often the proteins of a class come in an epoch: in proportion to its number of training
            proteins to the power of minus `class_sampling`; 0 for once each, 1 if all classes shall come equally often.
            An epoch has as many proteins as without. Of a `single_label_classification`.
        head_learning_rate: Peak learning rate of the pooling and the heads; `learning_rate` if None.
        layer_decay: Each layer of the backbone has the learning rate of the layer above it times this.
        early_stopping_patience: Stop after so many evaluations without a better one; 0 for never.
        calibrate: How scores are calibrated on validation proteins after training: `temperature`, `vector` (a
            temperature and a bias for each class) or `none`.
        cache_embeddings: Embed each protein once if the backbone is frozen, and keep that on disk.
        resume: Resume from the newest complete checkpoint in `output_dir`, if there is one.
        overwrite: Start again in an `output_dir` that holds a run.

    Example:
        >>> from protbert_classify import ProteinTrainingArguments
        >>> arguments = ProteinTrainingArguments("runs/mine", num_train_epochs=3)
        >>> arguments.learning_rate, arguments.early_stopping_patience
        (3e-05, 3)

    `metric_for_best_model="auto"` is `mcc` for classes and `spearman` for numbers. Validation is batched by tokens:
    `per_device_eval_batch_size` has no effect.
    """

    output_dir: str | None = _default("output_dir")
    num_train_epochs: float = _default("num_train_epochs")
    per_device_train_batch_size: int = _default("per_device_train_batch_size")
    tokens_per_batch: str | None = _default("tokens_per_batch")
    packing: Literal["auto", "on", "off"] = _default("packing")
    learning_rate: float = _default("learning_rate")
    warmup_steps: float = _default("warmup_steps")
    weight_decay: float = _default("weight_decay")
    eval_strategy: str = _default("eval_strategy")
    save_strategy: str = _default("save_strategy")
    save_total_limit: int | None = _default("save_total_limit")
    load_best_model_at_end: bool | None = field(  # None until __post_init__
        default=None, metadata={"help": TRAINING_DEFAULTS["load_best_model_at_end"][1], "nargs": "?", "const": True}
    )
    metric_for_best_model: str | None = _default("metric_for_best_model")
    train_sampling_strategy: str = _default("train_sampling_strategy")
    bf16: bool | None = field(  # None until __post_init__
        default=None, metadata={"help": TRAINING_DEFAULTS["bf16"][1], "nargs": "?", "const": True}
    )
    logging_steps: float = _default("logging_steps")
    logging_nan_inf_filter: bool = _default("logging_nan_inf_filter")
    report_to: None | str | list[str] = _default("report_to")
    ddp_find_unused_parameters: bool | None = _default("ddp_find_unused_parameters")
    class_weights: float = _default("class_weights")
    class_weights_beta: float = _default("class_weights_beta")
    class_sampling: float = _default("class_sampling")
    head_learning_rate: float | None = _default("head_learning_rate")
    layer_decay: float = _default("layer_decay")
    early_stopping_patience: int = _default("early_stopping_patience")
    calibrate: Literal["temperature", "vector", "none"] = _default("calibrate")
    cache_embeddings: bool = _default("cache_embeddings")
    resume: bool = _default("resume")
    overwrite: bool = _default("overwrite")

    def __post_init__(self) -> None:
        # accelerate launch does not pass on that its processes are for the CPU; without this each would train alone,
        # all of them into one folder
        if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not has_gpu_backend():
            self.use_cpu = True
        if self.bf16 and not torch.accelerator.is_available():
            self.use_cpu = True  # asked for, and a CPU can: Trainer wants to be told so
        if self.bf16 is None:
            self.bf16 = not self.fp16 and not self.use_cpu and has_native_bf16()
        if self.packing not in PACKING:
            raise ValueError(f"packing={self.packing!r}: expected one of {', '.join(PACKING)}")
        if self.calibrate not in CALIBRATIONS:
            raise ValueError(f"calibrate={self.calibrate!r}: expected one of {', '.join(CALIBRATIONS)}")
        if self.class_weights and self.class_weights_beta:
            raise ValueError(
                f"class_weights={self.class_weights} and class_weights_beta={self.class_weights_beta}: expected one of "
                f"them; set the other one to 0 {OF_A_RECIPE}"
            )
        if self.tokens_per_batch is not None:
            self.tokens_per_batch = _tokens(str(self.tokens_per_batch))
        if self.load_best_model_at_end is None:
            self.load_best_model_at_end = "no" not in (self.eval_strategy, self.save_strategy)
        evaluate = _strategy(IntervalStrategy, "eval_strategy", self.eval_strategy)
        save = _strategy(SaveStrategy, "save_strategy", self.save_strategy)
        if self.load_best_model_at_end and save not in (evaluate, "best"):
            raise ValueError(
                f"eval_strategy={evaluate} and save_strategy={save}: expected the same for both, as "
                "load_best_model_at_end needs the metrics of each checkpoint; or set load_best_model_at_end to false"
            )
        # pinned memory speeds up copies to a GPU; without one torch warns at every loader
        if not torch.cuda.is_available():
            self.dataloader_pin_memory = False
        super().__post_init__()


PACKING = ("auto", "on", "off")
CALIBRATIONS = ("temperature", "vector", "none")


def _strategy(kind: type[Enum], name: str, value: Any) -> str:
    known = [str(one.value) for one in kind]
    if value not in known:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(known)}")
    return str(kind(value).value)


def _tokens(text: str) -> str:
    if text != "auto" and (not text.isdecimal() or int(text) == 0):
        raise ValueError(f"tokens_per_batch={text!r}: expected a number of tokens, such as 16384, or auto")
    return text


def has_native_bf16() -> bool:
    """Whether the GPU computes in bfloat16 natively; on CPUs training stays in float32 unless --bf16 is given."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
