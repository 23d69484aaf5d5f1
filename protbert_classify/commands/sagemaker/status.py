"""`protbert-classify sagemaker status`: what runs, and is billed."""

import argparse
from typing import TYPE_CHECKING

from .options import add_account, new_parser, session_of

if TYPE_CHECKING:
    from ...sagemaker.status import Running

DESCRIPTION = """\
List the jobs and endpoints that this program created, and that are running and billed, or show one of them.

  protbert-classify sagemaker status
  protbert-classify sagemaker status --job protbert-classify-0a1b-20261125101500
  protbert-classify sagemaker status --endpoint locations"""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker.status import find_any, list_running

    session = session_of(options)
    if options.job is not None:
        found = [find_any(session, options.job, "training", "transform")]
    elif options.endpoint is not None:
        found = [find_any(session, options.endpoint, "endpoint")]
    else:
        found = list_running(session)
    nothing = f"nothing of protbert-classify runs in {session.boto_region_name}"
    print("\n".join(map(_line, found)) if found else nothing)
    return 0


def _line(one: "Running") -> str:
    name = one.name if one.kind == "endpoint" else f"job {one.name}"
    machines = f"{one.instances} x {one.instance_type}" if one.instance_type else "serverless"
    state = f"{one.status}, {one.detail}" if one.detail else one.status
    output = "" if one.output is None else f"\n  {one.output}"
    return f"{one.kind} {name}: {state}, {machines}, since {one.created:%Y-%m-%d %H:%M}{output}"


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("status", DESCRIPTION)
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--job", help="name of a training or transform job, ended or not")
    one.add_argument("--endpoint", help="name of an endpoint")
    add_account(parser, bucket=False, dry_run=False)
    return parser
