"""What is asked of SageMaker to host a model, as dicts: made without a call, so that they can be shown and compared."""

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import OptionError
from .aws import NAME, PREFIX, check_environment, check_kms_key
from .images import check_instance, encrypts_itself, has_gpu
from .packaging import CODE, CONTAINER_MODEL, INFERENCE

Request = tuple[str, dict[str, Any]]  # an operation of SageMaker's API, and what it is sent

VARIANT = "AllTraffic"
OURS = {"created-by": PREFIX}  # tag of all that is created here; `endpoints` finds them by it
LONGEST_NAME = 44  # of an endpoint; its model and configuration add a stamp, and all have 63
STAMP = r"\d{6}-\d{6}-[0-9a-f]{4}"
STARTING = 1800  # seconds; the container installs this package before it answers
DOWNLOADING = 1800
REAL_TIME = 60  # seconds in which SageMaker wants the answer of a real-time endpoint
LONGEST = 3600  # of an asynchronous one, and of batch transform
SERVERLESS_MEMORY = range(1024, 6145, 1024)  # MB, as the service has it
# a CPU computes a protein on all of its cores; a second worker would take half of them, and load the model twice
ONE_WORKER = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
CPU_INSTANCE = "ml.m5.xlarge"  # whose image a serverless endpoint takes; it has no GPU
TAG = re.compile(r"[\w\s.:/=+@-]*")
VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,1023}")


@dataclass(frozen=True, kw_only=True)
class Serverless:
    """Without instances of one's own: billed by the request, and cold after a while without any.

    Args:
        memory: MB, 1024 to 6144 in steps of 1024; CPUs come with it.
        concurrency: Requests at once, 1 to 200.
    """

    memory: int = 6144
    concurrency: int = 5


@dataclass(frozen=True, kw_only=True)
class Asynchronous:
    """Requests wait in a queue, answers come through S3: up to an hour each, and down to no instance at all.

    Args:
        output: Prefix in S3 of the answers; beside the model of the endpoint if None.
        concurrency: Requests that an instance has at once; SageMaker's choice if None.
    """

    output: str | None = None
    concurrency: int | None = None


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What an endpoint runs on.

    Args:
        instance_type: Such as `ml.m5.xlarge`; unused if `serverless`.
        instance_count: Of them.
        serverless: In place of instances.
        asynchronous: With a queue before the instances.
    """

    instance_type: str = CPU_INSTANCE
    instance_count: int = 1
    serverless: Serverless | None = None
    asynchronous: Asynchronous | None = None


@dataclass(frozen=True, kw_only=True)
class HostedModel:
    """A model in its container, and what protects it.

    Args:
        archive: Address of its model.tar.gz in S3.
        image_uri: Of the container.
        role: ARN of the role that the container has.
        environment: Variables of the container.
        kms_key: Of KMS, for disks and results.
        subnets: Of a VPC that the container is in; with `security_group_ids`, or neither.
        network_isolation: Let the container reach nothing at all.
        tags: Of all that is created.
    """

    archive: str
    image_uri: str
    role: str
    environment: Mapping[str, str] = field(default_factory=dict)
    kms_key: str | None = None
    subnets: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()
    network_isolation: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


def new_stamp() -> str:
    """What tells one creation from the next: `251231-235959-0a1b`."""
    return f"{time.strftime('%y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def container_environment(region: str, instance_type: str, seconds: int, extra: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container.

    Args:
        region: AWS' region.
        instance_type: That it runs on.
        seconds: That the container's own server gives an answer.
        extra: The user's; they win.
    """
    return {
        "SAGEMAKER_PROGRAM": INFERENCE,
        "SAGEMAKER_SUBMIT_DIRECTORY": f"{CONTAINER_MODEL}/{CODE}",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "SAGEMAKER_REGION": region,
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": str(seconds),
        "HF_HUB_OFFLINE": "1",
        **({} if has_gpu(instance_type) else ONE_WORKER),
        **extra,
    }


def model_request(name: str, model: HostedModel) -> Request:
    """CreateModel."""
    request: dict[str, Any] = {
        "ModelName": name,
        "PrimaryContainer": {
            "Image": model.image_uri,
            "ModelDataUrl": model.archive,
            "Environment": dict(model.environment),
        },
        "ExecutionRoleArn": model.role,
        "Tags": tag_list(model.tags),
    }
    if model.subnets:
        request["VpcConfig"] = {"Subnets": [*model.subnets], "SecurityGroupIds": [*model.security_group_ids]}
    if model.network_isolation:
        request["EnableNetworkIsolation"] = True
    return "CreateModel", request


def config_request(
    name: str, model_name: str, capacity: Capacity, kms_key: str | None, tags: Mapping[str, str]
) -> Request:
    """CreateEndpointConfig; the output of an asynchronous capacity must be set."""
    request: dict[str, Any] = {
        "EndpointConfigName": name,
        "ProductionVariants": [_variant(model_name, capacity)],
        "Tags": tag_list(tags),
    }
    # no disk of a serverless endpoint can be chosen, and SageMaker refuses a key for disks that encrypt themselves
    if kms_key and capacity.serverless is None and not encrypts_itself(capacity.instance_type):
        request["KmsKeyId"] = kms_key
    if capacity.asynchronous is not None:
        request["AsyncInferenceConfig"] = _asynchronous(capacity.asynchronous, kms_key)
    return "CreateEndpointConfig", request


def endpoint_request(name: str, config_name: str, tags: Mapping[str, str]) -> Request:
    """CreateEndpoint."""
    return "CreateEndpoint", {"EndpointName": name, "EndpointConfigName": config_name, "Tags": tag_list(tags)}


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


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as SageMaker takes them, ours among them."""
    return [{"Key": key, "Value": value} for key, value in {**tags, **OURS}.items()]


def check_endpoint_name(name: str) -> None:
    """Whether an endpoint can have a name.

    Raises:
        OptionError: What it must be.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise OptionError(
            f"endpoint {name!r}: expected at most {LONGEST_NAME} letters, digits and hyphens, no hyphen first or last"
        )


def check_capacity(capacity: Capacity, model: HostedModel) -> None:
    """Refuse what SageMaker would refuse, before anything is created.

    Raises:
        OptionError: What excludes what, or which value is out of its range.
    """
    if capacity.asynchronous is not None and (capacity.asynchronous.concurrency or 1) not in range(1, 1001):
        raise OptionError(f"asynchronous: {capacity.asynchronous.concurrency} requests at once; expected 1 to 1000")
    if capacity.serverless is None:
        check_instance(capacity.instance_type, "inference")
        if capacity.instance_count < 1:
            raise OptionError(f"instance count {capacity.instance_count}; expected 1 or more")
        return
    _check_serverless(capacity.serverless)
    excluded = {
        "asynchronous": capacity.asynchronous is not None,
        f"the GPUs of {capacity.instance_type}": has_gpu(capacity.instance_type),
        "several instances": capacity.instance_count != 1,
        "a VPC": bool(model.subnets),
        "network isolation": model.network_isolation,
    }
    for name, wanted in excluded.items():  # AWS' developer guide, Serverless Inference, feature exclusions
        if wanted:
            raise OptionError(f"serverless excludes {name}; choose one of the two")


def _check_serverless(wanted: Serverless) -> None:
    if wanted.memory not in SERVERLESS_MEMORY:
        raise OptionError(f"serverless: {wanted.memory} MB; expected one of {', '.join(map(str, SERVERLESS_MEMORY))}")
    if not 1 <= wanted.concurrency <= 200:
        raise OptionError(f"serverless: {wanted.concurrency} requests at once; expected 1 to 200")


def check_protection(model: HostedModel, packed: bool, own_image: bool) -> None:
    """Refuse what cannot protect, or lets no container start.

    Args:
        model: The model and what protects it.
        packed: Whether its archive is made here, of a local folder.
        own_image: Whether the container is not AWS' own.

    Raises:
        OptionError: What was found, and what was expected.
    """
    if bool(model.subnets) != bool(model.security_group_ids):
        raise OptionError("a VPC needs subnets and security groups; only one of the two was given")
    check_kms_key(model.kms_key)
    check_environment(model.environment)
    if model.network_isolation and packed and not own_image:
        raise OptionError(
            "network isolation: AWS' container installs what this package needs from the network; give an image of "
            "your own, or the model.tar.gz of a training with wheels"
        )
    for name, value in model.environment.items():
        if not VARIABLE.fullmatch(name) or len(value) > 1024:
            raise OptionError(f"environment {name!r}: expected the name of a variable and up to 1024 characters")
    for key, value in model.tags.items():
        named = 0 < len(key) <= 128 and not key.lower().startswith("aws:") and TAG.fullmatch(key)
        if not named or len(value) > 256 or not TAG.fullmatch(value):
            raise OptionError(f"tag {key!r}: expected letters, digits, spaces and . : / = + @ - _, not 'aws:' first")
