"""Machines of AWS, and the container that runs on them: the same for a training, an endpoint and a transform job."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..errors import OptionError
from . import images
from .session import PREFIX, Session, role_arn

SECRET_NAME = re.compile(r"(^|_)(token|secret|passw(or)?d|credentials?|key|pat)(_|$)", re.IGNORECASE)
KMS_KEY = re.compile(r"arn:aws[\w-]*:kms:([a-z0-9-]+):\d{12}:key/[\w-]+")  # an alias cannot stand in a policy
OURS = {"created-by": PREFIX}  # the tag by which `status` finds what was created here


@dataclass(kw_only=True)
class Machines:
    """Machines of AWS and their container.

    Args:
        role: Name or ARN of the container's IAM role; `protbert-classify sagemaker policy` prints what it needs.
        session: See [`open_session`].
        instance_type: Such as `ml.m5.xlarge` or `ml.g5.2xlarge`.
        instance_count: Number of machines.
        image: An image of AWS; the newest for these machines if None.
        image_uri: The address of an image of your own, in place of AWS'.
        environment: More variables of the container.
        kms_key: ARN of the KMS key for uploads, disks and results; AWS' own keys if None.
        subnets: Subnets of the VPC in which the containers run; requires `security_group_ids`.
        security_group_ids: Security groups of the VPC.
        network_isolation: Give the containers no network at all.
        tags: Of everything that is created, name to value.

    Raises:
        OptionError: What cannot work, or would be unsafe, before anything is sent.
    """

    purpose: ClassVar[images.Purpose] = "inference"

    role: str | None = None
    session: Session
    instance_type: str = "ml.m5.xlarge"  # has no GPU
    instance_count: int = 1
    image: images.Image | None = None
    image_uri: str | None = None
    environment: Mapping[str, str] | None = None
    kms_key: str | None = None
    subnets: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()
    network_isolation: bool = False
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        region = self.session.boto_region_name
        images.check_instance(self.session, self.instance_type, self.purpose)
        if bool(self.subnets) != bool(self.security_group_ids):
            raise OptionError("a VPC needs subnets and security groups; only one of the two was given")
        key = KMS_KEY.fullmatch(self.kms_key or "")
        if self.kms_key is not None and (key is None or key[1] != region):
            raise OptionError(f"KMS key {self.kms_key!r}: expected arn:aws:kms:{region}:ACCOUNT:key/ID")
        for name, value in (self.environment or {}).items():
            if SECRET_NAME.search(str(name)):  # anyone who may describe a container can read its variables
                raise OptionError(
                    f"environment {name}: a secret would be recorded in the request; keep it in AWS Secrets Manager, "
                    "and let the container read it (for the Hub's token: hub_token_secret)"
                )
            if not isinstance(value, str):
                raise OptionError(f"environment {name}={value!r}: expected text")
        self.role = role_arn(self.session, self.role)
        if self.image_uri is None:
            self.image_uri = images.image_uri(self.purpose, self.instance_type, region, self.image)

    @property
    def volume_key(self) -> str | None:
        """The key for the disks of the machines; SageMaker refuses one for disks that encrypt themselves."""
        return None if images.encrypts_itself(self.instance_type) else self.kms_key

    @property
    def tag_list(self) -> list[dict[str, str]]:
        """The tags in SageMaker's form, ours among them."""
        return [{"Key": key, "Value": value} for key, value in {**(self.tags or {}), **OURS}.items()]
