"""The default hyperparameters of a pretraining, and what `pretrain --help` says of them. Cheap to import.

The learning rate is that of task-adaptive pretraining in Gururangan et al. 2020 (doi:10.18653/v1/2020.acl-main.740;
ADAPTIVE_PRETRAINING.md in github.com/allenai/dont-stop-pretraining). Adam's constants, the weight decay and the linear
decay are RoBERTa's (Liu et al. 2019, arXiv:1907.11692, table 9), and the 6% of warm-up that of its table 10.
"""

from typing import Any

from ..training.defaults import TRAINING_DEFAULTS

# options of `train` that say something about classifiers, and have no meaning here
OF_CLASSIFIERS = (
    "packing",
    "class_weights",
    "class_weights_beta",
    "class_sampling",
    "head_learning_rate",
    "calibrate",
    "cache_embeddings",
)

# option -> its default, its help
OWN_DEFAULTS: dict[str, tuple[Any, str]] = {
    "output_dir": ("runs/pretrain", "Folder for the model, metrics and checkpoints."),
    "max_length": (
        512,
        "Maximum tokens of a protein, with the special tokens. Longer ones are cropped, to a different part in "
        "each epoch.",
    ),
    "mask_share": (
        0.15,
        "Share of the residues that is predicted. Eight in ten of these are masked, one in ten is replaced by another "
        "residue, and one in ten stays as it is.",
    ),
    "num_train_epochs": (10.0, "Passes over the training proteins."),
    "per_device_train_batch_size": (32, "Proteins per step on each device."),
    "learning_rate": (1e-4, "Peak learning rate. For a network from scratch, about 4e-4 to 1e-3."),
    "lr_scheduler_type": ("linear", "Decay of the learning rate after the warm-up."),
    "warmup_steps": (0.06, "Warm-up steps; a number below 1 is a share of all steps."),
    "adam_beta2": (0.98, "Decay of the second moments of AdamW."),
    "adam_epsilon": (1e-6, "Epsilon of AdamW."),
    "metric_for_best_model": (
        "loss",
        "Metric on the validation proteins that chooses the best checkpoint: loss, perplexity or masked_accuracy.",
    ),
    "early_stopping_patience": (0, "Stop after this many evaluations without improvement; 0 for never."),
    "seed": (42, "Seed of new weights, the masks, the order of the proteins and dropout."),
}
PRETRAINING_DEFAULTS: dict[str, tuple[Any, str]] = {
    **{name: OWN_DEFAULTS.get(name, entry) for name, entry in TRAINING_DEFAULTS.items() if name not in OF_CLASSIFIERS},
    **OWN_DEFAULTS,
}
