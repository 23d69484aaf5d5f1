"""The jobs that this package began: which of them run, how one is, and how it is stopped."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import OptionError
from .calls import found
from .refusals import told
from .tags import is_ours

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

KINDS = ("training", "transform")


class Job(NamedTuple):
    """A job of SageMaker.

    Args:
        kind: `training` or `transform`.
        name: Of it.
        status: `InProgress`, `Completed`, `Failed`, `Stopping` or `Stopped`.
        instance_type: Of its machines.
        instances: How many of them.
        created: When.
        detail: What it does now, or why it failed.
        output: Where its results are, or, of a transform job, will be, in S3; None if there are none.
    """

    kind: str
    name: str
    status: str
    instance_type: str | None
    instances: int
    created: datetime
    detail: str
    output: str | None


def running_jobs(session: "Session") -> list[Job]:
    """The jobs in progress that were begun here: all of them cost until they end."""
    client = session.boto_session.client("sagemaker")
    jobs = []
    with told("list the jobs"):
        for kind in KINDS:
            title = kind.capitalize()
            pages = client.get_paginator(f"list_{kind}_jobs").paginate(StatusEquals="InProgress")
            for summary in (summary for page in pages for summary in page[f"{title}JobSummaries"]):
                if is_ours(session, summary[f"{title}JobArn"]):
                    jobs.append(describe_job(session, summary[f"{title}JobName"]))
    return jobs


def describe_job(session: "Session", name: str) -> Job:
    """A job, by its name.

    Raises:
        OptionError: There is none.
    """
    client = session.boto_session.client("sagemaker")
    with told(f"look up the job {name}"):
        for kind in KINDS:
            describe: Callable[..., Any] = getattr(client, f"describe_{kind}_job")
            described = found(lambda: describe(**{f"{kind.capitalize()}JobName": name}))
            if described is not None:
                return _training(described) if kind == "training" else _transform(described)
    raise OptionError(f"job {name}: there is none of this name in {session.boto_region_name}")


def stop_job(session: "Session", name: str) -> Job:
    """Stop a job that runs; what it has done is kept. One that has ended is left as it is.

    Raises:
        OptionError: There is none of this name.
    """
    job = describe_job(session, name)
    if job.status == "InProgress":
        client = session.boto_session.client("sagemaker")
        with told(f"stop the job {name}"):
            getattr(client, f"stop_{job.kind}_job")(**{f"{job.kind.capitalize()}JobName": name})
    return job


def _training(described: dict[str, Any]) -> Job:
    machines, status = described["ResourceConfig"], described["TrainingJobStatus"]
    return Job(
        "training",
        described["TrainingJobName"],
        status,
        machines.get("InstanceType"),
        machines.get("InstanceCount", 1),
        described["CreationTime"],
        " ".join(str(described.get("FailureReason") or described.get("SecondaryStatus", "")).split()),
        (described.get("ModelArtifacts") or {}).get("S3ModelArtifacts") if status == "Completed" else None,
    )


def _transform(described: dict[str, Any]) -> Job:
    machines = described["TransformResources"]
    return Job(
        "transform",
        described["TransformJobName"],
        described["TransformJobStatus"],
        machines["InstanceType"],
        machines["InstanceCount"],
        described["CreationTime"],
        " ".join(str(described.get("FailureReason", "")).split()),
        described["TransformOutput"]["S3OutputPath"],
    )
