"""`protbert-classify split`: divides labelled proteins so that no test protein has a relative in training."""

import argparse
import logging
import os
from typing import TYPE_CHECKING, Any

from .parsing import OneLineParser, add_data_options, add_neighbour_options

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset

    from ..data.division import Division
    from ..model.tasks import Task

logger = logging.getLogger(__name__)

VALIDATION, TEST = 0.1, 0.2
DESCRIPTION = """\
Divide labelled proteins into training, validation and test proteins, or into folds, so that no protein has a neighbour
in another part. Neighbours, their neighbours, and so on stay together.

  protbert-classify split --data proteins.csv --output divided.csv
  protbert-classify split --data deeploc.fasta --output divided --test 0.1 --validation 0.1
  protbert-classify split --data proteins.csv --output folds.csv --folds 5

If OUTPUT is a table (.csv, .tsv, .jsonl, .parquet), it contains the accession, sequence and labels of every protein.
Its column split contains train, validation or test; with --folds, its column fold contains the number of the fold, from
1. Any other OUTPUT is a folder with a file for each part: FASTA for data with DeepLoc's headers, CSV for other data.
Splits that the data already has are not kept.

MMseqs2 finds the neighbours: pip install 'protbert_classify[homology]'. Without it, proteins are compared by the
5-mers that they share, which only finds neighbours above about 50% identity."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    _check(options)
    from ..data.divided_files import check_free, check_output
    from ..data.division import Division
    from ..data.loading import main_task, read_proteins, reading_options
    from ..data.sources import check_there
    from ..data.splitting import whole
    from ..errors import OptionError
    from ..inference.streaming import check_paths

    is_folder = check_output(options.output)
    if not is_folder:
        check_paths(options.data, options.output)
        if os.path.exists(options.output) and not options.overwrite:
            raise OptionError(f"output {options.output} exists already; set another output, or overwrite")
    check_there(options.data)
    given = reading_options(options)
    splits = read_proteins(options.data, **given)
    if len(splits) > 1:
        logger.info("%s: its splits (%s) are not kept", options.data, ", ".join(splits))
    proteins = whole(splits)
    if not is_folder:  # before the search, which takes long
        check_free(proteins, given["columns"], _new_column(options))
    task = main_task(splits, given["columns"])
    division = Division(proteins, task, options.split, options.split_identity, options.split_coverage)
    if options.folds is not None:
        parts = division.into_folds(options.folds, options.split_seed)
        names: list[Any] = list(range(1, options.folds + 1))
    else:
        shares = {name: share for name in ("test", "validation") if (share := getattr(options, name))}
        parts = division.into_parts(shares, options.split_seed)
        names = [name for name in ("train", "validation", "test") if (parts == name).any()]
    write = _write_folder if is_folder else _write_table
    write(options, proteins, parts, names)
    print(f"{_summary(proteins, parts, names, task, division)}\nwritten: {options.output}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse shares and numbers that cannot work, before anything is read."""
    from ..errors import OptionError
    from ..training.option_ranges import check_ranges

    check_ranges(options)
    if options.folds is not None:
        if options.folds < 2:
            raise OptionError(f"folds={options.folds}: expected 2 or more")
        if (options.validation, options.test) != (None, None):
            raise OptionError("folds: every protein is tested in one of them; leave --validation and --test out")
        return
    options.validation = VALIDATION if options.validation is None else options.validation
    options.test = TEST if options.test is None else options.test
    for name in ("validation", "test"):
        if not 0 <= getattr(options, name) < 1:
            raise OptionError(f"{name}={getattr(options, name)}: expected a share of the proteins, 0 up to 1 (0.1)")
    if not 0 < options.validation + options.test < 1:
        raise OptionError(
            f"validation={options.validation} and test={options.test}: expected less than 1 together, and more than 0"
        )


def _write_table(options: argparse.Namespace, proteins: "Dataset", parts: "np.ndarray", names: list[Any]) -> None:
    from ..data.divided_files import write_table
    from ..data.loading import reading_options

    os.makedirs(os.path.dirname(options.output) or ".", exist_ok=True)
    write_table(options.output, proteins, reading_options(options)["columns"], **{_new_column(options): parts.tolist()})


def _new_column(options: argparse.Namespace) -> str:
    return options.split_column if options.folds is None else "fold"


def _write_folder(options: argparse.Namespace, proteins: "Dataset", parts: "np.ndarray", names: list[Any]) -> None:
    """A file for each part; for each fold a folder with its training and its test proteins."""
    for name in names:
        if options.folds is None:
            _write_part(options, proteins, parts == name, name)
        else:
            _write_part(options, proteins, parts != name, f"fold-{name}/train")
            _write_part(options, proteins, parts == name, f"fold-{name}/test")


def _write_part(options: argparse.Namespace, proteins: "Dataset", chosen: "np.ndarray", name: str) -> None:
    from ..data.divided_files import write_deeploc_fasta, write_table
    from ..data.loading import has_deeploc_headers, location_column, reading_options

    path = os.path.join(options.output, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = proteins.select(chosen.nonzero()[0])
    columns = reading_options(options)["columns"]
    if has_deeploc_headers(options.data, options.header_pattern):
        write_deeploc_fasta(f"{path}.fasta", part, location_column(columns))
    else:
        write_table(f"{path}.csv", part, columns)


def _summary(proteins: "Dataset", parts: "np.ndarray", names: list[Any], task: "Task", division: "Division") -> str:
    """A line for each class with its proteins in each part, and how many proteins have a neighbour in another part."""
    from ..model.tasks import REGRESSION

    heads = [f"fold {name}" if isinstance(name, int) else name for name in names]
    rows = [["", *heads], ["proteins", *(f"{(parts == name).sum():,}" for name in names)]]
    if task.problem_type != REGRESSION:
        for label, own in zip(task.labels, division.labels.T, strict=True):
            if own.any():
                rows.append([label, *(f"{own[parts == name].sum():,}" for name in names)])
    width = max(len(row[0]) for row in rows)
    table = "\n".join(row[0].ljust(width) + "".join(cell.rjust(12) for cell in row[1:]) for row in rows)
    return f"{table}\n\n{division.describe(parts)}"


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify split",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="labelled proteins, as for train")
    parser.add_argument("--output", required=True, help="table or folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a table that is there")
    parser.add_argument("--test", type=float, help=f"share of the proteins for testing (default {TEST})")
    parser.add_argument("--validation", type=float, help=f"share of the proteins for validation (default {VALIDATION})")
    parser.add_argument("--folds", type=int, metavar="N", help="divide into N folds instead")
    parser.add_argument(
        "--split",
        choices=("homology", "identical", "random"),
        default="homology",
        help="what stays together: homology (groups of neighbours), identical (equal sequences) or random (nothing); "
        "the parts keep the shares of the classes alike where possible (default homology)",
    )
    add_neighbour_options(parser)
    parser.add_argument("--split_seed", type=int, default=42, help="seed of the choice (default 42)")
    add_data_options(parser)
    return parser
