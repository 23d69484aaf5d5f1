"""What a deployment asks of SageMaker, as dicts: made without a call, so that they can be shown and compared."""

from typing import Any

from ...errors import OptionError
from ..aws import NAME
from ..calls import Request
from ..hosting import CPU_INSTANCE, LONGEST, REAL_TIME, Hosting, archive_place
from ..tags import tag_list
from .capacity import Asynchronous, Capacity

VARIANT = "AllTraffic"
LONGEST_NAME = 44  # of an endpoint; its model and configuration add a stamp, and all have 63
STARTING = 1800  # seconds; the container installs this package before it answers
DOWNLOADING = 1800


def deployment_requests(
    model: str, endpoint: str, stamp: str, *, hosting: Hosting, capacity: Capacity = Capacity(), bucket: str | None
) -> list[Request]:
    """CreateModel, CreateEndpointConfig and CreateEndpoint.

    Args:
        model: `s3://.../model.tar.gz`, or a folder.
        endpoint: Its name.
        stamp: Tells its model and configuration from others of the endpoint.
        hosting: Of its container.
        capacity: What it runs on.
        bucket: For what is uploaded; None if nothing is.

    Raises:
        OptionError: A name or a combination of options that cannot be deployed.
    """
    check_endpoint_name(endpoint)
    hosting.check_model(model)
    capacity.check_protection(hosting.protection)
    capacity = capacity.with_output(endpoint, bucket)
    name = f"{endpoint}-{stamp}"
    instance = CPU_INSTANCE if capacity.serverless is not None else capacity.instance_type
    seconds = LONGEST if capacity.asynchronous is not None else REAL_TIME
    tags = tag_list(hosting.tags)
    return [
        hosting.model_request(name, archive_place(model, endpoint, stamp, bucket), instance, seconds),
        ("CreateEndpointConfig", _config(name, capacity, hosting)),
        ("CreateEndpoint", {"EndpointName": endpoint, "EndpointConfigName": name, "Tags": tags}),
    ]


def check_endpoint_name(name: str) -> None:
    """Whether an endpoint can have a name.

    Raises:
        OptionError: What it must be.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise OptionError(
            f"endpoint {name!r}: expected at most {LONGEST_NAME} letters, digits and hyphens, no hyphen first or last"
        )


def _config(name: str, capacity: Capacity, hosting: Hosting) -> dict[str, Any]:
    request: dict[str, Any] = {
        "EndpointConfigName": name,
        "ProductionVariants": [_variant(name, capacity)],
        "Tags": tag_list(hosting.tags),
    }
    volume_key = hosting.protection.volume_key(capacity.instance_type)
    if volume_key is not None and capacity.serverless is None:  # whose disks nobody can choose
        request["KmsKeyId"] = volume_key
    if capacity.asynchronous is not None:
        request["AsyncInferenceConfig"] = _asynchronous(capacity.asynchronous, hosting.protection.kms_key)
    return request


def _variant(model_name: str, capacity: Capacity) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": model_name}
    if capacity.serverless is not None:
        wanted = {"MemorySizeInMB": capacity.serverless.memory, "MaxConcurrency": capacity.serverless.concurrency}
        return {**variant, "ServerlessConfig": wanted}
    return {
        **variant,
        "InstanceType": capacity.instance_type,
        "InitialInstanceCount": capacity.instance_count,
        "InitialVariantWeight": 1.0,
        "ModelDataDownloadTimeoutInSeconds": DOWNLOADING,
        "ContainerStartupHealthCheckTimeoutInSeconds": STARTING,
    }


def _asynchronous(wanted: Asynchronous, kms_key: str | None) -> dict[str, Any]:
    prefix = str(wanted.output).rstrip("/")
    output = {"S3OutputPath": f"{prefix}/output", "S3FailurePath": f"{prefix}/failure"}
    config: dict[str, Any] = {"OutputConfig": {**output, "KmsKeyId": kms_key} if kms_key else output}
    if wanted.concurrency is not None:
        config["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": wanted.concurrency}
    return config
