"""What a batch transform asks of SageMaker, as dicts: made without a call."""

from typing import Any

from ...serving.requests import FASTA, JSON_LINES
from ..aws import PREFIX
from ..calls import Request
from ..hosting import CPU_INSTANCE, LONGEST, Hosting, archive_place
from ..tags import tag_list

RETRIES = 2  # of a part; the service has up to 3
MAX_PAYLOAD = 6  # MB, more than a part has


def transform_requests(
    model: str,
    job: str,
    *,
    hosting: Hosting,
    bucket: str,
    instance_type: str = CPU_INSTANCE,
    instance_count: int = 1,
) -> list[Request]:
    """CreateModel and CreateTransformJob.

    Args:
        model: `s3://.../model.tar.gz`, or a folder.
        job: Name of the job, and of its model.
        hosting: Of its container.
        bucket: Of what is sent, and of the answers.
        instance_type: Such as `ml.m5.xlarge`.
        instance_count: Of them.

    Raises:
        OptionError: A combination of options that cannot be.
    """
    hosting.check_model(model)
    archive = archive_place(model, job, "model", bucket)
    protection, place = hosting.protection, f"s3://{bucket}/{PREFIX}/{job}"
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{place}/input/"}}
    output = {"S3OutputPath": f"{place}/output", "Accept": JSON_LINES, "AssembleWith": "None"}
    resources: dict[str, Any] = {"InstanceType": instance_type, "InstanceCount": instance_count}
    if protection.kms_key is not None:
        output["KmsKeyId"] = protection.kms_key
    volume_key = protection.volume_key(instance_type)
    if volume_key is not None:
        resources["VolumeKmsKeyId"] = volume_key
    request = {
        "TransformJobName": job,
        "ModelName": job,
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": LONGEST, "InvocationsMaxRetries": RETRIES},
        "MaxPayloadInMB": MAX_PAYLOAD,
        "BatchStrategy": "SingleRecord",
        "TransformInput": {"DataSource": source, "ContentType": FASTA, "CompressionType": "None", "SplitType": "None"},
        "TransformOutput": output,
        "TransformResources": resources,
        "Tags": tag_list(hosting.tags),
    }
    return [
        hosting.model_request(job, archive, instance_type, LONGEST, "transform"),
        ("CreateTransformJob", request),
    ]
