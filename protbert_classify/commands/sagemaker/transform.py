"""`protbert-classify sagemaker transform`: a whole file on machines that end by themselves."""

import argparse
import os
import tempfile

from ..parsing import positive
from ..predict import REJECTED, summary
from .options import add_account, add_security, new_parser, pairs, security_of, session_of
from .tables import add_table, table_options

DESCRIPTION = """\
Classify a whole file by batch transform: the machines are there for it alone, and end by themselves.

  protbert-classify sagemaker transform --role Proteins --model s3://bucket/.../model.tar.gz \\
      --input proteome.fasta --output calls.csv --instance_type ml.g5.xlarge

The file, here or in S3, is sent in parts; several machines share them. The table is that of predict. Records that
cannot be classified are not sent; they go to OUTPUT.rejected.csv with the reason, and the exit code is then 3. On
Ctrl-C the job is stopped and its model deleted."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...inference.streaming import check_paths
    from ...inference.writers import table_for
    from ...sagemaker.dry_run import DryRun
    from ...sagemaker.transform.transformation import attach_transform
    from ...sagemaker.transformer import Transformer

    dry_run = DryRun() if options.dry_run else None
    session = session_of(options, dry_run)
    if options.resume:
        done = attach_transform(options.output, session).collect()
        print(summary(done, options.output))
        return REJECTED if done.rejected else 0
    transformer = Transformer(
        options.model,
        session=session,
        instance_type=options.instance_type,
        instance_count=options.instance_count,
        image_uri=options.image_uri,
        environment=pairs(options.environment, "--environment"),
        **security_of(options),
    )
    if dry_run is not None:
        table_for(options.output, [])
        check_paths(options.input, options.output)
        with tempfile.TemporaryDirectory() as folder:  # what is kept beside an output has no place beside this one
            nowhere = os.path.join(folder, os.path.basename(options.output))
            transformer.start(options.input, nowhere, **table_options(options))
        print(dry_run.text())
        return 0
    if options.no_wait:
        started = transformer.start(options.input, options.output, **table_options(options))
        print(started.job)
        return 0
    done = transformer.transform(options.input, options.output, **table_options(options))
    print(summary(done, options.output))
    return REJECTED if done.rejected else 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("transform", DESCRIPTION)
    parser.add_argument("--model", required=True, help="model.tar.gz in S3, or the folder of a run or a model")
    add_table(parser, "FASTA, .csv, .tsv, .jsonl (plain or .gz) or .parquet, here or in S3")
    parser.add_argument("--instance_type", default="ml.m5.xlarge", help="default %(default)s, without a GPU")
    parser.add_argument("--instance_count", type=positive, default=1, help="they share the parts (default 1)")
    parser.add_argument("--image_uri", help="a container of one's own (default: AWS' newest of Hugging Face)")
    parser.add_argument("--environment", nargs="+", default=[], metavar="NAME=VALUE", help="of the container")
    parser.add_argument("--no_wait", action="store_true", help="print the job's name and leave")
    parser.add_argument("--resume", action="store_true", help="fetch the table of a job that was not waited for")
    add_account(parser)
    add_security(parser)
    return parser
