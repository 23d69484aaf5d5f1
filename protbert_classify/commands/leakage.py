"""`protbert-classify leakage`: test proteins that are similar to training proteins."""

import argparse
import csv
import os
from typing import TYPE_CHECKING, Any

from .parsing import OneLineParser, add_data_options

if TYPE_CHECKING:
    from datasets import Dataset

    from ..homology.neighbours import Neighbours

LEAKS = 3  # exit code
DESCRIPTION = """\
Find the test proteins that are similar to training proteins. A model does better on them than on proteins that are
new to it.

  protbert-classify leakage --train train.fasta --test test.fasta --output neighbours.csv
  protbert-classify leakage --train deeploc.fasta --fail_above 0.05

MMseqs2 finds the neighbours: pip install 'protbert_classify[homology]'. Without it, proteins are compared by the
5-mers that they share, which only finds neighbours above about 50% identity. The table has a line for each pair: both
accessions, identity, coverage of the shorter protein, E-value, and both labels."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..errors import OptionError
    from ..homology.leakage import nearest_steps
    from ..homology.neighbours import check_shares, describe_limits, find_neighbours
    from ..inference.streaming import check_paths
    from ..reporting.formatting import count

    if not 0 < options.coverage <= 1:
        raise OptionError(f"coverage={options.coverage}: expected a share above 0, up to 1 (0.8 for 80%)")
    check_shares(identity=options.identity, fail_above=options.fail_above or 0)
    for source in (options.train, options.test):
        if options.output and source:
            check_paths(source, options.output)
    (train, train_labels), (test, test_labels) = _proteins(options)
    found = find_neighbours(_residues(test), _residues(train), identity=0, coverage=options.coverage)
    near = found.select(found.identity >= options.identity)
    if options.output:
        _write(options.output, near, (test, test_labels), (train, train_labels))
    rows = [["nearest training protein", "test proteins", "share", "same label"]]
    for step in nearest_steps(found.nearest(), len(test), test_labels, train_labels):
        agreeing = "-" if step.agreeing is None else f"{step.agreeing:.0%}"
        rows.append([step.name, f"{step.proteins:,}", f"{step.share:.1%}", agreeing])
    leaking = len(near.nearest())
    share = leaking / len(test)
    limits = describe_limits(options.identity, options.coverage, found.method)
    compared = f"{count(len(test), 'test protein')} against {count(len(train), 'training protein')}"
    print(f"{compared}, by {found.method}\n")
    print("\n".join(f"{a:<26}{b:>14}{c:>8}{d:>12}" for a, b, c, d in rows))
    verb = "has" if leaking == 1 else "have"
    print(f"\n{count(leaking, 'test protein')} ({share:.1%}) {verb} a neighbour in training: {limits}")
    if options.output:
        print(f"written: {options.output}")
    return LEAKS if options.fail_above is not None and share > options.fail_above else 0


def _proteins(options: argparse.Namespace) -> list[tuple["Dataset", list[str] | None]]:
    """The training and the test proteins, with their labels as text."""
    from ..data.loading import main_task, read_proteins, reading_options
    from ..data.sources import check_there
    from ..data.splitting import whole
    from ..errors import OptionError
    from ..tasks.targets import label_texts

    given = reading_options(options)
    check_there(options.train)
    splits = read_proteins(options.train, **given)
    if options.test is None:
        if not {"train", "test"} <= splits.keys():
            raise OptionError(f"{options.train}: found {', '.join(splits)}; expected train and test, or --test")
        parts = [splits["train"], splits["test"]]
    else:
        check_there(options.test)
        train = splits["train"] if "train" in splits else whole(splits)  # as training has it
        parts = [train, whole(read_proteins(options.test, **given))]
    return [(part, label_texts(part, main_task({"train": part}, given["columns"]))) for part in parts]


def _residues(proteins: "Dataset") -> list[str]:
    from ..data.alphabet import unspace

    return [unspace(sequence) for sequence in proteins["sequence"][:]]


def _write(output: str, near: "Neighbours", test: Any, train: Any) -> None:
    from ..runs.files import write_atomically

    ids = [proteins["id"][:] for proteins, _ in (test, train)]
    labels = [texts for _, texts in (test, train)]

    def write(path: str) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            header = ["test", "train", "identity", "coverage", "evalue", "test_label", "train_label", "same_label"]
            table.writerow(header)
            for query, target, *numbers in zip(near.query, near.target, near.identity, near.coverage, near.evalue):
                answers = ["", ""] if None in labels else [labels[0][query], labels[1][target]]
                same = answers[0] == answers[1] if all(answers) else ""  # unknown labels are empty
                shown = ["" if number != number else f"{number:.3g}" for number in numbers]
                table.writerow([ids[0][query], ids[1][target], *shown, *answers, same])

    os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    write_atomically(output, write)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify leakage",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--train", required=True, help="training proteins, or a file that also has a test split")
    parser.add_argument("--test", help="test proteins (default: the test split of --train)")
    parser.add_argument("--output", help="write the pairs to this CSV table")
    parser.add_argument("--identity", type=float, default=0.3, help="minimum identity of a neighbour (default 0.3)")
    parser.add_argument(
        "--coverage",
        type=float,
        default=0.8,
        help="minimum share of the shorter protein in the alignment (default 0.8)",
    )
    parser.add_argument(
        "--fail_above",
        type=float,
        metavar="SHARE",
        help="exit with code 3 if more than this share of the test proteins has a neighbour, for use in scripts",
    )
    add_data_options(parser)
    return parser
