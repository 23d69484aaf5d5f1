"""`protbert-classify predict`: proteins in, a table of predictions out."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import OptionError
from .parsing import (
    SOURCE,
    OneLineParser,
    add_compute_options,
    add_model,
    add_table,
    compute_options,
    error_share,
    share,
    table_options,
)
from .processes import is_distributed
from .terminal import hide_short_progress_bars

if TYPE_CHECKING:
    from ..inference.streaming import PredictionSummary

REJECTED = 3  # exit code: predicted, but for some records

DESCRIPTION = """\
Classify the proteins of a file. Memory does not grow with the input, and the output keeps its order.

  protbert-classify predict --model runs/mine --input proteome.fasta.gz --output predictions.csv
  zcat *.fasta.gz | protbert-classify predict --model runs/mine --input - --output predictions.parquet
  accelerate launch --config_file CONFIG -m protbert_classify predict --model ... --input ... --output ...

The table has one row per protein: id, description, length, location (the predicted class), score (its probability),
the probability of each class, and truncated (whether the protein was longer than the model reads). With --sets, it
also has set: all classes that may well be the true one, several of them where the model is unsure. After a kill or
Ctrl-C, the same command with --resume continues where it stopped. Records that cannot be classified go to
OUTPUT.rejected.csv with the reason, and the exit code is 3, or 0 with several processes (accelerate launch)."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.training_proteins is None:
        given = [name for name in ("min_identity", "transfer_labels") if getattr(options, name) not in (None, False)]
        if given:
            raise OptionError(f"--{given[0]} needs --training_proteins FILE; --help tells more")
    if not options.transfer_labels:
        given = [name for name in ("header_pattern", "label_column") if getattr(options, name) is not None]
        if given:
            raise OptionError(f"--{given[0]} needs --transfer_labels, which reads labels; --help tells more")
    if options.transfer_labels and options.sets is not None:
        raise OptionError("--sets cannot be combined with --transfer_labels; --help tells more")
    if options.sets_by_class and options.sets is None:
        raise OptionError("--sets_by_class needs --sets, such as --sets 0.1; --help tells more")
    from ..inference.predict import predict_file

    hide_short_progress_bars()
    done = predict_file(
        options.model,
        options.input,
        options.output,
        min_score=options.min_score,
        sets=options.sets,
        sets_by_class=options.sets_by_class,
        training_proteins=options.training_proteins,
        min_identity=options.min_identity,
        transfer_labels=options.transfer_labels,
        header_pattern=options.header_pattern,
        label_column=options.label_column,
        resume=options.resume,
        **table_options(options),
        **compute_options(options),
    )
    return report(done, options.output, options.min_identity)


def report(done: "PredictionSummary", output: str, min_identity: float | None = None) -> int:
    """Print how a prediction ended; returns the exit code."""
    return tell(done, summary(done, output, min_identity))


def tell(done: "PredictionSummary", lines: Sequence[str]) -> int:
    """Print lines, and which records were rejected; returns the exit code."""
    if done.main:
        print("\n".join(lines))
        if done.classified is not None and done.rejected:
            records = "record" if done.rejected == 1 else "records"
            print(f"{done.rejected:,} {records} rejected; they and the reasons in {done.rejected_file}")
    # a launcher makes a failure, with a traceback, of every other exit code
    return REJECTED if done.rejected and not is_distributed() else 0


def complete_before(output: str, verb: str) -> str:
    """What `--resume` says of an output that is whole; it has no record of the options that made it."""
    return (
        f"{output} was already complete, so nothing was done, and its options were not compared with these; "
        f"--overwrite {verb} again"
    )


def summary(done: "PredictionSummary", output: str, min_identity: float | None = None) -> list[str]:
    """What was predicted, in a few lines."""
    if done.classified is None:
        return [complete_before(output, "classifies")]
    line = (
        f"{done.classified:,} {'protein' if done.classified == 1 else 'proteins'} classified; predictions in {output}"
    )
    lines = [line]
    if done.unlike is not None:
        from ..homology.neighbours import COVERAGE, IDENTITY, describe_limits, search_method

        limits = describe_limits(IDENTITY if min_identity is None else min_identity, COVERAGE, search_method())
        verb = "is" if done.unlike == 1 else "are"
        lines.append(f"{done.unlike:,} of them {verb} unlike every training protein: none has {limits}")
    if done.unanswered is not None:
        answered = done.classified - done.unanswered
        lines.append(f"{answered:,} of them {'has' if answered == 1 else 'have'} an answer; the others have -")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify predict",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    add_table(parser, SOURCE, "continue an interrupted prediction")
    parser.add_argument(
        "--min_score",
        type=share,
        default=0.0,
        help="write '-' instead of a predicted class with a lower score; the scores stay (0 to 1, default 0)",
    )
    parser.add_argument(
        "--sets",
        type=error_share,
        metavar="ERROR",
        help="add a column set: all classes that cannot be excluded, the best first. With --sets 0.1, at most about "
        "10%% of the sets miss the true class, for proteins like the validation proteins. A smaller ERROR makes larger "
        "sets. An empty set, written as '-', means that no class fits well",
    )
    parser.add_argument(
        "--sets_by_class",
        action="store_true",
        help="with --sets: apply ERROR to each class separately. Sets become larger. Without this option, ERROR is an "
        "average over all proteins, and rare or difficult classes are missed more often than easy ones",
    )
    parser.add_argument(
        "--training_proteins",
        metavar="FILE",
        help="what the model was trained on: adds the columns nearest (the most similar training protein) and identity "
        "(0 to 1), both empty if none is similar. The answer for a protein that is unlike all of them is a guess",
    )
    parser.add_argument(
        "--min_identity",
        type=share,
        metavar="SHARE",
        help="with --training_proteins: write '-' instead of the predicted class if no training protein is at least "
        "this similar, such as 0.3 (0 to 1, default: keep all)",
    )
    parser.add_argument(
        "--transfer_labels",
        action="store_true",
        help="with --training_proteins, which then need labels: combine the model's scores with the label of the most "
        "similar training protein. If that protein is 60%% identical, its label has weight 0.6 and the model's scores "
        "0.4. Usually better than the model alone where similar proteins are known. Adds a column with these labels. "
        "Test proteins in FILE are left out. Cannot be combined with --sets",
    )
    parser.add_argument(
        "--label_column",
        nargs="+",
        metavar="COLUMN",
        help="with --transfer_labels: the column of FILE with the labels, or one column per label (default: as in the "
        "training). The columns of FILE with accessions and sequences must be --id_column and --sequence_column",
    )
    parser.add_argument(
        "--header_pattern",
        metavar="REGEX",
        help="with --transfer_labels: finds the labels in a FASTA file whose headers are not DeepLoc's, as for train",
    )
    add_compute_options(parser)
    return parser
