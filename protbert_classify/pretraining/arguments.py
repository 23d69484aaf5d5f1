"""The options of a pretraining, as dataclasses for `HfArgumentParser`. Cheap to import, for `pretrain --help`."""

from dataclasses import dataclass, field
from typing import Any

from ..training.arguments import DataArguments, EncoderArguments, ModelArguments


def _as_for_train(kind: type, name: str) -> Any:
    """An option that `train` has, with its default and its help."""
    of_train = kind.__dataclass_fields__[name]  # type: ignore[attr-defined]
    return field(default=of_train.default, metadata=of_train.metadata)


@dataclass
class PretrainedEncoderArguments(EncoderArguments):
    """The encoder to train further, or to train from scratch."""

    model_name_or_path: str = field(
        default=EncoderArguments.model_name_or_path,
        metadata={
            "help": "Encoder with a masked-language head to train further (ProtBERT, ESM-2, ESM C, another BERT): a "
            "folder or a Hub id."
        },
    )
    attn_implementation: str | None = _as_for_train(ModelArguments, "attn_implementation")


@dataclass
class UnlabelledDataArguments:
    """Which proteins, and how they are read."""

    data: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Proteins to train on, one source or several: FASTA, .csv, .tsv or .jsonl (plain or .gz), "
            ".parquet, the id of a Hub dataset, or - for FASTA on standard input. Labels are not read. Of identical "
            "sequences, one is used."
        },
    )
    validation: float = field(
        default=0.05, metadata={"help": "Share of the proteins that is kept aside for validation; 0 for none."}
    )
    split: str = field(
        default="homology",
        metadata={
            "help": "How the validation proteins are chosen: homology (none has a neighbour in training) or random."
        },
    )
    split_identity: float = _as_for_train(DataArguments, "split_identity")
    split_coverage: float = _as_for_train(DataArguments, "split_coverage")
    split_seed: int = field(default=42, metadata={"help": "Seed of the validation split."})
    exclude: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Files with proteins to keep out of the pretraining, such as your test proteins: these and their "
            "neighbours are removed from --data. The formats are those of --data."
        },
    )
    exclude_identity: float = field(
        default=0.3,
        metadata={
            "help": "With --exclude, two proteins are neighbours (similar sequences) only if this share of their "
            "aligned residues is identical."
        },
    )
    exclude_coverage: float = field(
        default=0.8,
        metadata={
            "help": "With --exclude, two proteins are neighbours only if this share of the shorter one is aligned. Not "
            "checked without MMseqs2."
        },
    )
    id_column: str = field(default="id", metadata={"help": "Column of the accession in a table; it may be missing."})
    sequence_column: str = _as_for_train(DataArguments, "sequence_column")
    strict: bool = field(default=False, metadata={"help": "Stop at the first bad record instead of leaving it out."})
