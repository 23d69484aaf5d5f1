"""`protbert-classify sagemaker delete`: an end to what costs."""

import argparse
import logging

from .options import add_account, new_parser, session_of

DESCRIPTION = """\
Delete an endpoint with its configuration, model and scaling, or stop a job. Nothing of it costs any more, but for what
it left in S3, which stays.

  protbert-classify sagemaker delete --endpoint locations
  protbert-classify sagemaker delete --job protbert-classify-0a1b-20261125101500"""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker.dry_run import DryRun
    from ...sagemaker.endpoints.deletion import delete_endpoint
    from ...sagemaker.jobs import stop_job

    dry_run = DryRun() if options.dry_run else None
    session = session_of(options, dry_run)
    if options.job is not None:
        job = stop_job(session, options.job)
        said = "stopping" if job.status == "InProgress" else f"it has ended already: {job.status}"
        print(dry_run.text() if dry_run else f"{job.kind} job {job.name}: {said}")
        return 0
    if dry_run is not None:
        logging.getLogger("protbert_classify").setLevel(logging.ERROR)  # what it would have done is not done
    delete_endpoint(options.endpoint, session)
    if dry_run is not None:
        print(dry_run.text())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("delete", DESCRIPTION)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--endpoint", help="by its name")
    what.add_argument("--job", help="of training, transform or tuning")
    add_account(parser, bucket=False)
    return parser
