"""The default hyperparameters, where they differ from those of transformers, and what `train --help` says of them.

The defaults of the model and of the data stand in `arguments.py`. Cheap to import: `train --help` does not wait for
torch.
"""

from typing import Any

# of errors about class weights that nobody may have given
OF_A_RECIPE = "(the recipe small sets class_weights)"

LORA_LEARNING_RATE = 3e-4  # the default of train for an adapter (Schmirler et al. 2024)

# option -> its default, its help
TRAINING_DEFAULTS: dict[str, tuple[Any, str]] = {
    "output_dir": ("runs/train", "Folder for the model, metrics, predictions, figures and checkpoints."),
    "num_train_epochs": (5.0, "Passes over the training proteins."),
    "per_device_train_batch_size": (8, "Proteins per step on each device."),
    "tokens_per_batch": (
        "auto",
        "Maximum tokens of a forward pass on each device: a number (16384), or auto for what fits the device. A step "
        "with more tokens is computed in parts; the result is the same.",
    ),
    "packing": ("auto", "Batches without padding: on, off, or auto (on for GPUs in half precision)."),
    "gradient_accumulation_steps": (1, "Batches whose gradients are summed before each update of the weights."),
    "learning_rate": (3e-5, f"Peak learning rate; with --tuning lora, the default is {LORA_LEARNING_RATE}."),
    "head_learning_rate": (
        None,
        "Peak learning rate of the pooling and the head, which start at random; by default, that of the backbone.",
    ),
    "layer_decay": (
        1.0,
        "Multiply the learning rate by this factor for each layer of the backbone, from the last to the first. With "
        "0.9, layers near the input change least; with 1, all have the same rate.",
    ),
    "warmup_steps": (0.1, "Warm-up steps; a number below 1 is a share of all steps."),
    "weight_decay": (0.01, "Weight decay of AdamW."),
    "eval_strategy": ("epoch", "When to evaluate: epoch, steps (--eval_steps) or no."),
    "save_strategy": (
        "epoch",
        "When to write a checkpoint: epoch, steps (--save_steps), best (after each evaluation that is the best so far) "
        "or no.",
    ),
    "save_total_limit": (2, "Checkpoints to keep; the best one is always kept."),
    "load_best_model_at_end": (
        None,
        "Use the checkpoint with the best validation metric in the end. On by default, unless --eval_strategy or "
        "--save_strategy is no.",
    ),
    "metric_for_best_model": (
        "auto",
        "Metric that chooses the best checkpoint. auto: mcc for classes, spearman for numbers. Others: loss; for one "
        "class per protein accuracy, macro_f1; for several classes micro_f1, macro_f1, jaccard, subset_accuracy, "
        "average_precision; for numbers pearson, r2, mae.",
    ),
    "class_weights": (
        0.0,
        "Let rare classes count more in the loss. A protein of a class with n training proteins has the weight "
        "1/n^VALUE. 0: every protein counts the same, 1: every class counts the same, 0.3 to 0.5: between. It may "
        "find more of the rare classes and cost accuracy: compare both on validation proteins. For one class per "
        "protein.",
    ),
    "class_weights_beta": (
        0.0,
        "Let only the rarest classes count more, in place of --class_weights: weights by the effective number of "
        "proteins (Cui et al. 2019). Classes with many more than 1/(1-VALUE) training proteins, 200 for 0.995, count "
        "the same; a class with far fewer, n, counts in proportion to 1/n. 0 is off.",
    ),
    "class_sampling": (
        0.0,
        "Show proteins of rare classes more often. A protein of a class with n training proteins is drawn with the "
        "weight 1/n^VALUE. 0: every protein is shown once an epoch, 1: every class is shown equally often. The length "
        "of an epoch does not change. For one class per protein, and in place of --class_weights.",
    ),
    "label_smoothing_factor": (
        0.0,
        "Share of the target that is spread over all classes, such as 0.1, which makes the model less certain. It has "
        "no effect on numbers.",
    ),
    "early_stopping_patience": (3, "Stop after this many evaluations without improvement; 0 for never."),
    "calibrate": (
        "temperature",
        "How to calibrate scores on validation proteins after training: temperature (divide the logits by a number), "
        "vector (a divisor and a bias for each class; needs thousands of validation proteins) or none. With 500 or "
        "more validation proteins, a fifth of them is used for calibration only, and not to choose the checkpoint.",
    ),
    "train_sampling_strategy": (
        "group_by_length",
        "Order of the proteins: group_by_length (little padding), random or sequential.",
    ),
    "gradient_checkpointing": (False, "Save memory by computing activations twice."),
    "bf16": (None, "Compute in bfloat16. On by default on GPUs that support it."),
    "logging_steps": (50, "Steps between two entries of the log."),
    "logging_nan_inf_filter": (
        False,
        "Leave NaN losses out of the log. Training then stops later if the loss becomes NaN.",
    ),
    "report_to": ("none", "Where to log: tensorboard, trackio, wandb, ..."),
    "cache_embeddings": (
        True,
        "With --freeze_backbone, embed each protein once and keep the embeddings on disk. --cache_embeddings false "
        "runs the backbone in every epoch.",
    ),
    "ddp_find_unused_parameters": (False, "With several processes, look for parameters without a gradient."),
    "seed": (42, "Seed of the new head, the order of the proteins and dropout."),
    "resume": (False, "Resume from the newest complete checkpoint in output_dir."),
    "overwrite": (False, "Start again in an output_dir that holds a run, and replace that run."),
}
