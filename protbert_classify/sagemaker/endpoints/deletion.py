"""The end of an endpoint, and of all that belongs to it."""

import logging
import re
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ...errors import OptionError, ProteinClassifierError
from ..calls import delete_if_there, found
from ..hosting import STAMP
from ..refusals import told
from .autoscaling import stop_scaling
from .lifecycle import MAX_WAIT, POLL, deletion_command, describe_endpoint

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

logger = logging.getLogger(__name__)


def delete_endpoint(
    name: str,
    session: "Session",
    *,
    missing_ok: bool = False,
    poll: float = POLL,
    max_wait: float = MAX_WAIT,
) -> None:
    """Delete an endpoint, its scaling, configurations and models; what is gone already is no failure.

    What it had in S3 stays there; it is the user's.

    Args:
        name: Of the endpoint.
        session: With AWS.
        missing_ok: Whether it is right that there is nothing to delete.
        poll: Seconds between two attempts, while AWS creates it and lets nobody delete it.
        max_wait: Seconds of such attempts.

    Raises:
        OptionError: There is no such endpoint.
        ProteinClassifierError: What could not be deleted.
    """
    client = session.sagemaker_client
    described = describe_endpoint(session, name)
    configs, models = _belongings(client, name, described)
    if described is None and not configs and not models and not missing_ok:
        raise OptionError(f"endpoint {name}: there is none of this name in {session.boto_region_name}")
    left: list[str] = []
    _try(left, partial(stop_scaling, session, name))
    if not _try(left, partial(_delete_itself, client, name, poll, max_wait)):
        raise _not_all(name, left)  # its configuration tells what it costs; it stays as long
    for config in configs:
        _try(left, partial(delete_if_there, client, "EndpointConfig", config))
    for model in models:
        _try(left, partial(delete_if_there, client, "Model", model))
    if left:
        raise _not_all(name, left)
    if described is not None:
        logger.info("endpoint %s: deleted, with its configuration and model; nothing of it is billed any more", name)


def _delete_itself(client: Any, name: str, poll: float, max_wait: float) -> None:
    """AWS deletes no endpoint that is being created or changed; it is asked again until that has ended."""
    deadline, first = time.monotonic() + max_wait, True
    with told(f"delete the endpoint {name}"):
        while _refused(client, name, time.monotonic() > deadline):
            if first:
                logger.info("endpoint %s: deleted as soon as AWS lets us; Ctrl-C leaves it there, billed", name)
                first = False
            time.sleep(poll)


def _refused(client: Any, name: str, last: bool) -> bool:
    try:
        found(partial(client.delete_endpoint, EndpointName=name))
    except ClientError as error:
        if last or "in-progress" not in str(error):
            raise
        return True
    return False


def _belongings(client: Any, name: str, described: dict[str, Any] | None) -> tuple[list[str], list[str]]:
    """Configurations and models: those in use, and those of this name that an interrupted update left."""
    ours = re.compile(rf"{re.escape(name)}-{STAMP}")
    with told(f"look up what belongs to the endpoint {name}"):
        configs = _named(client, "list_endpoint_configs", "EndpointConfig", name, ours)
        models = _named(client, "list_models", "Model", name, ours)
        if described is not None:
            configs = list(dict.fromkeys([described["EndpointConfigName"], *configs]))
        for config in list(configs):
            used = found(partial(client.describe_endpoint_config, EndpointConfigName=config))
            models += [variant["ModelName"] for variant in (used or {}).get("ProductionVariants", [])]
    return configs, list(dict.fromkeys(models))


def _named(client: Any, operation: str, kind: str, name: str, pattern: re.Pattern[str]) -> list[str]:
    pages = client.get_paginator(operation).paginate(NameContains=name)
    names = [item[f"{kind}Name"] for page in pages for item in page[f"{kind}s"]]
    return [item for item in names if pattern.fullmatch(item)]


def _try(left: list[str], delete: Callable[[], None]) -> bool:
    try:
        delete()
    except ProteinClassifierError as error:
        left.append(str(error))
        return False
    return True


def _not_all(name: str, left: list[str]) -> ProteinClassifierError:
    return ProteinClassifierError(
        f"endpoint {name} is not all deleted: {'; '.join(left)}; again: {deletion_command(name)}"
    )


def cleaned_up(name: str, session: "Session", poll: float = POLL, only: str | None = None) -> bool:
    """Delete an endpoint because of an error that is about to be raised; another one here is logged.

    Args:
        name: Of the endpoint.
        session: With AWS.
        poll: Seconds between two attempts.
        only: Name of its configuration and model: an endpoint with another one is somebody else's, and stays.

    Returns:
        Whether nothing is left.
    """
    try:
        described = describe_endpoint(session, name)
        if only is None or (described is not None and described["EndpointConfigName"] == only):
            delete_endpoint(name, session, missing_ok=True, poll=poll)
        else:
            for kind in ("EndpointConfig", "Model"):
                delete_if_there(session.sagemaker_client, kind, only)
    except (ProteinClassifierError, KeyboardInterrupt) as error:  # the second Ctrl-C of someone in a hurry
        logger.error("%s", error or f"interrupted; the endpoint {name} may be there: {deletion_command(name)}")
        return False
    return True
