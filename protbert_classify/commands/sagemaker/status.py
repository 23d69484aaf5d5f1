"""`protbert-classify sagemaker status`: what runs, and costs."""

import argparse
from typing import TYPE_CHECKING

from .options import add_account, new_parser, session_of

if TYPE_CHECKING:
    from ...sagemaker.endpoints.lifecycle import Endpoint
    from ...sagemaker.jobs import Job

DESCRIPTION = """\
What was begun with this program and runs now, and so costs: training, transform and tuning jobs, and endpoints; or one
of them.

  protbert-classify sagemaker status
  protbert-classify sagemaker status --job protbert-classify-0a1b-20261125101500
  protbert-classify sagemaker status --endpoint locations"""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    from ...sagemaker.endpoints.lifecycle import list_endpoints
    from ...sagemaker.endpoints.predictor import attach
    from ...sagemaker.jobs import describe_job, running_jobs

    session = session_of(options)
    if options.job is not None:
        print(_job(describe_job(session, options.job)))
        return 0
    if options.endpoint is not None:
        attach(options.endpoint, session)  # one that is not there is said so
    listed = [endpoint for endpoint in list_endpoints(session) if options.endpoint in (None, endpoint.name)]
    lines = [_endpoint(endpoint) for endpoint in listed]
    if options.endpoint is None:
        lines = [*map(_job, running_jobs(session)), *lines]
    print("\n".join(lines) if lines else f"nothing of protbert-classify runs in {session.boto_region_name}")
    return 0


def _job(job: "Job") -> str:
    machines = f"{job.instances} x {job.instance_type}"
    line = f"{job.kind} job {job.name}: {job.status}{', ' + job.detail if job.detail else ''}, {machines}"
    ended = "" if job.output is None else f"\n  {job.output}"
    return f"{line}, since {job.created:%Y-%m-%d %H:%M}{ended}"


def _endpoint(endpoint: "Endpoint") -> str:
    on = f"{endpoint.instances} x {endpoint.instance_type}" if endpoint.instance_type else "serverless"
    return f"endpoint {endpoint.name}: {endpoint.status}, {on}, since {endpoint.created:%Y-%m-%d %H:%M}"


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("status", DESCRIPTION)
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--job", help="of training, transform or tuning, ended or not")
    one.add_argument("--endpoint", help="by its name")
    add_account(parser, bucket=False, dry_run=False)
    return parser
