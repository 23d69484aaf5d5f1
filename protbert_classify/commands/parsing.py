"""An argument parser that complains in one line, as every command here does."""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import OptionError
from ..training.arguments import DataArguments


def positive(text: str) -> int:
    """The type of an option that counts something."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1 or more")
    return int(text)


def share(text: str) -> float:
    """The type of an option that is a share or a probability."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 0 to 1")
    return value


def error_share(text: str) -> float:
    """The type of an option that is an error that can be asked for: more than none, less than all."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number between 0 and 1, such as 0.1")
    return value


class OneLineParser(argparse.ArgumentParser):
    """Raises [`OptionError`] instead of printing its usage and leaving, and suggests an option for an unknown one."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._refuse_unknown(sys.argv[1:] if args is None else args)
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Before argparse complains of a required option, which may be there and misspelt."""
        known = self._option_string_actions
        for word in words:
            name = word.split("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                close = difflib.get_close_matches(name, known, 1)
                close = close or [option for option in known if name.startswith(f"{option}_")]  # model_name_or_path
                self.error(f"unknown option {word}{f'; did you mean {close[0]}?' if close else ''}")

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; --help tells more")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model to use; in a SageMaker container it is where the container has it."""
    here = os.environ.get("SM_MODEL_DIR")
    parser.add_argument(
        "--model", required=here is None, default=here, help="output_dir of a training, a model folder, or a Hub id"
    )


SOURCE = (
    "FASTA, .csv, .tsv or .jsonl (plain or .gz), .parquet, the id of a Hub dataset, or - for FASTA on standard input"
)
TABLE = "the table to write: .csv, .tsv, .jsonl or .parquet"


def add_table(parser: argparse.ArgumentParser, source: str, resume: str, output: str = TABLE) -> None:
    """A source of proteins and what is written about them; see `table_options`."""
    columns = "column of a table with the {} (default %(default)s)"
    parser.add_argument("--input", required=True, help=source)
    parser.add_argument("--output", required=True, help=output)
    parser.add_argument("--resume", action="store_true", help=resume)
    parser.add_argument("--overwrite", action="store_true", help="discard what an interrupted run left and start again")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad record")
    parser.add_argument("--id_column", default="id", help=columns.format("accession"))
    parser.add_argument("--sequence_column", default="sequence", help=columns.format("sequence"))


def table_options(options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `predict_file` and `embed_file`."""
    from ..data.column_names import ColumnNames

    columns = ColumnNames(id=options.id_column, sequence=options.sequence_column)
    return {"columns": columns, "strict": options.strict, "overwrite": options.overwrite}


READING = "reading the data, as for train"


def add_data_options(parser: argparse.ArgumentParser, label_column: Sequence[str] | None = ("location",)) -> None:
    """How labelled proteins are read, in a group of their own; see `reading_options`.

    Args:
        parser: Gets the options.
        label_column: The default; None if a model says which columns it answers.
    """
    group = parser.add_argument_group(READING)
    labels = None if label_column is None else list(label_column)
    ambiguous = None if label_column is None else "drop"
    add_option_of_train(group, "ambiguous", choices=("drop", "keep", "first"), default=ambiguous)
    add_option_of_train(group, "header_pattern", metavar="REGEX")
    add_option_of_train(group, "id_column", metavar="COLUMN", default="id")
    add_option_of_train(group, "sequence_column", metavar="COLUMN", default="sequence")
    add_option_of_train(group, "label_column", metavar="COLUMN", nargs="+", default=labels)
    add_option_of_train(group, "auxiliary_tasks", metavar="COLUMN", nargs="*", default=[])
    add_option_of_train(group, "problem_type", metavar="KIND")
    add_option_of_train(group, "split_column", metavar="COLUMN", default="split")


def add_neighbour_options(parser: argparse.ArgumentParser) -> None:
    """What makes two proteins neighbours, for a split."""
    for name in ("split_identity", "split_coverage"):
        add_option_of_train(parser, name, type=float, default=DataArguments.__dataclass_fields__[name].default)


SPLIT_OPTIONS = (
    "data",
    "validation_data",
    "test_data",
    "validation",
    "split",
    "split_identity",
    "split_coverage",
    "split_seed",
)


def true_or_false(text: str) -> bool:
    """The type of an option that is on or off, as `train` reads it."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected true or false")
    return text.lower() == "true"


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """Which proteins, and how `train` splits them."""
    for name in SPLIT_OPTIONS:
        field = DataArguments.__dataclass_fields__[name]
        number = type(field.default) if isinstance(field.default, (int, float)) else str
        add_option_of_train(parser, name, type=number, default=field.default)
    add_option_of_train(parser, "test_neighbours", nargs="?", const=True, type=true_or_false)


def add_option_of_train(group: Any, name: str, default: Any = None, **more: Any) -> None:
    """Add an option that `train` has, too, with its help."""
    listed = default if isinstance(default, list) else [default]
    shown = f" (default {' '.join(map(str, listed))})" if default not in (None, []) else ""
    group.add_argument(f"--{name}", default=default, help=_help_of_train(name) + shown, **more)


def _help_of_train(name: str) -> str:
    """What `train --help` says about an option."""
    text: str = DataArguments.__dataclass_fields__[name].metadata["help"]
    return text.replace("%", "%%")  # argparse fills in what follows a %


def add_compute_options(parser: argparse.ArgumentParser, int8: bool = True) -> None:
    """How a model computes, for the commands that only use one."""
    also = " int8 is for CPUs and requires the extra int8." if int8 else ""
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the GPU if there is one)")
    parser.add_argument(
        "--precision",
        choices=("auto", "bfloat16", "float32", *(["int8"] if int8 else [])),
        default="auto",
        help="auto: bfloat16 on GPUs that support it, else float32. float32 is the most exact. bfloat16 is also faster "
        f"on CPUs with AVX512-BF16 or AMX.{also} (default %(default)s)",
    )
    parser.add_argument(
        "--tokens_per_batch",
        type=positive,
        help="maximum tokens in a batch, padding included; lower it to save memory (default: 2048 to 16384 on a CPU, "
        "16384 on a GPU)",
    )
    parser.add_argument(
        "--compile", action="store_true", help="use torch.compile: starts slowly, runs faster on large inputs"
    )


def compute_options(options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `load_classifier` and `predict_logits`."""
    return {
        "device": options.device,
        "precision": options.precision,
        "tokens_per_batch": options.tokens_per_batch,
        "compiled": options.compile,
    }
