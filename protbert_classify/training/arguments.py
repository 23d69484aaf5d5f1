"""The options of training, as dataclasses for `HfArgumentParser`. Cheap to import: `train --help` reads them."""

from dataclasses import dataclass, field
from typing import Literal


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
        metadata={"help": "linear, or tanh: dropout 0.2, linear, tanh, which caps the top probability."},
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
