"""Endpoints: created, and checked by a first prediction."""

import logging
from typing import Any, Literal

from ..errors import OptionError, ProteinClassifierError
from .hosting import ABANDONED, LONGEST, create_model, provide_archive
from .machines import Machines
from .predictor import Predictor
from .session import check_bucket, home, new_name
from .status import TO_DELETE, clean_up, describe, failure, send, watch

logger = logging.getLogger(__name__)

NOT_OF_KIND = {  # kind of an endpoint -> arguments that mean nothing to it
    "real-time": ("memory", "concurrency", "output"),
    "serverless": ("output", "instance_type", "instance_count"),
    "asynchronous": ("memory",),
}
MEMORY, CONCURRENCY = 6144, 5  # of a serverless endpoint: MB, requests at once
STARTING = 1800  # seconds for a container to load its model, and to start
LONGEST_NAME = 44  # of an endpoint: SageMaker takes 63, and its model and configuration add a stamp


def deploy(
    model: str,
    *,
    endpoint_name: str | None = None,
    kind: Literal["real-time", "serverless", "asynchronous"] = "real-time",
    memory: int | None = None,
    concurrency: int | None = None,
    output: str | None = None,
    wait: bool = True,
    **machines: Any,
) -> Predictor:
    """Create an endpoint for a model, and classify a protein with it: only a model that answers stays.

    Args:
        model: `s3://.../model.tar.gz`, or the folder of a run or of a model, which is packed and uploaded.
        endpoint_name: At most 44 letters, digits and hyphens; a new name if None.
        kind: `real-time` answers at once, and is billed until it is deleted. `serverless` has no instances, is billed
            by the request, and starts its container again after a pause. `asynchronous` has a queue before its
            instances: answers come through S3, and may take an hour each.
        memory: MB of a serverless endpoint, 1024 to 6144 in steps of 1024; CPUs come with it. By default 6144.
        concurrency: Requests at once: of a serverless endpoint, by default 5; of an instance of an asynchronous one, by
            default as many as SageMaker decides.
        output: Prefix in S3 for asynchronous answers; beside the endpoint's model if None.
        wait: Wait until the endpoint answers; otherwise return while it is being created.
        machines: `role`, `session`, `instance_type`, `kms_key`, ...: see [`Machines`].

    Returns:
        Its predictor. As a context manager, it deletes the endpoint at the end.

    Raises:
        InputError: A model, a name or a combination of options that cannot be deployed; nothing was created.
        ProteinClassifierError: AWS refused, or the model does not start or answer; everything is deleted again.
        KeyboardInterrupt: Ctrl-C; everything is deleted again.
    """
    if kind not in NOT_OF_KIND:
        raise OptionError(f"kind {kind!r}: expected one of {', '.join(NOT_OF_KIND)}")
    for option, value in {**machines, "memory": memory, "concurrency": concurrency, "output": output}.items():
        if value is not None and option in NOT_OF_KIND[kind]:
            raise OptionError(f"{option} is not an option of {kind} endpoints")
    host, name = Machines(**machines), endpoint_name or new_name()
    if len(name) > LONGEST_NAME:
        raise OptionError(f"endpoint {name!r}: {len(name)} characters; expected at most {LONGEST_NAME}")
    session, stamped = host.session, new_name(name)  # stamped: its model and its configuration
    check_bucket(session, output)
    if (there := describe(session, "Endpoint", name)) is not None:
        raise OptionError(f"endpoint {name} exists already ({there['EndpointStatus']}); {TO_DELETE} {name}")
    if kind == "asynchronous" and output is None:
        output = f"{home(session)}/{name}"
    archive = provide_archive(host, model, f"{name}/{stamped}")
    config = _config(host, kind, stamped, memory or MEMORY, concurrency, output)
    instances = f"{host.instance_count} x {host.instance_type}, billed until it is deleted"
    cost = f"serverless, {memory or MEMORY} MB, billed per request" if kind == "serverless" else instances
    logger.info("endpoint %s: %s; %s %s", name, cost, TO_DELETE, name)
    predictor = Predictor(name, session)
    try:
        create_model(host, stamped, archive, LONGEST if kind == "asynchronous" else ABANDONED)
        send(session, "create_endpoint_config", **config)
        send(session, "create_endpoint", EndpointName=name, EndpointConfigName=stamped, Tags=host.tag_list)
        if wait:
            _wait(predictor)
        return predictor
    except BaseException as error:
        gone = clean_up(session, name, stamped)
        if isinstance(error, KeyboardInterrupt):
            state = "is deleted" if gone else f"may still be there, and cost; {TO_DELETE} {name}"
            raise KeyboardInterrupt(f"the endpoint {name} {state}") from None
        raise


def _config(
    host: Machines, kind: str, name: str, memory: int, concurrency: int | None, output: str | None
) -> dict[str, Any]:
    """The parameters of CreateEndpointConfig."""
    variant: dict[str, Any] = {"VariantName": "AllTraffic", "ModelName": name}
    config: dict[str, Any] = {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": host.tag_list}
    if kind == "serverless":
        variant["ServerlessConfig"] = {"MemorySizeInMB": memory, "MaxConcurrency": concurrency or CONCURRENCY}
        return config
    variant |= {
        "InstanceType": host.instance_type,
        "InitialInstanceCount": host.instance_count,
        "InitialVariantWeight": 1.0,
        "ContainerStartupHealthCheckTimeoutInSeconds": STARTING,
        "ModelDataDownloadTimeoutInSeconds": STARTING,
    }
    config["KmsKeyId"] = host.volume_key
    if output is not None:
        prefix = output.rstrip("/")
        places = {"S3OutputPath": f"{prefix}/output", "S3FailurePath": f"{prefix}/failure", "KmsKeyId": host.kms_key}
        limit = {"MaxConcurrentInvocationsPerInstance": concurrency}
        config["AsyncInferenceConfig"] = {"OutputConfig": places, "ClientConfig": limit if concurrency else None}
    return config


def _wait(predictor: Predictor) -> None:
    """Wait for an endpoint, and classify a protein: it can be InService without a model that works."""
    *_, found = watch(predictor.session, "Endpoint", predictor.endpoint_name)
    if found["EndpointStatus"] != "InService":
        raise failure("Endpoint", found)
    try:
        predictor.predict("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ")
    except ProteinClassifierError as error:
        raise ProteinClassifierError(f"the endpoint is up, but its model does not answer: {error}") from error
