"""Endpoints: created, checked by a first prediction, and deleted with all that belongs to them."""

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from ..errors import OptionError, ProteinClassifierError
from . import hosting
from .hosting import delete_if_there
from .images import check_instance, has_gpu
from .machines import CPU_INSTANCE, Machines
from .session import PREFIX, Session, check_bucket, default_bucket, describe, if_there, translate_errors

if TYPE_CHECKING:
    from .predictor import Predictor

logger = logging.getLogger(__name__)

POLL = 30.0  # seconds between two requests for a status
MAX_WAIT = 3600.0  # seconds for an endpoint to come up
STARTING = 1800  # seconds for a container to start
LONGEST_NAME = 44  # of an endpoint: SageMaker takes 63, and its model and configuration add a stamp
FIRST_PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"


@dataclass(frozen=True, kw_only=True)
class Serverless:
    """An endpoint without instances: billed by the request, with a cold start after a pause.

    Args:
        memory: MB, 1024 to 6144 in steps of 1024; CPUs come with it.
        concurrency: Requests at once, 1 to 200.

    Example:
        >>> from protbert_classify.sagemaker import Serverless
        >>> Serverless(memory=4096)
        Serverless(memory=4096, concurrency=5)
    """

    memory: int = 6144
    concurrency: int = 5


@dataclass(frozen=True, kw_only=True)
class Asynchronous:
    """An endpoint with a queue: answers come through S3, and may take up to an hour each.

    Args:
        output: Prefix in S3 for the answers; beside the endpoint's model if None.
        concurrency: Requests that an instance computes at once, 1 to 1000; SageMaker decides if None.

    Example:
        >>> from protbert_classify.sagemaker import Asynchronous
        >>> Asynchronous(output="s3://my-bucket/answers")
        Asynchronous(output='s3://my-bucket/answers', concurrency=None)
    """

    output: str | None = None
    concurrency: int | None = None


def deploy(
    model: str,
    *,
    endpoint_name: str | None = None,
    serverless: Serverless | None = None,
    asynchronous: Asynchronous | None = None,
    wait: bool = True,
    poll: float = POLL,
    max_wait: float = MAX_WAIT,
    **machines: Any,
) -> "Predictor":
    """Create an endpoint for a model, and classify a protein with it: only a model that answers stays.

    Args:
        model: `s3://.../model.tar.gz`, or the folder of a run or of a model, which is packed and uploaded.
        endpoint_name: At most 44 letters, digits and hyphens; a new name if None.
        serverless: Bill by the request instead of by the instance.
        asynchronous: Put a queue before the instances; answers come through S3.
        wait: Wait until the endpoint answers; otherwise return while it is being created.
        poll: Seconds between two requests for its status.
        max_wait: Seconds after which it counts as failed.
        machines: `role`, `session`, `instance_type`, `image_uri`, `protection`, ...: see [`Machines`].

    Returns:
        Its predictor. As a context manager, it deletes the endpoint at the end.

    Raises:
        InputError: A model, a name or a combination of options that cannot be deployed; nothing was created.
        ProteinClassifierError: AWS refused, or the model does not start or answer; everything is deleted again.
        KeyboardInterrupt: Ctrl-C; everything is deleted again.
    """
    from .predictor import Predictor

    host, stamp = Machines(**machines), hosting.new_stamp()
    session, key = host.session, host.protection.kms_key
    name = endpoint_name or f"{PREFIX}-{stamp}"
    if len(name) > LONGEST_NAME:
        raise OptionError(f"endpoint {name!r}: {len(name)} characters; expected at most {LONGEST_NAME}")
    if serverless is None:
        check_instance(host.instance_type, "inference")
        cost = f"{host.instance_count} x {host.instance_type}, billed until it is deleted"
    elif asynchronous is not None or has_gpu(host.instance_type) or host.instance_count != 1:
        raise OptionError("serverless excludes asynchronous, GPUs and several instances; choose one of them")
    else:
        host.instance_type = CPU_INSTANCE  # whose image it has
        cost = f"serverless, {serverless.memory} MB, billed per request"
    needs_bucket = not model.startswith("s3://") or (asynchronous is not None and asynchronous.output is None)
    place = f"s3://{default_bucket(session)}/{PREFIX}/{name}" if needs_bucket else ""
    archive = hosting.archive_uri(model, f"{place}/{stamp}")
    config = _config(f"{name}-{stamp}", host, serverless)
    if asynchronous is not None:
        check_bucket(session, asynchronous.output, readable=False)
        config["AsyncInferenceConfig"] = _queue(asynchronous, place, key)
    longest = hosting.ABANDONED if asynchronous is None else hosting.LONGEST
    requests = [
        hosting.model_request(host, f"{name}-{stamp}", archive, longest),
        ("CreateEndpointConfig", config),
        ("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": f"{name}-{stamp}", "Tags": host.tag_list}),
    ]
    there = describe(session, "Endpoint", name)
    if there is not None:
        raise OptionError(f"endpoint {name} exists already ({there['EndpointStatus']}); {_to_delete(name)}")
    hosting.provide_archive(session, model, archive, key)
    logger.info("endpoint %s: %s; %s", name, cost, _to_delete(name))
    predictor = Predictor(name, session)
    try:
        hosting.send(session, requests)
        if wait:
            _wait(session, name, poll, max_wait)
            _first_prediction(predictor)
        return predictor
    except BaseException as error:
        gone = clean_up(session, name, f"{name}-{stamp}", poll)
        if isinstance(error, KeyboardInterrupt):
            state = "is deleted" if gone else f"may still be there, and cost; {_to_delete(name)}"
            raise KeyboardInterrupt(f"the endpoint {name} {state}") from None
        raise


def _config(name: str, host: Machines, serverless: Serverless | None) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": "AllTraffic", "ModelName": name}
    config = {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": host.tag_list}
    if serverless is not None:
        variant["ServerlessConfig"] = {"MemorySizeInMB": serverless.memory, "MaxConcurrency": serverless.concurrency}
        return config
    variant |= {"InstanceType": host.instance_type, "InitialInstanceCount": host.instance_count}
    variant |= {"InitialVariantWeight": 1.0, "ContainerStartupHealthCheckTimeoutInSeconds": STARTING}
    variant |= {"ModelDataDownloadTimeoutInSeconds": STARTING}
    return config if host.volume_key is None else {**config, "KmsKeyId": host.volume_key}


def _queue(wanted: Asynchronous, place: str, kms_key: str | None) -> dict[str, Any]:
    prefix = (wanted.output or place).rstrip("/")
    output = {"S3OutputPath": f"{prefix}/output", "S3FailurePath": f"{prefix}/failure"}
    config: dict[str, Any] = {"OutputConfig": {**output, "KmsKeyId": kms_key} if kms_key else output}
    if wanted.concurrency is not None:
        config["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": wanted.concurrency}
    return config


def _wait(session: Session, name: str, poll: float, max_wait: float) -> None:
    try:
        session.sagemaker_client.get_waiter("endpoint_in_service").wait(
            EndpointName=name, WaiterConfig={"Delay": poll, "MaxAttempts": max(1, round(max_wait / poll))}
        )
    except WaiterError as error:
        described: Any = error.last_response
        reason = str(described.get("FailureReason") or f"it is {described.get('EndpointStatus', 'gone')}")
        text = f"endpoint {name} did not come up: {' '.join(reason.split())}; {log_place(name)}"
        raise ProteinClassifierError(text) from error


def _first_prediction(predictor: "Predictor") -> None:
    """Classify a protein: an endpoint can be InService, and its container healthy, without a model that works."""
    try:
        predictor.predict(FIRST_PROTEIN)
    except ProteinClassifierError as error:
        raise ProteinClassifierError(f"the endpoint is up, but its model does not answer: {error}") from error


def endpoint_config(session: Session, name: str) -> dict[str, Any]:
    """SageMaker's description of the configuration of an endpoint.

    Raises:
        OptionError: There is no endpoint of this name.
    """
    described = describe(session, "Endpoint", name)
    if described is None:
        raise OptionError(f"endpoint {name}: there is none of this name in {session.boto_region_name}")
    return describe(session, "EndpointConfig", described["EndpointConfigName"]) or {}


def delete_endpoint(name: str, session: Session, *, poll: float = POLL, max_wait: float = MAX_WAIT) -> None:
    """Delete an endpoint, its configuration and its model. What it left in S3 stays there.

    Args:
        name: Of the endpoint.
        session: See [`open_session`].
        poll: Seconds between two attempts: AWS does not delete an endpoint that it is creating.
        max_wait: Seconds of attempts.

    Raises:
        OptionError: There is no such endpoint.
        ProteinClassifierError: Something could not be deleted.
    """
    config, deadline, told = endpoint_config(session, name), time.monotonic() + max_wait, False
    with translate_errors(f"delete the endpoint {name}"):
        while True:
            try:
                if_there(session.sagemaker_client.delete_endpoint, EndpointName=name)
                break
            except ClientError as error:
                if "in-progress" not in str(error) or time.monotonic() > deadline:
                    raise
            if not told:
                logger.info("endpoint %s: waiting until AWS can delete it; Ctrl-C leaves it there, billed", name)
                told = True
            time.sleep(poll)
    delete_if_there(session, "EndpointConfig", config["EndpointConfigName"])
    for variant in config["ProductionVariants"]:
        delete_if_there(session, "Model", variant["ModelName"])
    logger.info("endpoint %s: deleted, with its configuration and model; it is no longer billed", name)


def clean_up(session: Session, name: str, stamped: str | None = None, poll: float = POLL) -> bool:
    """Delete an endpoint because of an error that is about to be raised; returns whether nothing is left.

    A further error is logged. `stamped` is the name of the configuration and the model that were created with it: an
    endpoint with another one is somebody else's, and stays.
    """
    try:
        described = describe(session, "Endpoint", name)
        if described is not None and stamped in (None, described["EndpointConfigName"]):
            delete_endpoint(name, session, poll=poll)
        elif stamped is not None:
            delete_if_there(session, "EndpointConfig", stamped)
            delete_if_there(session, "Model", stamped)
    except (ProteinClassifierError, KeyboardInterrupt) as error:  # a second Ctrl-C
        logger.error("%s", error or f"interrupted; the endpoint {name} may be there; {_to_delete(name)}")
        return False
    return True


def log_place(name: str) -> str:
    """Where the log of an endpoint is."""
    return f"its log: CloudWatch, /aws/sagemaker/Endpoints/{name}"


def _to_delete(name: str) -> str:
    return f"to delete it: {PREFIX} sagemaker delete --endpoint {name}"
