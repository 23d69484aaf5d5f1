"""List the jobs and endpoints that this program created, and that are running and billed,
or show one of them.

  protbert-classify sagemaker status
  protbert-classify sagemaker status --job protbert-classify-0a1b-20261125101500
  protbert-classify sagemaker status --endpoint locations
"""

import argparse

from .options import add_account, session_of


def run(options: argparse.Namespace) -> None:
    from ...sagemaker.status import find_any, list_running

    session = session_of(options)
    if options.job is not None:
        found = [find_any(session, options.job, "training", "transform")]
    elif options.endpoint is not None:
        found = [find_any(session, options.endpoint, "endpoint")]
    else:
        found = list_running(session)
    nothing = f"nothing of protbert-classify runs in {session.boto_region_name}"
    print("\n".join(map(str, found)) if found else nothing)


def add_options(parser: argparse.ArgumentParser) -> None:
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--job", help="name of a training or transform job, ended or not")
    one.add_argument("--endpoint", help="name of an endpoint")
    add_account(parser, bucket=False, dry_run=False)
