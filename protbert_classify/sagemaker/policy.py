"""Policies of IAM that allow what this package does on SageMaker, and nothing else.

Three principals need one: the role of training jobs, the role of endpoints and transform jobs, and the caller.
"""

import json
from collections.abc import Sequence
from typing import Any

from ..errors import OptionError
from .aws import PREFIX
from .statements import (
    SERVICE,
    Statement,
    check_account,
    containers,
    encryption,
    logs,
    network,
    operations,
    place_of,
    roles_of,
    scaling,
    secrets,
    storage,
)

Document = dict[str, Any]

VERSION = "2012-10-17"  # of the policy language
LONGEST = 6144  # characters of a managed policy, white space not counted
TRAINING_LOGS = ("/aws/sagemaker/TrainingJobs",)
SERVING_LOGS = ("/aws/sagemaker/Endpoints/*", "/aws/sagemaker/TransformJobs")
LOG_READING = ("DescribeLogStreams", "FilterLogEvents", "GetLogEvents")
TRAINING_METRICS = ("/aws/sagemaker/TrainingJobs",)
SERVING_METRICS = ("AWS/SageMaker", "/aws/sagemaker/Endpoints", "/aws/sagemaker/TransformJobs")


def training_policy(
    account: str,
    region: str,
    bucket: str,
    prefix: str = PREFIX,
    *,
    inputs: Sequence[str] = (),
    kms_key: str | None = None,
    secret: str | None = None,
    images: Sequence[str] = (),
    vpc: bool = False,
    partition: str | None = None,
) -> Document:
    """For the role of training jobs.

    Args:
        account: 12 digits.
        region: `us-east-1`.
        bucket: Where data, code, checkpoints and models are.
        prefix: Of its keys; what is outside is neither read nor written.
        inputs: Addresses in S3 (`s3://bucket/key`, which stand for all keys that begin so) that are read besides.
        kms_key: ARN of the key of KMS that encrypts them.
        secret: Name in Secrets Manager of the token of the Hugging Face Hub.
        images: Addresses in ECR of containers of one's own, besides AWS'.
        vpc: Whether jobs are in a VPC.
        partition: `aws`, `aws-cn`, ...; the region's if None.

    Raises:
        OptionError: What is not what it should be.
    """
    place = place_of(account, region, partition)
    return _document(
        [
            *storage(place, bucket, prefix, inputs),
            *encryption(place, kms_key),
            *containers(place, "training", images, TRAINING_LOGS, TRAINING_METRICS),
            *secrets(place, secret),
            *(network(place) if vpc else []),
        ]
    )


def serving_policy(
    account: str,
    region: str,
    bucket: str,
    prefix: str = PREFIX,
    *,
    inputs: Sequence[str] = (),
    kms_key: str | None = None,
    images: Sequence[str] = (),
    vpc: bool = False,
    partition: str | None = None,
) -> Document:
    """For the role of endpoints and transform jobs: models and requests are read in S3, answers written there.

    Args and errors are [`training_policy`]'s.
    """
    place = place_of(account, region, partition)
    return _document(
        [
            *storage(place, bucket, prefix, inputs),
            *encryption(place, kms_key),
            *containers(place, "inference", images, SERVING_LOGS, SERVING_METRICS),
            *(network(place) if vpc else []),
        ]
    )


def user_policy(
    account: str,
    region: str,
    bucket: str,
    prefix: str = PREFIX,
    *,
    roles: Sequence[str],
    inputs: Sequence[str] = (),
    kms_key: str | None = None,
    names: str = "*",
    partition: str | None = None,
) -> Document:
    """For the person, or the continuous integration, that trains, deploys, asks and deletes.

    Args:
        roles: Names or ARNs of the roles of jobs and endpoints; only these may be passed, and to SageMaker alone.
        names: Of jobs, models and endpoints, all of them or those that begin so: `protbert-*`.

    Other args, and errors, are [`training_policy`]'s.
    """
    place = place_of(account, region, partition)
    return _document(
        [
            # whether a bucket is there is asked (HeadBucket) as a listing of all of it
            *storage(place, bucket, prefix, inputs, whole_listing=True),
            *encryption(place, kms_key),
            *operations(place, names),
            *scaling(place, names),
            *roles_of(place, roles),
            logs(place, "ReadLogs", LOG_READING, TRAINING_LOGS + SERVING_LOGS),
        ]
    )


def trust_policy(account: str) -> Document:
    """Who may assume the two roles: SageMaker, and only for jobs and endpoints of the account.

    Without the condition, a stranger who learns the name of a role could have SageMaker use it (the confused deputy).

    Raises:
        OptionError: The account is none.
    """
    return _document(
        [
            {
                "Sid": "SageMaker",
                "Effect": "Allow",
                "Principal": {"Service": SERVICE},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": check_account(account)}},
            }
        ]
    )


def _document(statements: list[Statement]) -> Document:
    document = {"Version": VERSION, "Statement": statements}
    length = len(json.dumps(document, separators=(",", ":")))
    if length > LONGEST:
        raise OptionError(f"a policy of {length:,} characters, and IAM takes {LONGEST:,}; give fewer or shorter inputs")
    return document
