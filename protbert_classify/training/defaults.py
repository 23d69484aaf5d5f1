"""The default hyperparameters, where they differ from those of transformers, and what `train --help` says of them.

Cheap to import: `train --help` does not wait for torch.
"""

from typing import Any

# option -> its default, its help
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
