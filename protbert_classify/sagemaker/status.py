"""Jobs and endpoints by their names: described, waited for, stopped, deleted and listed."""

import logging
import time
from collections.abc import Iterator
from typing import Any

from botocore import xform_name

from ..errors import OptionError, ProteinClassifierError
from .machines import OURS
from .session import PREFIX, Session, if_there, translate_errors

logger = logging.getLogger(__name__)

JOBS = ("TrainingJob", "TransformJob")  # SageMaker's names of what runs here
CHANGING = ("InProgress", "Stopping", "Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
POLL = 10.0  # seconds between two requests for a status
TO_DELETE = f"to delete it: {PREFIX} sagemaker delete --endpoint"


def send(session: Session, request: str, **parameters: Any) -> None:
    """Send a request by boto3's name of it, such as `stop_training_job`; its first parameter is the name of a thing.

    Parameters that are None, at any depth, are left out.
    """
    verb, thing = request.split("_", 1)
    with translate_errors(f"{verb} the {thing.replace('_', ' ')} {next(iter(parameters.values()))}"):
        getattr(session.sagemaker_client, request)(**_without_none(parameters))


def describe(session: Session, kind: str, name: str) -> dict[str, Any] | None:
    """SageMaker's description of an `Endpoint`, a `TrainingJob`, a `Model`, ...; None if there is none of this name."""
    with translate_errors(f"look up the {_in_words(kind)} {name}"):
        return if_there(getattr(session.sagemaker_client, f"describe_{xform_name(kind)}"), **{f"{kind}Name": name})


def existing(session: Session, name: str, *kinds: str) -> tuple[str, dict[str, Any]]:
    """The kind and the description of something that is one of several kinds; OptionError if there is none."""
    for kind in kinds:
        if (found := describe(session, kind, name)) is not None:
            return kind, found
    what = "job" if kinds == JOBS else _in_words(kinds[0])
    raise OptionError(f"{what} {name}: there is none of this name in {session.boto_region_name}")


def watch(session: Session, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """The descriptions of a job or an endpoint, one every `POLL` seconds, until it no longer changes."""
    found: dict[str, Any] | None = existing(session, name, kind)[1]
    while found is not None:
        yield found
        if found[f"{kind}Status"] not in CHANGING:
            return
        time.sleep(POLL)
        found = describe(session, kind, name)


def failure(kind: str, found: dict[str, Any]) -> ProteinClassifierError:
    """The error of a job or an endpoint that failed, with SageMaker's reason."""
    name, reason = found[f"{kind}Name"], str(found.get("FailureReason") or f"it is {found[f'{kind}Status']}")
    text = f"the {_in_words(kind)} {name} failed: {' '.join(reason.split())[:600]}; {log_place(kind, name)}"
    return ProteinClassifierError(text)


def log_place(kind: str, name: str) -> str:
    """Where the log of a job or an endpoint is."""
    return f"its log: CloudWatch, /aws/sagemaker/{kind}s{'/' if kind == 'Endpoint' else ', '}{name}"


def delete_if_there(session: Session, kind: str, name: str) -> None:
    """Delete something, if it is there: for what is not there, a user with our policy would be refused."""
    if describe(session, kind, name) is not None:
        send(session, f"delete_{xform_name(kind)}", **{f"{kind}Name": name})


def stop_job(session: Session, name: str) -> str:
    """Stop a job, if it runs; what it has written is kept. Returns what is said of it."""
    kind, found = existing(session, name, *JOBS)
    status = found[f"{kind}Status"]
    if status == "InProgress":
        send(session, f"stop_{xform_name(kind)}", **{f"{kind}Name": name})
    return f"{_in_words(kind)} {name}: {'stopping' if status == 'InProgress' else f'it has ended already: {status}'}"


def endpoint_config(session: Session, name: str) -> dict[str, Any]:
    """SageMaker's description of the configuration of an endpoint; OptionError if there is none of this name."""
    _, found = existing(session, name, "Endpoint")
    return describe(session, "EndpointConfig", found["EndpointConfigName"]) or {}


def delete_endpoint(name: str, session: Session) -> None:
    """Delete an endpoint, its configuration and its model. What it left in S3 stays there.

    AWS does not delete an endpoint while it is creating it, so this waits until it has done so.

    Args:
        name: Of the endpoint.
        session: See [`open_session`].

    Raises:
        OptionError: There is no such endpoint.
        ProteinClassifierError: Something could not be deleted.
    """
    config = endpoint_config(session, name)
    for found in watch(session, "Endpoint", name):
        if found["EndpointStatus"] in CHANGING:
            logger.info("endpoint %s: waiting until AWS can delete it; Ctrl-C leaves it there, billed", name)
    delete_if_there(session, "Endpoint", name)
    delete_if_there(session, "EndpointConfig", config["EndpointConfigName"])
    for variant in config["ProductionVariants"]:
        delete_if_there(session, "Model", variant["ModelName"])
    logger.info("endpoint %s: deleted, with its configuration and model; it is no longer billed", name)


def clean_up(session: Session, name: str, stamped: str | None = None) -> bool:
    """Delete an endpoint because of an error, and log a further one; returns whether nothing is left.

    With the configuration or model of another name than `stamped`, it is somebody else's, and stays.
    """
    try:
        found = describe(session, "Endpoint", name)
        if found is not None and stamped in (None, found["EndpointConfigName"]):
            delete_endpoint(name, session)
        elif stamped is not None:
            delete_if_there(session, "EndpointConfig", stamped)
            delete_if_there(session, "Model", stamped)
    except (ProteinClassifierError, KeyboardInterrupt) as error:  # a second Ctrl-C
        logger.error("%s", error or f"interrupted; the endpoint {name} may be there; {TO_DELETE} {name}")
        return False
    return True


def list_running(session: Session) -> list[str]:
    """The jobs in progress and the endpoints that were created here: all of them are billed. See `summary`."""
    client, running = session.sagemaker_client, []
    with translate_errors("list jobs and endpoints"):
        for kind in (*JOBS, "Endpoint"):
            only = {} if kind == "Endpoint" else {"StatusEquals": "InProgress"}
            pages = client.get_paginator(f"list_{xform_name(kind)}s").paginate(SortOrder="Ascending", **only)
            for item in pages.search("Endpoints[]" if kind == "Endpoint" else f"{kind}Summaries[]"):
                tags = client.list_tags(ResourceArn=item[f"{kind}Arn"])["Tags"]
                is_ours = OURS.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items()
                if is_ours and (found := describe(session, kind, item[f"{kind}Name"])) is not None:
                    running.append(summary(session, kind, found))
    return running


def summary(session: Session, kind: str, found: dict[str, Any]) -> str:
    """What a job or an endpoint does now, on which machines; and where the results of a job are."""
    status, output = found[f"{kind}Status"], None
    if kind == "TrainingJob":
        machines = found["ResourceConfig"]
        output = found["ModelArtifacts"]["S3ModelArtifacts"] if status == "Completed" else None
    elif kind == "TransformJob":
        machines, output = found["TransformResources"], found["TransformOutput"]["S3OutputPath"]
    else:
        machines = endpoint_config(session, found["EndpointName"]).get("ProductionVariants", [{}])[0]
    count = machines.get("InstanceCount", machines.get("InitialInstanceCount"))
    detail = " ".join(str(found.get("FailureReason") or found.get("SecondaryStatus") or "").split())
    words = [
        status if detail in ("", status) else f"{status}, {detail}",
        f"{count} x {machines['InstanceType']}" if "InstanceType" in machines else "serverless",
        f"since {found['CreationTime']:%Y-%m-%d %H:%M}",
    ]
    return f"{_in_words(kind)} {found[f'{kind}Name']}: {', '.join(words)}" + (f"\n  {output}" if output else "")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _in_words(kind: str) -> str:
    return xform_name(kind).replace("_", " ")
