"""Stop a job, or delete an endpoint with its configuration and model.
What it left in S3 stays there.

  protbert-classify sagemaker delete --endpoint locations
  protbert-classify sagemaker delete --job protbert-classify-0a1b-20261125101500
"""

import argparse
import logging

from .options import add_account, session_of


def run(options: argparse.Namespace) -> None:
    from ...sagemaker.status import delete_endpoint, stop_job

    session = session_of(options)
    if options.dry_run is not None:
        logging.getLogger("protbert_classify").setLevel(logging.ERROR)  # nothing of what it would log happens
    if options.endpoint is not None:
        delete_endpoint(options.endpoint, session)
        return
    told = stop_job(session, options.job)
    if options.dry_run is None:
        print(told)


def add_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--endpoint", help="name of an endpoint")
    what.add_argument("--job", help="name of a training or transform job")
    add_account(parser, bucket=False)
