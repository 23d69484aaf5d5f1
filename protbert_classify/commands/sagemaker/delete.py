"""`protbert-classify sagemaker delete`: an end to what is billed."""

import argparse
import logging

from .options import add_account, new_parser, session_of

DESCRIPTION = """\
Stop a job, or delete an endpoint with its configuration and model. What it left in S3 stays there.

  protbert-classify sagemaker delete --endpoint locations
  protbert-classify sagemaker delete --job protbert-classify-0a1b-20261125101500"""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker.dry_run import DryRun
    from ...sagemaker.endpoint import delete_endpoint
    from ...sagemaker.status import stop_job

    dry_run = DryRun() if options.dry_run else None
    session = session_of(options, dry_run)
    if dry_run is not None:
        logging.getLogger("protbert_classify").setLevel(logging.ERROR)  # nothing of what it would log happens
    if options.endpoint is not None:
        delete_endpoint(options.endpoint, session)
    else:
        job = stop_job(session, options.job)
        if dry_run is None:
            state = "stopping" if job.status == "InProgress" else f"it has ended already: {job.status}"
            print(f"{job.kind} job {job.name}: {state}")
    if dry_run is not None:
        print(dry_run.text())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("delete", DESCRIPTION)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--endpoint", help="name of an endpoint")
    what.add_argument("--job", help="name of a training or transform job")
    add_account(parser, bucket=False)
    return parser
