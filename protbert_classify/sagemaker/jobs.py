"""The jobs that this package began: which of them run, how one is, and how it is stopped."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore import xform_name

from ..errors import OptionError
from .calls import found
from .refusals import told
from .tags import is_ours

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

# what we call a job -> what SageMaker's API does
KINDS = {"training": "TrainingJob", "transform": "TransformJob", "tuning": "HyperParameterTuningJob"}


class Job(NamedTuple):
    """A job of SageMaker.

    Args:
        kind: `training`, `transform` or `tuning`.
        name: The name of the job.
        status: `InProgress`, `Completed`, `Failed`, `Stopping` or `Stopped`.
        instance_type: Of its machines.
        instances: How many of them; in a tuning, at once.
        created: When.
        detail: What it does now, or why it failed.
        output: Where its results are, or, of a transform job, will be, in S3; None if there are none, and in a tuning.
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
        for title in KINDS.values():
            pages = client.get_paginator(f"list_{xform_name(title)}s").paginate(StatusEquals="InProgress")
            for summary in (summary for page in pages for summary in page[f"{title}Summaries"]):
                if is_ours(session, summary[f"{title}Arn"]):
                    jobs.append(describe_job(session, summary[f"{title}Name"]))
    return jobs


def describe_job(session: "Session", name: str) -> Job:
    """A job, by its name.

    Raises:
        OptionError: There is none.
    """
    client = session.boto_session.client("sagemaker")
    with told(f"look up the job {name}"):
        for kind, title in KINDS.items():
            describe = partial(getattr(client, f"describe_{xform_name(title)}"), **{f"{title}Name": name})
            described = found(describe)
            if described is not None:
                return READERS[kind](described)
    raise OptionError(f"job {name}: there is none of this name in {session.boto_region_name}")


def stop_job(session: "Session", name: str) -> Job:
    """Stop a job that runs; what it has done is kept. One that has ended is left as it is.

    Raises:
        OptionError: There is none of this name.
    """
    job = describe_job(session, name)
    if job.status == "InProgress":
        client = session.boto_session.client("sagemaker")
        title = KINDS[job.kind]
        with told(f"stop the job {name}"):
            getattr(client, f"stop_{xform_name(title)}")(**{f"{title}Name": name})
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
        _detail(described, status),
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
        _detail(described),
        described["TransformOutput"]["S3OutputPath"],
    )


def _tuning(described: dict[str, Any]) -> Job:
    definition = described.get("TrainingJobDefinition") or {}
    machines = definition.get("ResourceConfig") or {}
    counts = described.get("TrainingJobStatusCounters") or {}
    limits = described["HyperParameterTuningJobConfig"]["ResourceLimits"]
    best = (described.get("BestTrainingJob") or {}).get("TrainingJobName")
    detail = _detail(described) or (
        f"{counts.get('Completed', 0)} of {limits.get('MaxNumberOfTrainingJobs', 'any number of')} trainings done"
        f"{f', best so far {best}' if best else ''}"
    )
    return Job(
        "tuning",
        described["HyperParameterTuningJobName"],
        described["HyperParameterTuningJobStatus"],
        machines.get("InstanceType"),
        machines.get("InstanceCount", 1) * limits["MaxParallelTrainingJobs"],
        described["CreationTime"],
        detail,
        None,
    )


def _detail(described: dict[str, Any], status: str | None = None) -> str:
    """Why it failed, or what it does, where its status does not say that."""
    detail = described.get("FailureReason") or described.get("SecondaryStatus") or ""
    return "" if detail == status else " ".join(str(detail).split())


READERS = {"training": _training, "transform": _transform, "tuning": _tuning}
