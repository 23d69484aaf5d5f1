"""What a batch transform asks for, without a call to AWS."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import OptionError
from ..serving.queries import FASTA, JSON_LINES
from .archives import in_s3
from .aws import PREFIX
from .images import check_instance, encrypts_itself
from .images import image_uri as aws_image
from .plans import archive_place
from .requests import (
    CPU_INSTANCE,
    LONGEST,
    HostedModel,
    Request,
    check_protection,
    container_environment,
    model_request,
    tag_list,
)

RETRIES = 2  # of a part; the service has up to 3
MAX_PAYLOAD = 6  # MB, more than a part has


def transform_requests(
    model: str,
    *,
    job: str,
    bucket: str,
    role: str,
    region: str,
    instance_type: str = CPU_INSTANCE,
    instance_count: int = 1,
    image_uri: str | None = None,
    kms_key: str | None = None,
    subnets: Sequence[str] = (),
    security_group_ids: Sequence[str] = (),
    network_isolation: bool = False,
    environment: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[Request]:
    """What a batch transform asks of SageMaker, without a call: CreateModel and CreateTransformJob.

    Args:
        model: As [`Transformer`] takes it, and so on; but `role` is an ARN.
        job: Name of the job, and of its model.
        bucket: Of what is sent, and of the answers.
        region: Of the job.

    Raises:
        InputError: A combination of options that cannot be.
    """
    check_instance(instance_type, "transform")
    if instance_count < 1:
        raise OptionError(f"instance count {instance_count}; expected 1 or more")
    hosted = HostedModel(
        archive=archive_place(model, job, "model", bucket),
        image_uri=image_uri or aws_image("transform", instance_type, region),
        role=role,
        environment=environment or {},
        kms_key=kms_key,
        subnets=subnets,
        security_group_ids=security_group_ids,
        network_isolation=network_isolation,
        tags=tags or {},
    )
    check_protection(hosted, packed=not in_s3(model), own_image=image_uri is not None)
    variables = container_environment(region, instance_type, LONGEST, hosted.environment)
    place = f"s3://{bucket}/{PREFIX}/{job}"
    return [
        model_request(job, replace(hosted, environment=variables)),
        ("CreateTransformJob", _job_request(job, place, instance_type, instance_count, hosted)),
    ]


def _job_request(job: str, place: str, instance_type: str, instance_count: int, hosted: HostedModel) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{place}/input/"}}
    output = {"S3OutputPath": f"{place}/output", "Accept": JSON_LINES, "AssembleWith": "None"}
    resources = {"InstanceType": instance_type, "InstanceCount": instance_count}
    if hosted.kms_key:
        output["KmsKeyId"] = hosted.kms_key
        if not encrypts_itself(instance_type):
            resources["VolumeKmsKeyId"] = hosted.kms_key
    return {
        "TransformJobName": job,
        "ModelName": job,
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": LONGEST, "InvocationsMaxRetries": RETRIES},
        "MaxPayloadInMB": MAX_PAYLOAD,
        "BatchStrategy": "SingleRecord",
        "TransformInput": {"DataSource": source, "ContentType": FASTA, "CompressionType": "None", "SplitType": "None"},
        "TransformOutput": output,
        "TransformResources": resources,
        "Tags": tag_list(hosted.tags),
    }
