"""Instances by need, through Application Auto Scaling."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ...errors import OptionError
from ..refusals import told
from ..typed import instance_of, whole
from .requests import VARIANT

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

Call = tuple[str, str, dict[str, Any]]  # service, method of its client, keywords
PER_INSTANCE = 60.0  # requests that one instance is to have: a minute, or, with a queue, waiting
SCALING = "application-autoscaling"
COOLDOWN = {"ScaleInCooldown": 600, "ScaleOutCooldown": 300}  # seconds; an instance needs minutes to start


def scaling_requests(endpoint: str, minimum: int, maximum: int, per_instance: float, asynchronous: bool) -> list[Call]:
    """What makes an endpoint scale, without a call; but for the alarm, which needs what the second call returns.

    Args:
        endpoint: Its name.
        minimum: Instances; 0 with a queue only.
        maximum: Instances.
        per_instance: Requests that one instance is to have: a minute, or waiting in the queue.
        asynchronous: Whether it has a queue.
    """
    target = _target(endpoint)
    metric = _backlog(endpoint) if asynchronous else _invocations()
    policy = {
        **target,
        "PolicyName": f"{endpoint}-requests",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {"TargetValue": float(per_instance), **metric, **COOLDOWN},
    }
    bounds = {**target, "MinCapacity": minimum, "MaxCapacity": maximum}
    return [(SCALING, "register_scalable_target", bounds), (SCALING, "put_scaling_policy", policy)]


def autoscale(
    session: "Session", endpoint: str, config: Mapping[str, Any], minimum: int, maximum: int, per_instance: float
) -> None:
    """Let an endpoint have as many instances as it needs.

    Args:
        session: With AWS.
        endpoint: Its name, and so on as [`scaling_requests`].
        config: What SageMaker says of its configuration.

    Raises:
        OptionError: Bounds that cannot be, or an endpoint without instances.
    """
    check_scaling(endpoint, config, minimum, maximum, per_instance)
    asynchronous = bool(config.get("AsyncInferenceConfig"))
    for service, method, request in scaling_requests(endpoint, minimum, maximum, per_instance, asynchronous):
        with told(f"let {endpoint} scale"):
            getattr(session.boto_session.client(service), method)(**request)
    if minimum == 0:
        _wake(session, endpoint)


def check_scaling(endpoint: str, config: Mapping[str, Any], minimum: int, maximum: int, per_instance: float) -> None:
    """Refuse a scaling that cannot be, before the endpoint is made; arguments and errors are [`autoscale`]'s."""
    if "ServerlessConfig" in config["ProductionVariants"][0]:
        raise OptionError(f"endpoint {endpoint} is serverless: it scales by itself, up to its concurrency")
    for name, value in (("minimum", minimum), ("maximum", maximum)):
        whole(f"autoscaling: {name}", value, 0)
    instance_of("autoscaling: per_instance", per_instance, (int, float), "a number of requests")
    lowest = 0 if config.get("AsyncInferenceConfig") else 1
    if not lowest <= minimum <= maximum or maximum < 1:
        only = "; none at all is for asynchronous ones" if minimum == 0 and lowest else ""
        raise OptionError(
            f"scaling from {minimum} to {maximum} instances; expected {lowest} or more, low to high{only}"
        )
    if per_instance <= 0:
        raise OptionError(f"autoscaling: {per_instance} requests per instance; expected more than 0")


def stop_scaling(session: "Session", endpoint: str) -> None:
    """Forget the scaling of an endpoint, if it has any: SageMaker would not."""
    with told(f"end the scaling of {endpoint}"):
        try:
            session.boto_session.client(SCALING).deregister_scalable_target(**_target(endpoint))
        except ClientError as error:
            # AWS' own code; moto has a ValidationException for it
            if error.response["Error"]["Code"] == "ObjectNotFoundException" or "No scalable target" in str(error):
                return
            raise
        session.boto_session.client("cloudwatch").delete_alarms(AlarmNames=[_alarm(endpoint)])


def _wake(session: "Session", endpoint: str) -> None:
    """Start an instance for the first request; the backlog per instance says nothing where there is none."""
    with told(f"let {endpoint} wake from zero instances"):
        step = {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}
        policy = session.boto_session.client(SCALING).put_scaling_policy(
            **_target(endpoint),
            PolicyName=f"{endpoint}-wake",
            PolicyType="StepScaling",
            StepScalingPolicyConfiguration={
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Average",
                "Cooldown": COOLDOWN["ScaleOutCooldown"],
                "StepAdjustments": [step],
            },
        )
        session.boto_session.client("cloudwatch").put_metric_alarm(
            AlarmName=_alarm(endpoint),
            MetricName="HasBacklogWithoutCapacity",
            Namespace="AWS/SageMaker",
            Dimensions=[{"Name": "EndpointName", "Value": endpoint}],
            Statistic="Average",
            Period=60,
            EvaluationPeriods=2,
            DatapointsToAlarm=2,
            Threshold=1.0,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="missing",
            AlarmActions=[policy["PolicyARN"]],
        )


def _target(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def _alarm(endpoint: str) -> str:
    return f"{endpoint}-wake"


def _invocations() -> dict[str, Any]:
    return {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}


def _backlog(endpoint: str) -> dict[str, Any]:
    metric = {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
        "Statistic": "Average",
    }
    return {"CustomizedMetricSpecification": metric}
