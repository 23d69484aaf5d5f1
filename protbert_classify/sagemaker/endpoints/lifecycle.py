"""Endpoints while they are there: found, waited for and listed."""

import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import OptionError, ProteinClassifierError
from ..aws import PREFIX
from ..calls import found
from ..refusals import told
from ..tags import is_ours

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")  # after which there is another status
POLL = 30.0  # seconds between two looks
MAX_WAIT = 3600.0


class Endpoint(NamedTuple):
    """An endpoint that runs, and costs.

    Args:
        name: The name of the endpoint.
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


def log_place(name: str) -> str:
    """Where to read what a container said."""
    return f"its log: CloudWatch, /aws/sagemaker/Endpoints/{name}"


def deletion_command(name: str) -> str:
    return f"{PREFIX} sagemaker delete --endpoint {name}"


def list_endpoints(session: "Session") -> list[Endpoint]:
    """The endpoints that were created here, oldest first: all of them cost as long as they are listed."""
    client = session.sagemaker_client
    listed = []
    with told("list the endpoints"):
        for page in client.get_paginator("list_endpoints").paginate(SortBy="CreationTime", SortOrder="Ascending"):
            for summary in page["Endpoints"]:
                if is_ours(session, summary["EndpointArn"]):
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
