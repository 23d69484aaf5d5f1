"""`protbert-classify baselines`: how far simple classifiers come on the proteins of a training."""

import argparse
import os
from collections.abc import Iterable

from .parsing import OneLineParser, add_data_options, add_option_of_train, add_split_options, positive

WIDTH = 18  # characters of a name
DESCRIPTION = """\
Measure simple classifiers on the same proteins as a training. A model that does not beat them was not worth its time.

  protbert-classify baselines --data proteins.fasta
  protbert-classify compare --runs runs/baselines/nearest_neighbour runs/protbert

majority           the same answer for every protein: the most frequent class
composition        logistic regression on the composition of the protein and its ends; ridge regression for numbers
random_network     the same on the features of a network with random weights
nearest_neighbour  the labels of the most similar training protein, found by MMseqs2, as with BLAST. Requires
                   pip install 'protbert_classify[homology]'; without it, it is the one with the most 5-mers in common

Use the same data options as for train, so that the splits are the same. Each baseline has a folder of its own. The
commands report and compare accept it like the folder of a training."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..baselines.baseline_run import BASELINES, run_baseline, write_baseline_run
    from ..errors import OptionError
    from ..evaluation.metrics import WATCHED
    from ..runs.output_dir import clear_output_dir
    from ..training.arguments import DataArguments
    from ..training.load_data import load_data
    from ..training.option_ranges import check_ranges
    from .terminal import hide_short_progress_bars

    hide_short_progress_bars()
    chosen = options.baselines or list(BASELINES)
    for name in chosen:
        if name not in BASELINES:
            raise OptionError(f"baselines={name!r}: expected one of {', '.join(BASELINES)}")
    fields = DataArguments.__dataclass_fields__
    data_args = DataArguments(**{name: value for name, value in vars(options).items() if name in fields})
    check_ranges(data_args)
    folders = {name: os.path.join(options.output_dir, name) for name in chosen}
    _check_free(options.output_dir, folders.values(), options.overwrite)
    splits, (task, *_) = load_data(data_args)
    if len(splits) == 1:
        raise OptionError("no validation and no test proteins; expected some, or a share for validation above 0")
    columns = [f"{split}_{metric}" for split in splits if split != "train" for metric in WATCHED[task.problem_type][:3]]
    print(_line("", [_heading(column) for column in columns]))
    for name in chosen:
        metrics, decisions = run_baseline(name, splits, task)
        clear_output_dir(folders[name])
        write_baseline_run(folders[name], name, splits, metrics, decisions, vars(data_args))
        print(_line(name, [f"{metrics[column]:.3f}" for column in columns]), flush=True)
    print(f"\neach in a folder of {options.output_dir}")
    return 0


def _check_free(output_dir: str, folders: Iterable[str], overwrite: bool) -> None:
    """Refuse to write into the folder of a run, or over an earlier baseline; nothing is changed."""
    from ..errors import OptionError
    from ..runs.files import RECORD
    from ..runs.finished_run import read_run

    if os.path.exists(os.path.join(output_dir, RECORD)):
        raise OptionError(f"{output_dir} holds a finished run; set another output_dir")
    for folder in folders:
        if os.path.exists(os.path.join(folder, RECORD)):
            if not read_run(folder).is_baseline:
                raise OptionError(f"{folder} holds a training; set another output_dir")
            if not overwrite:
                raise OptionError(f"{folder} holds a baseline; set another output_dir, or overwrite")


def _heading(column: str) -> str:
    from ..evaluation.metrics import NAMES

    split, _, metric = column.partition("_")
    return f"{split} {NAMES[metric]}"


def _line(name: str, cells: list[str]) -> str:
    return f"{name:<{WIDTH}}" + "".join(f"{cell:>{WIDTH + 3}}" for cell in cells)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify baselines",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output_dir", default="runs/baselines", help="folder for the results (default %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the baselines that are there")
    parser.add_argument("--baselines", nargs="+", metavar="NAME", help="which ones (default: all)")
    add_split_options(parser)
    add_option_of_train(parser, "max_train_samples", type=positive)
    add_data_options(parser)
    return parser
