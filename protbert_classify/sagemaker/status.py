"""What was created here and runs now, and so costs: jobs and endpoints, described and stopped."""

from datetime import datetime
from typing import Any, NamedTuple

from botocore import xform_name

from ..errors import OptionError
from .machines import OURS
from .session import Session, describe, translate_errors

KINDS = {"training": "TrainingJob", "transform": "TransformJob", "endpoint": "Endpoint"}


class Running(NamedTuple):
    """A job or an endpoint."""

    kind: str  # training, transform or endpoint
    name: str
    status: str  # SageMaker's: InProgress, InService, Failed, ...
    instance_type: str | None  # None if serverless
    instances: int
    created: datetime
    detail: str  # what it does now, or why it failed
    output: str | None  # where the results of a job are in S3

    def __str__(self) -> str:
        name = self.name if self.kind == "endpoint" else f"job {self.name}"
        machines = f"{self.instances} x {self.instance_type}" if self.instance_type else "serverless"
        state = f"{self.status}, {self.detail}" if self.detail else self.status
        output = "" if self.output is None else f"\n  {self.output}"
        return f"{self.kind} {name}: {state}, {machines}, since {self.created:%Y-%m-%d %H:%M}{output}"


def list_running(session: Session) -> list[Running]:
    """The jobs in progress and the endpoints that were created here: all of them are billed."""
    client, found = session.sagemaker_client, []
    with translate_errors("list jobs and endpoints"):
        for kind, title in KINDS.items():
            only = {} if kind == "endpoint" else {"StatusEquals": "InProgress"}
            for page in client.get_paginator(f"list_{xform_name(title)}s").paginate(SortOrder="Ascending", **only):
                for item in page["Endpoints" if kind == "endpoint" else f"{title}Summaries"]:
                    tags = client.list_tags(ResourceArn=item[f"{title}Arn"])["Tags"]
                    if OURS.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items():
                        found.append(find(session, kind, item[f"{title}Name"]))
    return [one for one in found if one is not None]  # one may have ended since


def find_any(session: Session, name: str, *kinds: str) -> Running:
    """A job or an endpoint, by its name and its possible kinds.

    Raises:
        OptionError: There is none.
    """
    for kind in kinds:
        if (found := find(session, kind, name)) is not None:
            return found
    what = "endpoint" if kinds == ("endpoint",) else "job"
    raise OptionError(f"{what} {name}: there is none of this name in {session.boto_region_name}")


def stop_job(session: Session, name: str) -> Running:
    """Stop a job, if it runs; what it has written is kept. Returns how it was before."""
    job = find_any(session, name, "training", "transform")
    if job.status == "InProgress":
        title = KINDS[job.kind]
        with translate_errors(f"stop the job {name}"):
            getattr(session.sagemaker_client, f"stop_{xform_name(title)}")(**{f"{title}Name": name})
    return job


def find(session: Session, kind: str, name: str) -> Running | None:
    """A job or an endpoint; None if there is none of this name."""
    title = KINDS[kind]
    if (found := describe(session, title, name)) is None:
        return None
    status, output = found[f"{title}Status"], None
    machines: dict[str, Any]
    if kind == "training":
        machines, artifacts = found["ResourceConfig"], found.get("ModelArtifacts") or {}
        output = artifacts.get("S3ModelArtifacts") if status == "Completed" else None
    elif kind == "transform":
        machines, output = found["TransformResources"], found["TransformOutput"]["S3OutputPath"]
    else:
        config = describe(session, "EndpointConfig", found["EndpointConfigName"]) or {}
        machines = config.get("ProductionVariants", [{}])[0]
    count = machines.get("InstanceCount", machines.get("InitialInstanceCount", 0))
    detail = found.get("FailureReason") or found.get("SecondaryStatus") or ""
    text = "" if detail == status else " ".join(str(detail).split())
    return Running(kind, name, status, machines.get("InstanceType"), count, found["CreationTime"], text, output)
