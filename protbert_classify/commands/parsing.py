"""An argument parser that complains in one line, as every command here does."""

import argparse
import os
from typing import Any, NoReturn

from ..errors import OptionError


def positive(text: str) -> int:
    """The type of an option that counts something."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1 or more")
    return int(text)


class OneLineParser(argparse.ArgumentParser):
    """Raises [`OptionError`] instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; --help tells more")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model to use; in a SageMaker container it is where the container has it."""
    here = os.environ.get("SM_MODEL_DIR")
    parser.add_argument(
        "--model", required=here is None, default=here, help="output_dir of a training, its model/, or a Hub id"
    )


def add_data_options(group: Any) -> None:
    """How labelled proteins are read, for a parser or a group of its options; see `data_options`."""
    group.add_argument("--ambiguous", choices=("drop", "keep", "first"), default="drop", help="as for train")
    group.add_argument("--header_pattern", help="as for train")
    group.add_argument("--id_column", default="id", help="as for train")
    group.add_argument("--sequence_column", default="sequence", help="as for train")
    group.add_argument("--label_column", nargs="+", default=["location"], help="as for train")
    group.add_argument("--auxiliary_tasks", nargs="*", default=[], help="as for train")
    group.add_argument("--problem_type", help="as for train")
    group.add_argument("--split_column", default="split", help="as for train")


def data_options(options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `read_proteins`."""
    from ..data.column_names import ColumnNames

    return {
        "ambiguous": options.ambiguous,
        "header_pattern": options.header_pattern,
        "columns": ColumnNames(
            id=options.id_column,
            sequence=options.sequence_column,
            label=options.label_column,
            split=options.split_column,
            auxiliary=options.auxiliary_tasks,
            problem_type=options.problem_type,
        ),
    }


def add_compute_options(parser: argparse.ArgumentParser) -> None:
    """How a model computes, for the commands that only use one."""
    parser.add_argument("--device", help="cpu, cuda, mps, ...; the GPU if there is one")
    parser.add_argument(
        "--precision",
        choices=("auto", "bfloat16", "float32", "int8"),
        default="auto",
        help="auto: bfloat16 on a GPU that computes in it, float32 elsewhere; float32 rounds least, and alike on most "
        "machines; bfloat16 is the faster one on CPUs with AVX512-BF16 or AMX, too; int8: CPU, needs the extra int8 "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--tokens_per_batch",
        type=positive,
        help="memory a batch takes, in tokens, padding included (default 2048 to 16384 on a CPU, 16384 elsewhere)",
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile: slow to start, faster on large inputs")


def compute_options(options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `load_classifier` and `predict_logits`."""
    return {
        "device": options.device,
        "precision": options.precision,
        "tokens_per_batch": options.tokens_per_batch,
        "compiled": options.compile,
    }
