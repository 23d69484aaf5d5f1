"""The options of training, as dataclasses for `HfArgumentParser`. Cheap to import: `train --help` reads them."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class ModelArguments:
    """What the model is made of."""

    model_name_or_path: str = field(
        default="Rostlab/prot_bert_bfd",
        metadata={"help": "Pretrained encoder (ProtBERT, ESM-2, ProtT5, ...) or classifier: a folder or a Hub id."},
    )
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit of a Hub model."})
    backbone_config: str | None = field(
        default=None,
        metadata={
            "help": "Train from scratch: a JSON file, or JSON, with the shape of an encoder (model_type, hidden_size, "
            "...), random weights and ProtBERT's vocabulary, in place of --model_name_or_path."
        },
    )
    pooling: str = field(
        default="mean",
        metadata={
            "help": "Residues to one vector: mean, cls, pooler or light_attention, the stronger one on small or frozen "
            "backbones."
        },
    )
    head: str = field(
        default="linear",
        metadata={"help": "linear, or article: dropout 0.2, linear, tanh, for fidelity to the article."},
    )
    loss: str | None = field(
        default=None,
        metadata={
            "help": "Loss of the main task: cross_entropy, binary_cross_entropy or mean_squared_error; that of its "
            "problem type if not given."
        },
    )
    classifier_dropout: float = field(default=0.1, metadata={"help": "Dropout before the linear head."})
    light_attention_kernel_size: int = field(default=9, metadata={"help": "Residues that its convolutions see; odd."})
    light_attention_dropout: float = field(default=0.25, metadata={"help": "Dropout on light attention's features."})
    freeze_backbone: bool = field(default=False, metadata={"help": "Train the pooling and the head only."})
    freeze_layers: int = field(default=0, metadata={"help": "Leave the embeddings and the first N layers as they are."})
    attn_implementation: str | None = field(
        default=None, metadata={"help": "sdpa, eager, flash_attention_2, ...; transformers chooses if not given."}
    )


@dataclass
class DataArguments:
    """Which proteins, and how they are read."""

    data: str | None = field(
        default=None,
        metadata={
            "help": "Labelled proteins: FASTA with DeepLoc's headers, or others with --header_pattern; .csv, .tsv, "
            ".parquet, .jsonl; a Hub dataset id. DeepLoc's official file if not given."
        },
    )
    validation_data: str | None = field(
        default=None, metadata={"help": "Validation proteins in a file of their own; all of its records are used."}
    )
    test_data: str | None = field(
        default=None, metadata={"help": "Test proteins in a file of their own; all of its records are used."}
    )
    validation: float = field(
        default=0.1,
        metadata={"help": "Share of the training proteins for validation, if the data has none; 0 for none."},
    )
    split_seed: int = field(default=42, metadata={"help": "Seed of the validation split and of --max_train_samples."})
    ambiguous: Literal["drop", "keep", "first"] = field(
        default="drop",
        metadata={"help": "Under DeepLoc's headers, Cytoplasm-Nucleus: left out, an own class, or Cytoplasm."},
    )
    header_pattern: str | None = field(
        default=None,
        metadata={
            "help": "Regular expression for what follows the accession, with a group label and perhaps split, such as "
            r"'loc=(?P<label>\S+)'."
        },
    )
    id_column: str = field(default="id", metadata={"help": "Column of a table with the accession."})
    sequence_column: str = field(default="sequence", metadata={"help": "Column of a table with the sequence."})
    label_column: list[str] = field(
        default_factory=lambda: ["location"],
        metadata={
            "help": "Column of a table with what to predict: a class, several classes (A;B or a list) or a number. "
            "Several names: a column for each class, with 0 and 1, or for each number."
        },
    )
    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] | None = field(
        default=None,
        metadata={
            "help": "What is predicted; found from the data if not given. multi_label_classification also makes two "
            "classes of A;B in a header or a cell, and of DeepLoc's Cytoplasm-Nucleus."
        },
    )
    task_name: str | None = field(default=None, metadata={"help": "What the task of several label columns is called."})
    auxiliary_tasks: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Columns to learn beside the main task, each with a head of its own: membrane, for DeepLoc's "
            "membrane-bound and soluble proteins. Empty cells, and DeepLoc's U, are left out of the loss."
        },
    )
    auxiliary_weight: float = field(
        default=0.5, metadata={"help": "Weight of the loss of each auxiliary task; that of the main task is 1."}
    )
    split_column: str = field(
        default="split", metadata={"help": "Column of a table with train, validation or test; it may be missing."}
    )
    max_length: int = field(
        default=512, metadata={"help": "Tokens of the longest input, two special ones included; longer is cropped."}
    )
    crop: Literal["ends", "head", "tail"] = field(
        default="ends", metadata={"help": "What is kept of a longer protein; ends: both halves, where signals are."}
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Train on about so many proteins, every class among them, for a quick look."}
    )


# Where our defaults differ from transformers', and what --help shows of its options
TRAINING_DEFAULTS: dict[str, tuple[Any, str]] = {
    "output_dir": ("runs/train", "Where the model, metrics, predictions, figures and checkpoints go."),
    "num_train_epochs": (5.0, "Passes over the training proteins."),
    "per_device_train_batch_size": (8, "Proteins a step on each device."),
    "tokens_per_batch": (
        "auto",
        "Tokens of a forward pass on each device, at most: a number (16384), or auto for what fits the device. A step "
        "with more tokens is computed in parts, with the same result.",
    ),
    "packing": ("auto", "Proteins in one row without padding: on, off, or auto (on a GPU in half precision)."),
    "gradient_accumulation_steps": (1, "Steps whose gradients are summed before the weights move."),
    "learning_rate": (3e-5, "Peak learning rate."),
    "warmup_steps": (0.1, "Steps of warm-up; below 1, their share of all steps."),
    "weight_decay": (0.01, "Weight decay of AdamW."),
    "eval_strategy": ("epoch", "When to evaluate: epoch, steps (--eval_steps) or no."),
    "save_strategy": ("epoch", "When to write a checkpoint: epoch, steps (--save_steps) or no."),
    "save_total_limit": (2, "Checkpoints kept, the best one among them."),
    "load_best_model_at_end": (
        None,
        "End with the checkpoint that is best in validation; on unless --eval_strategy or --save_strategy is no.",
    ),
    "metric_for_best_model": (
        "auto",
        "What the best checkpoint is chosen by: loss, or a metric of the problem type (accuracy, mcc, macro_f1; "
        "micro_f1, macro_f1, jaccard, subset_accuracy, mcc, average_precision; spearman, pearson, r2, mae). auto: mcc "
        "for classes, spearman for numbers.",
    ),
    "early_stopping_patience": (3, "Stop after so many evaluations without a better one; 0 for never."),
    "train_sampling_strategy": ("group_by_length", "group_by_length (little padding), random or sequential."),
    "gradient_checkpointing": (False, "Less memory for more time."),
    "bf16": (None, "bfloat16 arithmetic; on where the device has it."),
    "logging_steps": (50, "Steps between two lines of the log."),
    "logging_nan_inf_filter": (False, "Leave NaN losses out of the log; training then notices them late."),
    "report_to": ("none", "tensorboard, trackio, wandb, ..."),
    "cache_embeddings": (
        True,
        "With --freeze_backbone, embed each protein once and train on what is kept on disk; --cache_embeddings false "
        "runs the backbone in every epoch.",
    ),
    "ddp_find_unused_parameters": (False, "Look for parameters without a gradient, on several processes."),
    "seed": (42, "Seed of the fresh head, the order of the proteins and dropout."),
    "resume": (False, "Resume from the newest complete checkpoint in output_dir."),
    "overwrite": (False, "Start again in an output_dir that holds a run."),
}
