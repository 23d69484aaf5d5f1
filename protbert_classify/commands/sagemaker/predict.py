"""`protbert-classify sagemaker predict`: proteins through an endpoint."""

import argparse

from ..predict import REJECTED, summary
from .options import add_account, add_table, new_parser, session_of, table_options

DESCRIPTION = """\
Classify the proteins of a file with an endpoint. The table is that of 'protbert-classify predict'.

  protbert-classify sagemaker predict --endpoint locations --input proteins.fasta --output predictions.csv

After Ctrl-C, the same command with --resume continues. Records that cannot be classified are not sent; they go to
OUTPUT.rejected.csv with the reason, and the exit code is then 3."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker.predictor import attach

    predictor = attach(options.endpoint, session_of(options))
    done = predictor.predict_file(options.input, options.output, resume=options.resume, **table_options(options))
    print(summary(done, options.output))
    return REJECTED if done.rejected else 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("predict", DESCRIPTION)
    parser.add_argument("--endpoint", required=True, help="an endpoint that 'sagemaker deploy' created")
    source = "FASTA, .csv, .tsv, .jsonl (plain or .gz), .parquet, or - for FASTA on standard input"
    add_table(parser, source, "continue with what an interrupted prediction left")
    add_account(parser, bucket=False, dry_run=False)
    return parser
