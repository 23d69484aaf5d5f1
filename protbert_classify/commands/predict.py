"""`protbert-classify predict`: a FASTA file in, a table of calls out."""

import argparse

from .parsing import OneLineParser, add_compute_options, compute_options
from .terminal import hide_moments


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ..inference.predict import predict_file

    hide_moments()
    count = predict_file(options.model, options.input, options.output, **compute_options(options))
    print(f"{count:,} proteins classified; calls in {options.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify predict",
        description="Classify the proteins of a FASTA file with a fine-tuned classifier. The table has a line a "
        "protein, in the order of the file: id, description, length, location, score (the probability of the call), "
        "a column a class, and truncated (whether the protein is longer than the model reads).",
    )
    parser.add_argument("--model", required=True, help="output_dir of a training, its model/, or a Hub id")
    parser.add_argument("--input", required=True, help="FASTA file, plain or .gz")
    parser.add_argument("--output", required=True, help="the CSV to write")
    add_compute_options(parser)
    return parser
