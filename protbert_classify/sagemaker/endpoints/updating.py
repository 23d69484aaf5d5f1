"""Another model or other instances for an endpoint that continues answering."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ...errors import OptionError, ProteinClassifierError
from ..archives import archive_key, check_model, in_s3, provide_archive
from ..aws import default_bucket
from ..calls import Request, delete_if_there, failure_reason, send
from ..environment import check_environment
from ..hosting import ONE_WORKER, archive_place, new_stamp
from ..images import check_image_uri, check_instance, encrypts_itself, has_gpu, is_aws_image
from ..images import image_uri as aws_image
from ..packaging import check_wheels
from ..refusals import told
from ..typed import whole
from .lifecycle import (
    MAX_WAIT,
    POLL,
    describe_endpoint,
    endpoint_config,
    existing_endpoint,
    log_place,
    wait_while_changing,
)

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

logger = logging.getLogger(__name__)

# of the configuration that is there; the rest of what SageMaker says of it is no part of a request
KEPT = (
    "KmsKeyId",
    "AsyncInferenceConfig",
    "DataCaptureConfig",
    "ExecutionRoleArn",
    "VpcConfig",
    "EnableNetworkIsolation",
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an endpoint gets; None for what stays as it is.

    Args:
        model: `s3://.../model.tar.gz`, or the folder of a run or of a model.
        wheels: As `deploy` takes them, for such a folder.
        instance_type: `ml.m5.xlarge`, `ml.g5.xlarge`, ...
        instance_count: Of them.
        image_uri: A container of one's own.
        environment: Variables that are added, or replaced.

    Raises:
        OptionError: Nothing to change, or what cannot be.
    """

    model: str | None = None
    wheels: str | None = None
    instance_type: str | None = None
    instance_count: int | None = None
    image_uri: str | None = None
    environment: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, field.name) is None for field in fields(self)):
            raise OptionError("nothing to update; give a model, an instance type or a count")
        if self.wheels is not None:
            check_wheels(self.wheels)
        if self.instance_type is not None:
            check_instance(self.instance_type, "inference")
        if self.instance_count is not None:
            whole("instance_count", self.instance_count)
        check_image_uri(self.image_uri)
        check_environment(self.environment or {})
        if self.wheels is not None and self.model is None:
            raise OptionError("wheels without a model; they are for one that is a folder here")


def update_endpoint(
    session: "Session",
    name: str,
    change: Change,
    *,
    wait: bool = True,
    poll: float = POLL,
    max_wait: float = MAX_WAIT,
) -> None:
    """Change an endpoint, which answers all the while.

    Args:
        session: With AWS.
        name: Of the endpoint.
        change: What it gets.
        wait: Until it has changed; else AWS continues, and what was replaced is deleted with the endpoint.
        poll: Seconds between two looks.
        max_wait: Seconds.

    Raises:
        InputError: No such endpoint, one that is not in service, or a change that it cannot have.
        ProteinClassifierError: AWS refused, or the new container did not start; the endpoint is as it was.
        KeyboardInterrupt: Ctrl-C; AWS continues with the update.
    """
    described = existing_endpoint(session, name)
    if described["EndpointStatus"] != "InService":
        raise OptionError(f"endpoint {name} is {described['EndpointStatus']}; expected one that is InService")
    client = session.sagemaker_client
    old_config = endpoint_config(session, described["EndpointConfigName"])
    with told(f"look up the model of {name}"):
        old_model = client.describe_model(ModelName=old_config["ProductionVariants"][0]["ModelName"])
        tags = client.list_tags(ResourceArn=described["EndpointArn"])["Tags"]
    key = old_config.get("KmsKeyId") or archive_key(session, old_model["PrimaryContainer"]["ModelDataUrl"])
    stamp = new_stamp()
    archive = None
    if change.model is not None:
        aws_image_stays = change.image_uri is None and is_aws_image(old_model["PrimaryContainer"]["Image"])
        check_model(change.model, change.wheels, bool(old_model.get("EnableNetworkIsolation")) and aws_image_stays)
        bucket = None if in_s3(change.model) else default_bucket(session)
        archive = archive_place(change.model, name, stamp, bucket)
    requests = update_requests(
        name,
        stamp,
        change,
        old_model=old_model,
        old_config={**old_config, "KmsKeyId": key},
        tags=tags,
        archive=archive,
        region=session.boto_region_name,
    )
    if change.model is not None and archive is not None:
        provide_archive(session, change.model, archive, key, change.wheels)
    new_model = requests[0][0] == "CreateModel"
    try:
        send(session, requests)
    except BaseException as error:
        now = describe_endpoint(session, name) if isinstance(error, KeyboardInterrupt) else described
        if now is not None and now["EndpointStatus"] != "InService":  # AWS had the last request already
            raise KeyboardInterrupt(_goes_on(name)) from None
        _delete(client, f"{name}-{stamp}", f"{name}-{stamp}" if new_model else None)
        raise
    if not wait:
        return
    _await_update(session, name, f"{name}-{stamp}", new_model, poll, max_wait)
    _delete(client, old_config["EndpointConfigName"], old_model["ModelName"] if new_model else None)


def update_requests(
    name: str,
    stamp: str,
    change: Change,
    *,
    old_model: Mapping[str, Any],
    old_config: Mapping[str, Any],
    tags: list[dict[str, str]],
    archive: str | None,
    region: str,
) -> list[Request]:
    """The requests of an update, without a call: CreateModel if that changes, CreateEndpointConfig, UpdateEndpoint.

    Args:
        name: Of the endpoint.
        stamp: Of its new parts.
        change: What it gets.
        old_model: As DescribeModel tells of it.
        old_config: As DescribeEndpointConfig tells of it.
        tags: Of what is created.
        archive: Address of the changed model.
        region: Of AWS.

    Raises:
        OptionError: Instances for a serverless endpoint.
    """
    old_variant, fresh = old_config["ProductionVariants"][0], f"{name}-{stamp}"
    if "ServerlessConfig" in old_variant and (change.instance_type or change.instance_count):
        raise OptionError(f"endpoint {name} is serverless and has no instances; delete it and deploy again")
    container = dict(old_model["PrimaryContainer"])
    changed = _moved(container, old_variant.get("InstanceType"), change.instance_type, region)
    changed["ModelDataUrl"] = archive or changed["ModelDataUrl"]
    changed["Image"] = change.image_uri or changed["Image"]
    changed["Environment"] = {**changed.get("Environment", {}), **(change.environment or {})}
    instances = {"InstanceType": change.instance_type, "InitialInstanceCount": change.instance_count}
    variant = {**old_variant, **{key: value for key, value in instances.items() if value is not None}}
    requests: list[Request] = []
    if changed != container:
        variant["ModelName"] = fresh
        kept = {key: old_model[key] for key in ("VpcConfig", "EnableNetworkIsolation") if old_model.get(key)}
        model = {"ModelName": fresh, "PrimaryContainer": changed, "ExecutionRoleArn": old_model["ExecutionRoleArn"]}
        requests.append(("CreateModel", {**model, "Tags": tags, **kept}))
    config = {"EndpointConfigName": fresh, "ProductionVariants": [variant], "Tags": tags}
    config |= {name: old_config[name] for name in KEPT if old_config.get(name)}
    if "ServerlessConfig" in variant or encrypts_itself(variant["InstanceType"]):
        config.pop("KmsKeyId", None)
    requests.append(("CreateEndpointConfig", config))
    update: dict[str, Any] = {"EndpointName": name, "EndpointConfigName": fresh}
    if change.instance_count is None and "ServerlessConfig" not in old_variant:
        update["RetainAllVariantProperties"] = True  # autoscaling may have changed the count
    requests.append(("UpdateEndpoint", update))
    return requests


def _moved(container: Mapping[str, Any], before: str | None, after: str | None, region: str) -> dict[str, Any]:
    """A container as it suits other instances: AWS has one image for CPUs and one for GPUs."""
    moved = dict(container)
    if before is None or after is None or has_gpu(before) == has_gpu(after):
        return moved
    if container["Image"] == aws_image("inference", before, region):
        moved["Image"] = aws_image("inference", after, region)
    environment = {key: value for key, value in container.get("Environment", {}).items() if key not in ONE_WORKER}
    moved["Environment"] = environment if has_gpu(after) else {**environment, **ONE_WORKER}
    return moved


def _await_update(session: "Session", name: str, config: str, new_model: bool, poll: float, max_wait: float) -> None:
    try:
        described = wait_while_changing(session, name, poll, max_wait)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_goes_on(name)) from None
    status = described["EndpointStatus"]
    if status == "InService" and described["EndpointConfigName"] == config:
        return
    outcome = f"it is {status}"
    if status == "InService":  # rolled back: nothing uses the new parts
        _delete(session.sagemaker_client, config, config if new_model else None)
        outcome = "it continues as it was"
    reason = failure_reason(described)
    raise ProteinClassifierError(f"endpoint {name} was not updated, {outcome}: {reason}; {log_place(name)}")


def _goes_on(name: str) -> str:
    return f"AWS continues with the update of {name}; what it replaces is deleted with the endpoint"


def _delete(client: Any, config: str, model: str | None) -> None:
    """Delete what is not in use any more; what cannot be deleted costs nothing, and goes with the endpoint."""
    for kind, thing in (("EndpointConfig", config), ("Model", model)):
        try:
            if thing is not None:
                delete_if_there(client, kind, thing)
        except ProteinClassifierError as error:
            logger.warning("%s", error)
