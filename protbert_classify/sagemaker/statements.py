"""Statements of policies of IAM: what is allowed on which resources, with their names checked."""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import OptionError
from .images import Purpose, image_uri
from .s3 import check_bucket_name, split_uri

Statement = dict[str, Any]

SERVICE = "sagemaker.amazonaws.com"
SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE = f"role/aws-service-role/{SCALING_SERVICE}/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
IMAGE_MACHINES = ("ml.g5.xlarge", "ml.m5.xlarge")  # a GPU and a CPU: each may have an image of its own
# kind of resource -> what is done with it
OPERATIONS = {
    "training-job": ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"),
    "hyper-parameter-tuning-job": (
        *("CreateHyperParameterTuningJob", "DescribeHyperParameterTuningJob", "StopHyperParameterTuningJob"),
        "ListTrainingJobsForHyperParameterTuningJob",
    ),
    "model": ("CreateModel", "DescribeModel", "DeleteModel"),
    "endpoint-config": ("CreateEndpointConfig", "DescribeEndpointConfig", "DeleteEndpointConfig"),
    "endpoint": (
        *("CreateEndpoint", "DescribeEndpoint", "UpdateEndpoint", "DeleteEndpoint"),
        *("InvokeEndpoint", "InvokeEndpointAsync"),
        "UpdateEndpointWeightsAndCapacities",  # asked of those who register an endpoint with Auto Scaling
    ),
    "transform-job": ("CreateTransformJob", "DescribeTransformJob", "StopTransformJob"),
}
LISTS = ("Endpoints", "EndpointConfigs", "HyperParameterTuningJobs", "Models", "TrainingJobs", "TransformJobs")


class Place(NamedTuple):
    """Where resources are."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Of a resource of a regional service."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def role(self, name: str) -> str:
        """The ARN of a role, of its name or of itself."""
        start = f"arn:{self.partition}:iam::{self.account}:role/"
        if not re.fullmatch(r"[\w+=,.@/-]{1,576}", name.removeprefix(start), re.ASCII):
            raise OptionError(f"role {name!r}: expected its name, or {start}NAME")
        return start + name.removeprefix(start)

    def bucket(self, name: str) -> str:
        """The ARN of a bucket."""
        check_bucket_name(name)
        return f"arn:{self.partition}:s3:::{name}"


def place_of(account: str, region: str, partition: str | None = None) -> Place:
    """An account in a region.

    Raises:
        OptionError: One of them is none, or the region is of another partition.
    """
    home = _partition_of(region)
    if partition not in (None, home):
        raise OptionError(f"partition {partition!r}: region {region} is of {home}")
    return Place(home, region, check_account(account))


@functools.cache
def _partition_of(region: str) -> str:
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        return str(botocore.session.get_session().get_partition_for_region(region))
    except BotoCoreError:
        raise OptionError(f"region {region!r}: AWS has none of this name; expected one such as us-east-1") from None


def check_account(account: str) -> str:
    """The account.

    Raises:
        OptionError: It has not 12 digits.
    """
    if not re.fullmatch(r"[0-9]{12}", account):
        raise OptionError(f"account {account!r}: expected 12 digits; 'aws sts get-caller-identity' tells yours")
    return account


def allow(sid: str, actions: Iterable[str], resources: str | list[str], condition: Any = None) -> Statement:
    """One statement; `sid` names it."""
    statement = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    return statement if condition is None else {**statement, "Condition": condition}


def storage(
    place: Place, bucket: str, prefix: str, inputs: Sequence[str], whole_listing: bool = False
) -> list[Statement]:
    """Reading and writing below a prefix, and reading inputs: each stands for all keys that begin so.

    Args:
        place: Of the bucket; inputs may be in other accounts' buckets, which must allow it, too.
        bucket: Its name.
        prefix: Of its keys, without the slash at the end.
        inputs: `s3://bucket/key`.
        whole_listing: Whether names outside of the prefix may be seen.
    """
    below = f"{prefix.strip('/')}/".lstrip("/")
    begins: dict[str, list[str]] = {place.bucket(bucket): [f"{below}*"]}
    for uri in inputs:
        name, key = split_uri(uri)
        begins.setdefault(place.bucket(name), []).append(f"{key}*")
    for text in (prefix, *inputs):
        if re.search(r"[*?$]", text):
            raise OptionError(f"{text!r}: *, ? and $ would stand for other keys in a policy; expected none of them")
    owned = place.bucket(bucket)
    statements = [
        allow("ReadAndWrite", ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], f"{owned}/{below}*"),
        allow("LocateBuckets", ["s3:GetBucketLocation"], list(begins)),
    ]
    if inputs:
        keys = [f"{place.bucket(name)}/{key}*" for name, key in map(split_uri, inputs)]
        statements.append(allow("ReadInputs", ["s3:GetObject"], keys))
    for number, (arn, patterns) in enumerate(begins.items()):  # one a bucket: a prefix of one is not for the others
        condition = None if whole_listing and arn == owned else {"StringLike": {"s3:prefix": patterns}}
        statements.append(allow(f"ListKeys{number or ''}", ["s3:ListBucket"], arn, condition))
    return statements


def encryption(place: Place, key: str | None) -> list[Statement]:
    """Use of a key of KMS; nothing without one.

    Raises:
        OptionError: It is no ARN of a key: in a policy, an alias or an id stands for nothing.
    """
    if key is None:
        return []
    if not re.fullmatch(rf"arn:{place.partition}:kms:{place.region}:[0-9]{{12}}:key/[A-Za-z0-9-]+", key):
        raise OptionError(
            f"kms_key {key!r}: expected the ARN of a key of this region, arn:{place.partition}:kms:{place.region}:"
            f"ACCOUNT:key/ID; 'aws kms describe-key --key-id {key}' tells it"
        )
    for_disks = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return [
        allow("UseKey", ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"], key),
        allow("GrantKeyToDisks", ["kms:CreateGrant"], key, for_disks),
    ]


def network(place: Place) -> list[Statement]:
    """A container in a VPC has interfaces there, which SageMaker makes and removes in the role's name."""
    verbs = ("CreateNetworkInterface", "DeleteNetworkInterface")
    made = [f"ec2:{verb}{what}" for verb in verbs for what in ("", "Permission")]
    kinds = ("network-interface", "subnet", "security-group")
    things = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
    return [
        allow("Interfaces", made, [place.arn("ec2", f"{kind}/*") for kind in kinds]),
        allow("SeeNetwork", [f"ec2:Describe{thing}" for thing in things], "*"),  # descriptions know no resource
    ]


def containers(
    place: Place, purpose: Purpose, images: Sequence[str], log_groups: Sequence[str], namespaces: Sequence[str]
) -> list[Statement]:
    """What starts a container, from AWS' images or one's own, and what it tells.

    Args:
        place: Of the jobs.
        purpose: Of AWS' images.
        images: Addresses of one's own, in ECR.
        log_groups: Names; a star at the end stands for all that begin so.
        namespaces: Of metrics.
    """
    pulling = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    writing = ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
    named = {"StringEquals": {"cloudwatch:namespace": [*namespaces]}}
    return [
        allow("PullImages", pulling, [*_repositories(place, purpose), *(_repository(place, uri) for uri in images)]),
        allow("SignInToRegistries", ["ecr:GetAuthorizationToken"], "*"),  # one token is for all registries
        logs(place, "WriteLogs", writing, log_groups),
        allow("WriteMetrics", ["cloudwatch:PutMetricData"], "*", named),  # metrics are no resources; their names limit
    ]


def logs(place: Place, sid: str, verbs: Sequence[str], groups: Sequence[str]) -> Statement:
    """Log groups and, behind a colon, their streams; the star at the end of a name stands for both."""
    names = [group + end for group in groups for end in (("",) if group.endswith("*") else ("", ":*"))]
    return allow(sid, [f"logs:{verb}" for verb in verbs], [place.arn("logs", f"log-group:{name}") for name in names])


def secrets(place: Place, name: str | None) -> list[Statement]:
    """Reading a secret; nothing without one.

    Raises:
        OptionError: It can be no name of one.
    """
    if name is None:
        return []
    if not re.fullmatch(r"[A-Za-z0-9/_+=.@-]{1,512}", name):
        raise OptionError(f"secret {name!r}: expected its name in Secrets Manager, of letters, digits and /_+=.@-")
    # to the name, Secrets Manager appends a hyphen and six characters of its own
    arn = place.arn("secretsmanager", f"secret:{name}-??????")
    return [allow("ReadHubToken", ["secretsmanager:GetSecretValue"], arn)]


def operations(place: Place, names: str) -> list[Statement]:
    """What is made, asked and deleted on SageMaker; each action is for its own kind of resource only.

    Raises:
        OptionError: `names` is no beginning of names.
    """
    if not re.fullmatch(r"[a-z0-9-]*\*", names):  # in ARNs, SageMaker writes names in lower case
        raise OptionError(f"names {names!r}: expected lower-case letters, digits and hyphens, and a * at the end")
    actions = [*(action for kind in OPERATIONS.values() for action in kind), "AddTags", "ListTags"]
    arns = [place.arn("sagemaker", f"{kind}/{names}") for kind in OPERATIONS]
    return [
        allow("Operate", [f"sagemaker:{action}" for action in actions], arns),
        allow("ListAll", [f"sagemaker:List{things}" for things in LISTS], "*"),  # a list is of all there are
    ]


def scaling(place: Place, names: str) -> list[Statement]:
    """Endpoints with instances by need; alarms are those that Auto Scaling names after them, and our own."""
    verbs = ("RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy")
    targets = place.arn("application-autoscaling", "scalable-target/*")
    of_sagemaker = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    tracked = f"endpoint/{names.rstrip('*')}*"
    alarms = [place.arn("cloudwatch", f"alarm:{alarm}") for alarm in (f"TargetTracking-{tracked}", f"{names}-wake")]
    watching = [f"cloudwatch:{verb}" for verb in ("PutMetricAlarm", "DeleteAlarms", "DescribeAlarms")]
    own = {"StringEquals": {"iam:AWSServiceName": SCALING_SERVICE}}
    role = f"arn:{place.partition}:iam::{place.account}:{SCALING_ROLE}"
    return [
        allow("Scale", [f"application-autoscaling:{verb}" for verb in verbs], targets, of_sagemaker),
        allow("Alarms", watching, alarms),
        allow("MakeScalingRole", ["iam:CreateServiceLinkedRole"], role, own),  # the first scaling of an account does
    ]


def roles_of(place: Place, roles: Sequence[str]) -> list[Statement]:
    """Finding roles, and handing them to SageMaker, to nobody else.

    Raises:
        OptionError: There are none, or one is of another account.
    """
    if not roles:
        raise OptionError("no roles; expected those of jobs and endpoints, which SageMaker is handed")
    arns = [place.role(role) for role in roles]
    to_sagemaker = {"StringEquals": {"iam:PassedToService": SERVICE}}
    return [allow("FindRoles", ["iam:GetRole"], arns), allow("PassRoles", ["iam:PassRole"], arns, to_sagemaker)]


def _repository(place: Place, uri: str) -> str:
    """The repository of an image of one's own.

    Raises:
        OptionError: It is none in ECR.
    """
    match = re.fullmatch(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.[a-z.]+/([a-z0-9._/-]+)([:@]\S+)?", uri)
    if match is None:
        raise OptionError(f"image_uri {uri!r}: expected ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG")
    return f"arn:{place.partition}:ecr:{match[2]}:{match[1]}:repository/{match[3]}"


def _repositories(place: Place, purpose: Purpose) -> list[str]:
    """The repositories of our images in AWS' registries.

    Raises:
        OptionError: The region has none of them.
    """
    found, missing = set(), None
    for machine in IMAGE_MACHINES:
        try:
            host, path = image_uri(purpose, machine, place.region).split("/", 1)
        except OptionError as error:  # there may be one for the other machine
            missing = error
            continue
        owner, name = host.split(".")[0], path.rsplit(":", 1)[0]
        found.add(f"arn:{place.partition}:ecr:{place.region}:{owner}:repository/{name}")
    if not found and missing is not None:
        raise missing
    return sorted(found)
