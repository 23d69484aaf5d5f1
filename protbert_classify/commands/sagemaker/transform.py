"""Classify a whole file by batch transform: the machines run for it alone, and stop automatically.

  protbert-classify sagemaker transform --role Proteins --model s3://bucket/.../model.tar.gz \\
      --input proteome.fasta --output predictions.csv --instance_type ml.g5.xlarge

The table is that of predict. Records that cannot be classified go to OUTPUT.rejected.csv with the reason, and the exit
code is then 3. After Ctrl-C the job continues; the same command with --resume fetches the table.
"""

import argparse
import os
import tempfile

from ..parsing import add_table, positive, table_options
from ..predict import report
from .options import add_machines, arguments_of, session_of


def run(options: argparse.Namespace) -> int | None:
    from ...inference.streaming import check_table
    from ...sagemaker.transform import Transformer, collect_transform

    if options.resume:
        return report(collect_transform(options.output, session_of(options)), options.output)
    transformer = Transformer(**arguments_of(Transformer, options))
    if options.dry_run is not None:
        check_table(options.input, options.output)
        with tempfile.TemporaryDirectory() as folder:  # nothing is written beside the output
            output = os.path.join(folder, os.path.basename(options.output))
            transformer.transform(options.input, output, wait=False, **table_options(options))
        return None
    done = transformer.transform(options.input, options.output, wait=not options.no_wait, **table_options(options))
    if done is None:
        print(transformer.job_name)
        return None
    return report(done, options.output)


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, help="model.tar.gz in S3, or the folder of a run or a model")
    source = "FASTA, .csv, .tsv, .jsonl (plain or .gz) or .parquet, here or in S3"
    add_table(parser, source, "fetch the table of a job that was started before")
    add("--instance_type", default="ml.m5.xlarge", help="default %(default)s, without a GPU")
    add("--instance_count", type=positive, default=1, help="number of machines, which share the file (default 1)")
    add("--no_wait", action="store_true", help="print the job's name and return")
    add_machines(parser)
