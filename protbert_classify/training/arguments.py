"""The options of training, as dataclasses for `HfArgumentParser`. Cheap to import: `train --help` reads them."""

from dataclasses import dataclass, field
from typing import Literal

from .recipe_files import describe_recipe, recipe_names

BACKBONE_EXAMPLE = (
    '\'{"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, '
    '"intermediate_size": 256, "max_position_embeddings": 512}\''
)


@dataclass
class EncoderArguments:
    """The encoder to start from."""

    model_name_or_path: str = field(
        default="Rostlab/prot_bert_bfd",
        metadata={"help": "Encoder (ProtBERT, ESM-2, ProtT5, ...) or classifier to start from: a folder or a Hub id."},
    )
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit of a Hub model."})
    backbone_config: str | None = field(
        default=None,
        metadata={
            "help": "Shape of an encoder to train from scratch, in place of --model_name_or_path: a JSON file, or JSON "
            f"such as {BACKBONE_EXAMPLE}. It starts with random weights and uses ProtBERT's vocabulary."
        },
    )


@dataclass
class ModelArguments(EncoderArguments):
    """What the model is made of."""

    recipe: str | None = field(
        default=None,
        metadata={
            "help": "Named options to begin with; options in a file or on the command line override them. "
            + " ".join(f"{name}: {describe_recipe(name)}" for name in recipe_names())
        },
    )
    pooling: str = field(
        default="mean",
        metadata={
            "help": "How the hidden states of the residues become one vector: mean, cls, pooler or light_attention. "
            "light_attention is stronger on small or frozen backbones."
        },
    )
    head: str = field(
        default="linear",
        metadata={
            "help": "linear (one layer), or tanh (a linear layer, then tanh, which limits the highest probability)."
        },
    )
    loss: str | None = field(
        default=None,
        metadata={
            "help": "Loss of the main task: cross_entropy, compensated, focal or logit_adjusted for one class per "
            "protein, binary_cross_entropy or focal for several, mean_squared_error for numbers. By default, the "
            "first one for the problem type. compensated takes back half of what --class_weights do to the scores. "
            "With focal, proteins that are predicted well already count less. With logit_adjusted, --class_weights "
            "are margins of the logits and not factors of the loss."
        },
    )
    classifier_dropout: float = field(default=0.1, metadata={"help": "Dropout before the linear head."})
    light_attention_kernel_size: int = field(
        default=9, metadata={"help": "Width of the convolutions of light attention in residues, an odd number."}
    )
    light_attention_layers: int = field(
        default=0,
        metadata={
            "help": "Convolutional layers before light attention: 2 for a network without a pretrained backbone."
        },
    )
    light_attention_dropout: float = field(default=0.25, metadata={"help": "Dropout on light attention's features."})
    tuning: Literal["full", "lora", "frozen"] = field(
        default="full",
        metadata={
            "help": "What is trained in addition to the pooling and the head: full (the whole backbone), lora (a small "
            "adapter in each of its layers) or frozen (nothing)."
        },
    )
    lora_kind: Literal["lora", "dora", "ia3"] = field(
        default="lora",
        metadata={
            "help": "Kind of the adapter. ia3 scales keys, values and feed-forward units; it has no rank or dropout."
        },
    )
    lora_rank: int = field(default=8, metadata={"help": "Rank of the adapter: its size grows with it."})
    lora_alpha: int = field(
        default=16, metadata={"help": "The adapter's output is multiplied by lora_alpha / lora_rank."}
    )
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout before the adapter."})
    lora_targets: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Linear layers that get an adapter. By default, those of the attention and, except in a T5, of the "
            "feed-forward networks."
        },
    )
    lora_bits: Literal[4, 32] = field(
        default=32,
        metadata={
            "help": "Bits per frozen weight of the layers with an adapter: 4 (QLoRA) saves memory and is slower. "
            "Requires the extra qlora."
        },
    )
    freeze_backbone: bool = field(default=False, metadata={"help": "Train only the pooling and the head."})
    freeze_layers: int = field(default=0, metadata={"help": "Do not train the embeddings and the first N layers."})
    layer: str | None = field(
        default=None,
        metadata={
            "help": "Take the hidden states of this layer of the backbone, counted from 1, and leave out the layers "
            "behind it: the model is smaller and faster. auto takes the layer on which a linear model does best on the "
            "validation proteins; see protbert-classify layers. By default, the last."
        },
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "sdpa, eager, flash_attention_2, ...; by default, transformers chooses."}
    )
    seeds: int | None = field(
        default=None,
        metadata={
            "help": "Train this many models, with the seeds --seed, --seed + 1, ..., in OUTPUT_DIR/seed-0, seed-1, ... "
            "Their ensemble (the mean of their scores) becomes the model of output_dir, and metrics.json also has the "
            "mean and standard deviation of each metric over them."
        },
    )
    search: int | None = field(
        default=None,
        metadata={
            "help": "Search for better options first: train this many times with options from --search_space, compare "
            "the best validation metric of each, and stop those early that fall behind. Then train with the best "
            "options. The trials are in OUTPUT_DIR/search.html and search/. Requires the extra search."
        },
    )
    search_space: str | None = field(
        default=None,
        metadata={
            "help": "With --search, a YAML file of the options to search: learning_rate: {low: 1e-5, high: 1e-3, log: "
            "true} for a range, pooling: [mean, light_attention] for a choice. By default: learning_rate (0.1 to 10 "
            "times the given one), warmup_steps, weight_decay and dropout; where they apply, also class_weights (one "
            "class per protein), head_learning_rate (the backbone is pretrained and not frozen) and lora_rank "
            "(--tuning lora)."
        },
    )


@dataclass
class DataArguments:
    """Which proteins, and how they are read."""

    data: str | None = field(
        default=None,
        metadata={
            "help": "Labelled proteins: FASTA with DeepLoc's headers (for other headers, add --header_pattern); a "
            ".csv, .tsv, .parquet or .jsonl table; or the id of a Hub dataset. By default, DeepLoc's file is "
            "downloaded."
        },
    )
    validation_data: str | None = field(
        default=None, metadata={"help": "File with the validation proteins; all of its records are used."}
    )
    test_data: str | None = field(
        default=None, metadata={"help": "File with the test proteins; all of its records are used."}
    )
    validation: float = field(
        default=0.1,
        metadata={"help": "Share of the training proteins for validation, if the data has no such split; 0 for none."},
    )
    split: str = field(
        default="homology",
        metadata={
            "help": "How the validation proteins are chosen: homology (none has a neighbour in training), identical "
            "(equal sequences stay together) or random. All three keep the shares of the classes alike where possible."
        },
    )
    split_identity: float = field(
        default=0.3,
        metadata={
            "help": "With --split homology, two proteins are neighbours (similar sequences) only if this share of "
            "their aligned residues is identical."
        },
    )
    split_coverage: float = field(
        default=0.8,
        metadata={
            "help": "With --split homology, two proteins are neighbours only if this share of the shorter one is "
            "aligned. Not checked without MMseqs2."
        },
    )
    test_neighbours: bool | None = field(
        default=None,
        metadata={
            "help": "Find the nearest training protein of each test protein. Metrics are then also reported by the "
            "similarity to it, and confidence intervals take related test proteins into account. By default, only with "
            "--split homology: the search takes about a minute for 20,000 proteins."
        },
    )
    split_seed: int = field(default=42, metadata={"help": "Seed of the validation split and of --max_train_samples."})
    ambiguous: Literal["drop", "keep", "first"] = field(
        default="drop",
        metadata={
            "help": "What to do with DeepLoc's Cytoplasm-Nucleus proteins: drop them, keep them as a class, or "
            "use the first location (Cytoplasm)."
        },
    )
    header_pattern: str | None = field(
        default=None,
        metadata={
            "help": "Regular expression that finds the label in a FASTA header, after the accession. It needs a group "
            r"named label, and can have one named split: 'loc=(?P<label>\S+)'."
        },
    )
    id_column: str = field(default="id", metadata={"help": "Column of the accession in a table."})
    sequence_column: str = field(default="sequence", metadata={"help": "Column of the sequence in a table."})
    label_column: list[str] = field(
        default_factory=lambda: ["location"],
        metadata={
            "help": "Column to predict. A cell has a class, several classes (a list, or A;B with --problem_type "
            "multi_label_classification) or a number. Or give several columns: one per class (0 or 1), or one per "
            "number."
        },
    )
    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] | None = field(
        default=None,
        metadata={
            "help": "Kind of prediction; by default, it is inferred from the data. A;B in a header or a cell, and "
            "DeepLoc's Cytoplasm-Nucleus, mean two classes only if you set multi_label_classification."
        },
    )
    task_name: str | None = field(
        default=None, metadata={"help": "Name of the main task, if it has several label columns."}
    )
    auxiliary_tasks: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Columns of auxiliary tasks, each learned with its own head, such as membrane of DeepLoc (M: "
            "membrane-bound, S: soluble, U: unknown). Empty cells and U are left out of the loss."
        },
    )
    auxiliary_weight: float = field(
        default=0.5, metadata={"help": "Weight of each auxiliary loss; the main loss has weight 1."}
    )
    split_column: str = field(
        default="split",
        metadata={"help": "Column with train, validation or test. A table without this column is accepted."},
    )
    folds: int | None = field(
        default=None,
        metadata={
            "help": "Number of folds for cross-validation of the training and validation proteins. For each fold, a "
            "model is validated on it and trained on the others (OUTPUT_DIR/fold-1, ...). As with --seeds, their "
            "ensemble becomes the model of OUTPUT_DIR. --split sets how the folds are made, unless the data has a "
            "column fold, as split --folds writes it."
        },
    )
    max_length: int = field(
        default=512,
        metadata={"help": "Maximum tokens of a protein, with the special tokens; longer proteins are cropped."},
    )
    crop: Literal["ends", "head", "tail"] = field(
        default="ends",
        metadata={"help": "What to keep of a longer protein: both ends (where sorting signals are), head or tail."},
    )
    max_train_samples: int | None = field(
        default=None,
        metadata={"help": "Train on a sample of about this many proteins from all classes, for a quick test."},
    )
