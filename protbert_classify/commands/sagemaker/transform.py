"""`protbert-classify sagemaker transform`: a whole file on machines that stop automatically."""

import argparse
import os
import tempfile

from ..parsing import positive
from ..predict import REJECTED, summary
from .options import add_account, add_security, add_table, new_parser, security_of, session_of, table_options

DESCRIPTION = """\
Classify a whole file by batch transform: the machines run for it alone, and stop automatically.

  protbert-classify sagemaker transform --role Proteins --model s3://bucket/.../model.tar.gz \\
      --input proteome.fasta --output predictions.csv --instance_type ml.g5.xlarge

The table is that of predict. Records that cannot be classified go to OUTPUT.rejected.csv with the reason, and the exit
code is then 3. After Ctrl-C the job continues; the same command with --resume fetches the table."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...inference.streaming import check_paths
    from ...inference.writers import table_for
    from ...sagemaker.dry_run import DryRun
    from ...sagemaker.transform import Transformer, collect_transform

    dry_run = DryRun() if options.dry_run else None
    session = session_of(options, dry_run)
    if not options.resume:
        machines = {"instance_type": options.instance_type, "instance_count": options.instance_count}
        transformer = Transformer(options.model, session=session, **machines, **security_of(options))
        if dry_run is not None:
            table_for(options.output, [])
            check_paths(options.input, options.output)
            with tempfile.TemporaryDirectory() as folder:  # nothing is written beside the output
                output = os.path.join(folder, os.path.basename(options.output))
                transformer.start(options.input, output, **table_options(options))
            print(dry_run.text())
            return 0
        job = transformer.start(options.input, options.output, **table_options(options))
        if options.no_wait:
            print(job)
            return 0
    done = collect_transform(options.output, session)
    print(summary(done, options.output))
    return REJECTED if done.rejected else 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("transform", DESCRIPTION)
    parser.add_argument("--model", required=True, help="model.tar.gz in S3, or the folder of a run or a model")
    source = "FASTA, .csv, .tsv, .jsonl (plain or .gz) or .parquet, here or in S3"
    add_table(parser, source, "fetch the table of a job that was started before")
    parser.add_argument("--instance_type", default="ml.m5.xlarge", help="default %(default)s, without a GPU")
    parser.add_argument(
        "--instance_count", type=positive, default=1, help="number of machines, which share the file (default 1)"
    )
    parser.add_argument("--no_wait", action="store_true", help="print the job's name and return")
    add_account(parser)
    add_security(parser)
    return parser
