"""`deploy`: a trained model behind an endpoint of SageMaker."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import OptionError, ProteinClassifierError
from .archives import in_s3, provide_archive
from .aws import PREFIX, check_output, default_bucket, role_arn
from .calls import failure_reason, send
from .endpoints.autoscaling import PER_INSTANCE, autoscale, check_scaling
from .endpoints.capacity import Asynchronous, Capacity, Serverless
from .endpoints.deletion import cleaned_up
from .endpoints.lifecycle import (
    MAX_WAIT,
    POLL,
    deletion_command,
    describe_endpoint,
    log_place,
    wait_while_changing,
)
from .endpoints.predictor import Predictor
from .endpoints.requests import deployment_requests
from .hosting import CPU_INSTANCE, Hosting, new_stamp
from .protection import Protection

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

logger = logging.getLogger(__name__)


def deploy(
    model: str,
    *,
    role: str,
    session: "Session",
    endpoint_name: str | None = None,
    instance_type: str = CPU_INSTANCE,
    instance_count: int = 1,
    serverless: Serverless | None = None,
    asynchronous: Asynchronous | None = None,
    image_uri: str | None = None,
    environment: Mapping[str, str] | None = None,
    protection: Protection = Protection(),
    wheels: str | None = None,
    tags: Mapping[str, str] | None = None,
    scaling: tuple[int, int] | None = None,
    wait: bool = True,
    poll: float = POLL,
    max_wait: float = MAX_WAIT,
) -> Predictor:
    """Put a model behind an endpoint. What was created is deleted again if the endpoint does not come up.

    Args:
        model: `s3://.../model.tar.gz`, or the folder of a run or of a model, which is packed and uploaded.
        role: Name or ARN of the role that the container has.
        session: With AWS; see [`open_session`].
        endpoint_name: At most 44 letters, digits and hyphens; a new one if None.
        instance_type: `ml.m5.xlarge`, `ml.g5.xlarge`, ...
        instance_count: Of them.
        serverless: Billed by the request, in place of instances.
        asynchronous: With a queue; answers come through S3.
        image_uri: A container of one's own, such as `docker/Dockerfile` makes; AWS' newest of Hugging Face if None.
        environment: More variables for the container.
        protection: Key, VPC and isolation; the key is for the archive that is uploaded, too.
        wheels: Folder that `protbert-classify sagemaker wheels` wrote: an isolated container installs from it what a
            model needs that is a folder here.
        tags: Of all that is created.
        scaling: The fewest and the most instances, between which AWS chooses; see [`Predictor.autoscale`].
        wait: Until it answers; else it is returned while it is being created.
        poll: Seconds between two looks.
        max_wait: Seconds after which it has failed.

    Returns:
        It. As a context manager, it deletes the endpoint in the end.

    Raises:
        InputError: A model, a name or a combination of options that cannot be deployed; nothing was created.
        ProteinClassifierError: AWS refused, or the container did not start.
        KeyboardInterrupt: Ctrl-C; what was created is deleted.
    """
    stamp = new_stamp()
    name = endpoint_name or f"{PREFIX}-{stamp}"
    capacity = Capacity(
        instance_type=instance_type,
        instance_count=instance_count,
        serverless=serverless,
        asynchronous=asynchronous,
    )
    hosting = Hosting(
        role=role_arn(session, role),
        region=session.boto_region_name,
        image_uri=image_uri,
        environment=environment or {},
        protection=protection,
        wheels=wheels,
        tags=tags or {},
    )
    requests = deployment_requests(
        model,
        name,
        stamp,
        hosting=hosting,
        capacity=capacity,
        bucket=None if in_s3(model) and (asynchronous is None or asynchronous.output) else default_bucket(session),
    )
    config = requests[1][1]
    if asynchronous is not None:
        check_output(session, asynchronous.output)
    if scaling is not None:
        if not isinstance(scaling, tuple | list) or len(scaling) != 2:
            raise OptionError(f"scaling={scaling!r}: expected (fewest, most) instances")
        check_scaling(name, config, *scaling, PER_INSTANCE)
        if instance_count > scaling[1]:
            raise OptionError(f"instance_count={instance_count}: expected at most {scaling[1]}, to which it scales")
    _refuse_existing(session, name)
    archive = requests[0][1]["PrimaryContainer"]["ModelDataUrl"]
    provide_archive(session, model, archive, protection.kms_key, wheels)
    logger.info("endpoint %s: %s", name, costs(name, capacity, scaling))
    if serverless is not None and image_uri is None:
        logger.warning("AWS' container installs this package at each cold start; an image of your own starts sooner")
    try:
        send(session, requests)
        if wait:
            wait_until_up(session, name, poll, max_wait)
        if scaling is not None:
            autoscale(session, name, config, *scaling, PER_INSTANCE)
        return Predictor(name, session)
    except KeyboardInterrupt:
        gone = cleaned_up(name, session, poll, only=f"{name}-{stamp}")
        said = "deleted" if gone else f"still there, and costs; {deletion_command(name)}"
        raise KeyboardInterrupt(f"the endpoint {name} is {said}") from None
    except BaseException:
        cleaned_up(name, session, poll, only=f"{name}-{stamp}")
        raise


def _refuse_existing(session: "Session", name: str) -> None:
    described = describe_endpoint(session, name)
    if described is not None:
        raise OptionError(
            f"endpoint {name}: it is there already ({described['EndpointStatus']}); update it, or delete it first: "
            f"{deletion_command(name)}"
        )


def wait_until_up(session: "Session", name: str, poll: float, max_wait: float) -> None:
    """Wait for an endpoint that is being created.

    Raises:
        ProteinClassifierError: It did not come up; with SageMaker's reason.
    """
    described = wait_while_changing(session, name, poll, max_wait)
    if described["EndpointStatus"] != "InService":
        reason = failure_reason(described)
        raise ProteinClassifierError(f"endpoint {name} did not come up: {reason}; {log_place(name)}")


def costs(name: str, capacity: Capacity, scaling: tuple[int, int] | None = None) -> str:
    """What an endpoint costs, and how to end that."""
    if capacity.serverless is not None:
        memory = capacity.serverless.memory
        return f"serverless, {memory} MB, billed per request; to delete it: {deletion_command(name)}"
    queued = ", with a queue" if capacity.asynchronous is not None else ""
    count = capacity.instance_count if scaling is None else f"{scaling[0]} to {scaling[1]}"
    instances = f"{count} x {capacity.instance_type}{queued}"
    return f"{instances}, billed until it is deleted: {deletion_command(name)}"
