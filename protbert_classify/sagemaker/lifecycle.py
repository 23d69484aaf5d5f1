"""Endpoints while they are there: found, waited for and listed."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore import xform_name
from botocore.exceptions import ClientError

from ..errors import OptionError, ProteinClassifierError
from .aws import PREFIX, told
from .requests import OURS, Request

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")  # after which there is another status
POLL = 30.0  # seconds between two looks
MAX_WAIT = 3600.0


class Endpoint(NamedTuple):
    """An endpoint that runs, and costs.

    Args:
        name: Of it.
        status: SageMaker's: `InService`, `Creating`, `Failed`, ...
        instance_type: None if serverless.
        instances: That it has now, or is to have; 0 if serverless.
        created: When.
    """

    name: str
    status: str
    instance_type: str | None
    instances: int
    created: datetime


def found(describe: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What a call that describes something returns; None if there is no such thing."""
    try:
        return describe()
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def is_missing(error: ClientError) -> bool:
    """Whether AWS refused because there is nothing of the name; SageMaker has no code of its own for it."""
    code, text = error.response["Error"]["Code"], str(error.response["Error"].get("Message", "")).lower()
    return code == "ResourceNotFound" or (code.startswith("Validation") and "could not find" in text)


def describe_endpoint(session: "Session", name: str) -> dict[str, Any] | None:
    """What SageMaker says of an endpoint; None if there is none of this name."""
    client = session.sagemaker_client
    with told(f"look up the endpoint {name}"):
        return found(partial(client.describe_endpoint, EndpointName=name))


def existing_endpoint(session: "Session", name: str) -> dict[str, Any]:
    """[`describe_endpoint`] of one that must be there.

    Raises:
        OptionError: It is not.
    """
    described = describe_endpoint(session, name)
    if described is None:
        raise OptionError(f"endpoint {name}: there is none of this name in {session.boto_region_name}")
    return described


def endpoint_config(session: "Session", config_name: str) -> dict[str, Any]:
    """What SageMaker says of the configuration of an endpoint."""
    with told(f"look up the configuration {config_name}"):
        return session.sagemaker_client.describe_endpoint_config(EndpointConfigName=config_name)


def send(session: "Session", requests: Sequence[Request]) -> None:
    """Send requests, in order, until one fails."""
    client = session.sagemaker_client
    for operation, request in requests:
        method = xform_name(operation)
        verb, thing = method.split("_", 1)
        with told(f"{verb} the {thing.replace('_', ' ')}"):
            getattr(client, method)(**request)


def wait_while_changing(
    session: "Session", name: str, poll: float = POLL, max_wait: float = MAX_WAIT
) -> dict[str, Any]:
    """Wait until an endpoint is what it will be.

    Returns:
        What SageMaker says of it then.

    Raises:
        ProteinClassifierError: It is gone, or takes longer than `max_wait` seconds.
    """
    deadline = time.monotonic() + max_wait
    while (described := describe_endpoint(session, name)) is not None:
        if described["EndpointStatus"] not in CHANGING:
            return described
        if time.monotonic() > deadline:
            raise ProteinClassifierError(
                f"endpoint {name}: still {described['EndpointStatus']} after {max_wait:.0f} s; {log_place(name)}"
            )
        time.sleep(poll)
    raise ProteinClassifierError(f"endpoint {name}: somebody deleted it")


def failure_reason(described: dict[str, Any]) -> str:
    """Why an endpoint or a job is not what it should be, in one line."""
    status = described.get("EndpointStatus") or described.get("TransformJobStatus")
    return " ".join(str(described.get("FailureReason") or f"it is {status}").split())


def log_place(name: str) -> str:
    """Where to read what a container said."""
    return f"its log: CloudWatch, /aws/sagemaker/Endpoints/{name}"


def deletion_command(name: str) -> str:
    return f"{PREFIX} sagemaker delete --endpoint {name}"


def endpoints(session: "Session") -> list[Endpoint]:
    """The endpoints that were created here, oldest first: all of them cost as long as they are listed."""
    client = session.sagemaker_client
    listed = []
    with told("list the endpoints"):
        for page in client.get_paginator("list_endpoints").paginate(SortBy="CreationTime", SortOrder="Ascending"):
            for summary in page["Endpoints"]:
                tags = client.list_tags(ResourceArn=summary["EndpointArn"])["Tags"]
                if OURS.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items():
                    listed.append(summary)
    return [endpoint for summary in listed if (endpoint := _endpoint(session, summary)) is not None]


def _endpoint(session: "Session", summary: dict[str, Any]) -> Endpoint | None:
    described = describe_endpoint(session, summary["EndpointName"])
    if described is None:  # deleted since it was listed
        return None
    variant = endpoint_config(session, described["EndpointConfigName"])["ProductionVariants"][0]
    running = (described.get("ProductionVariants") or [{}])[0].get("CurrentInstanceCount")
    return Endpoint(
        name=summary["EndpointName"],
        status=described["EndpointStatus"],
        instance_type=variant.get("InstanceType"),
        instances=int(variant.get("InitialInstanceCount", 0) if running is None else running),
        created=summary["CreationTime"],
    )
