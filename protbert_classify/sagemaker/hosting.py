"""A model in a container of SageMaker, be it behind an endpoint or in a transform job."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import OptionError
from .archives import ARCHIVE, check_model, in_s3
from .aws import PREFIX
from .calls import Request
from .environment import check_environment
from .images import Purpose, check_image_uri, has_gpu
from .images import image_uri as aws_image
from .packaging import CODE, CONTAINER_MODEL, INFERENCE, check_wheels
from .protection import Protection
from .tags import check_tags, tag_list
from .typed import instance_of

CPU_INSTANCE = "ml.m5.xlarge"  # whose image a serverless endpoint takes; it has no GPU
REAL_TIME = 60  # seconds in which SageMaker wants the answer of a real-time endpoint
LONGEST = 3600  # of an asynchronous one, and of batch transform
# a CPU computes a protein on all of its cores; a second worker would take half of them, and load the model twice
ONE_WORKER = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
STAMP = r"\d{6}-\d{6}-[0-9a-f]{4}"


@dataclass(frozen=True, kw_only=True)
class Hosting:
    """As whom, where and how closed the container of a model runs.

    Args:
        role: ARN of the role that the container has.
        region: Of AWS.
        image_uri: A container of one's own; AWS' newest of Hugging Face if None.
        environment: More variables of the container; they win.
        protection: Key, VPC and isolation.
        wheels: Folder of what a model that is packed here takes along, for a container that reaches no index.
        tags: Of all that is created.

    Raises:
        OptionError: A variable or a tag that cannot be, or no wheels.
    """

    role: str
    region: str
    image_uri: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    protection: Protection = Protection()
    wheels: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        instance_of("protection", self.protection, Protection, "Protection(...)")
        self.protection.check_region(self.region)
        check_image_uri(self.image_uri)
        check_environment(self.environment)
        check_tags(self.tags)
        if self.wheels is not None:
            check_wheels(self.wheels)

    def check_model(self, model: str) -> None:
        """[`archives.check_model`] for this container."""
        check_model(model, self.wheels, self.protection.network_isolation and self.image_uri is None)

    def model_request(
        self, name: str, archive: str, instance_type: str, seconds: int, purpose: Purpose = "inference"
    ) -> Request:
        """CreateModel.

        Args:
            name: Of the model.
            archive: Address of its model.tar.gz in S3.
            instance_type: That it will run on.
            seconds: That the container's own server gives an answer.
            purpose: That the image is for.
        """
        container = {
            "Image": self.image_uri or aws_image(purpose, instance_type, self.region),
            "ModelDataUrl": archive,
            "Environment": self._variables(instance_type, seconds),
        }
        request: dict[str, Any] = {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": self.role}
        return "CreateModel", {**request, "Tags": tag_list(self.tags), **self.protection.of_model()}

    def _variables(self, instance_type: str, seconds: int) -> dict[str, str]:
        return {
            "SAGEMAKER_PROGRAM": INFERENCE,
            "SAGEMAKER_SUBMIT_DIRECTORY": f"{CONTAINER_MODEL}/{CODE}",
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
            "SAGEMAKER_REGION": self.region,
            "SAGEMAKER_MODEL_SERVER_TIMEOUT": str(seconds),
            "HF_HUB_OFFLINE": "1",
            **({} if has_gpu(instance_type) else ONE_WORKER),
            **self.environment,
        }


def new_stamp() -> str:
    """What tells one creation from the next: `251231-235959-0a1b`."""
    return f"{time.strftime('%y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def archive_place(model: str, name: str, stamp: str, bucket: str | None) -> str:
    """Where the archive of a model is, or will be.

    Each version of an endpoint has its own: one that is rolled back, or gets another instance, fetches it again.
    """
    if in_s3(model):
        return model
    if bucket is None:
        raise OptionError(f"model {model}: to upload it takes a bucket")
    return f"s3://{bucket}/{PREFIX}/{name}/{stamp}/{ARCHIVE}"
