"""Calls to AWS: sent, and asked for what may not be there."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.exceptions import ClientError

from .refusals import told

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

Request = tuple[str, dict[str, Any]]  # an operation of SageMaker's API, and what it is sent


def send(session: "Session", requests: Sequence[Request]) -> None:
    """Send requests, in order, until one fails."""
    client = session.sagemaker_client
    for operation, request in requests:
        method = xform_name(operation)
        verb, thing = method.split("_", 1)
        with told(f"{verb} the {thing.replace('_', ' ')}"):
            getattr(client, method)(**request)


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
    missing = "could not find" in text or "not found" in text
    return code == "ResourceNotFound" or (code.startswith("Validation") and missing)


def delete_if_there(client: Any, kind: str, name: str) -> None:
    """Delete a `Model` or an `EndpointConfig`; none of this name is no failure."""
    with told(f"delete the {xform_name(kind).replace('_', ' ')} {name}"):
        found(partial(getattr(client, f"delete_{xform_name(kind)}"), **{f"{kind}Name": name}))


def failure_reason(described: Mapping[str, Any]) -> str:
    """Why an endpoint or a job is not what it should be, in one line."""
    status = described.get("EndpointStatus") or described.get("TransformJobStatus")
    return " ".join(str(described.get("FailureReason") or f"it is {status}").split())
