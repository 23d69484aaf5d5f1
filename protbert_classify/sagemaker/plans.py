"""What a deployment asks for, without a call to AWS."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import OptionError
from .archives import ARCHIVE, in_s3
from .aws import PREFIX
from .images import image_uri as aws_image
from .requests import (
    CPU_INSTANCE,
    LONGEST,
    REAL_TIME,
    Capacity,
    HostedModel,
    Request,
    check_capacity,
    check_endpoint_name,
    check_protection,
    config_request,
    container_environment,
    endpoint_request,
    model_request,
    new_stamp,
)


def deployment_requests(
    model: str,
    *,
    role: str,
    region: str,
    bucket: str | None,
    capacity: Capacity = Capacity(),
    endpoint_name: str | None = None,
    image_uri: str | None = None,
    kms_key: str | None = None,
    subnets: Sequence[str] = (),
    security_group_ids: Sequence[str] = (),
    network_isolation: bool = False,
    environment: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    stamp: str | None = None,
) -> list[Request]:
    """What [`deploy`] asks of SageMaker: CreateModel, CreateEndpointConfig and CreateEndpoint.

    Args:
        model: As there, and so on; but `role` is an ARN.
        region: Of the endpoint.
        bucket: For what is uploaded; None if nothing is.
        capacity: What the endpoint runs on.
        stamp: Tells its model and configuration from others of the endpoint.

    Raises:
        InputError: A name or a combination of options that cannot be deployed.
    """
    stamp = stamp or new_stamp()
    endpoint = endpoint_name or f"{PREFIX}-{stamp}"
    check_endpoint_name(endpoint)
    hosted = HostedModel(
        archive=archive_place(model, endpoint, stamp, bucket),
        image_uri=image_uri or "",
        role=role,
        environment=environment or {},
        kms_key=kms_key,
        subnets=subnets,
        security_group_ids=security_group_ids,
        network_isolation=network_isolation,
        tags=tags or {},
    )
    check_protection(hosted, packed=not in_s3(model), own_image=image_uri is not None)
    check_capacity(capacity, hosted)
    capacity = with_output(capacity, endpoint, bucket)
    name = f"{endpoint}-{stamp}"
    return [
        model_request(name, in_container(hosted, capacity, region)),
        config_request(name, name, capacity, kms_key, hosted.tags),
        endpoint_request(endpoint, name, hosted.tags),
    ]


def archive_place(model: str, endpoint: str, stamp: str, bucket: str | None) -> str:
    """Where the archive of a model is, or will be.

    Each version of an endpoint has its own: one that is rolled back, or gets another instance, fetches it again.
    """
    if in_s3(model):
        return model
    if bucket is None:
        raise OptionError(f"model {model}: to upload it takes a bucket")
    return f"s3://{bucket}/{PREFIX}/{endpoint}/{stamp}/{ARCHIVE}"


def in_container(hosted: HostedModel, capacity: Capacity, region: str) -> HostedModel:
    """A model with the image and the variables that suit what it runs on."""
    instance = CPU_INSTANCE if capacity.serverless is not None else capacity.instance_type
    seconds = LONGEST if capacity.asynchronous is not None else REAL_TIME
    return replace(
        hosted,
        image_uri=hosted.image_uri or aws_image("inference", instance, region),
        environment=container_environment(region, instance, seconds, hosted.environment),
    )


def with_output(capacity: Capacity, endpoint: str, bucket: str | None) -> Capacity:
    """A capacity whose asynchronous answers have a place."""
    wanted = capacity.asynchronous
    if wanted is None or wanted.output is not None:
        return capacity
    if bucket is None:
        raise OptionError("asynchronous: its answers take a bucket, or an output")
    return replace(capacity, asynchronous=replace(wanted, output=f"s3://{bucket}/{PREFIX}/{endpoint}"))
