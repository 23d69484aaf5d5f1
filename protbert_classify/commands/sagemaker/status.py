"""List the jobs and endpoints that this program created, and that are running and billed,
or show one of them.

  protbert-classify sagemaker status
  protbert-classify sagemaker status --job protbert-classify-0a1b-20261125101500
  protbert-classify sagemaker status --endpoint locations
"""

import argparse

from .options import add_account, session_of


def run(options: argparse.Namespace) -> None:
    from ...sagemaker.status import JOBS, existing, list_running, summary

    session = session_of(options)
    if options.job is not None:
        print(summary(session, *existing(session, options.job, *JOBS)))
    elif options.endpoint is not None:
        print(summary(session, *existing(session, options.endpoint, "Endpoint")))
    else:
        nothing = f"nothing of protbert-classify runs in {session.boto_region_name}"
        print("\n".join(list_running(session)) or nothing)


def add_options(parser: argparse.ArgumentParser) -> None:
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--job", help="name of a training or transform job, ended or not")
    one.add_argument("--endpoint", help="name of an endpoint")
    add_account(parser, bucket=False, dry_run=False)
