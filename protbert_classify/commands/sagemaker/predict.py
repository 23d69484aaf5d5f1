"""Classify the proteins of a file with an endpoint. The table is that of 'protbert-classify predict'.

  protbert-classify sagemaker predict --endpoint locations --input proteins.fasta --output predictions.csv

After Ctrl-C, the same command with --resume continues. Records that cannot be classified are not sent; they go to
OUTPUT.rejected.csv with the reason, and the exit code is then 3.
"""

import argparse

from ..parsing import add_table, table_options
from ..predict import report
from .options import add_account, session_of


def run(options: argparse.Namespace) -> int:
    from ...sagemaker.predictor import Predictor

    predictor = Predictor(options.endpoint, session_of(options))
    done = predictor.predict_file(options.input, options.output, resume=options.resume, **table_options(options))
    return report(done, options.output)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--endpoint", required=True, help="an endpoint that 'sagemaker deploy' created")
    source = "FASTA, .csv, .tsv, .jsonl (plain or .gz), .parquet, or - for FASTA on standard input"
    add_table(parser, source, "continue with what an interrupted prediction left")
    add_account(parser, bucket=False, dry_run=False)
