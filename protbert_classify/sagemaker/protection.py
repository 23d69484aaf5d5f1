"""What closes jobs and endpoints to others: a key, a VPC, and no network."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from .images import encrypts_itself
from .typed import instance_of, texts

KMS_KEY = re.compile(r"arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:key/[\w-]+")  # only an ARN can stand in a policy


@dataclass(frozen=True, kw_only=True)
class Protection:
    """How what runs is closed to others: the same for a training, its endpoint and its transform jobs.

    Args:
        kms_key: ARN of the KMS key of uploads, disks and results; AWS' own keys if None.
        subnets: Of a VPC that the containers are in; with `security_group_ids`, or neither.
        security_group_ids: Of the VPC.
        network_isolation: Let the containers reach nothing at all.

    Example:
        >>> from protbert_classify.sagemaker import Protection
        >>> Protection(network_isolation=True).network_isolation
        True

    Raises:
        OptionError: What cannot protect.
    """

    kms_key: str | None = None
    subnets: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()
    network_isolation: bool = False

    def __post_init__(self) -> None:
        if self.kms_key is not None and not KMS_KEY.fullmatch(str(self.kms_key)):
            raise OptionError(f"KMS key {self.kms_key!r}: expected the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID")
        texts("subnets", self.subnets)
        texts("security_group_ids", self.security_group_ids)
        instance_of("network_isolation", self.network_isolation, bool, "True or False")
        if bool(self.subnets) != bool(self.security_group_ids):
            raise OptionError("a VPC needs subnets and security groups; only one of the two was given")

    def check_region(self, region: str) -> None:
        """Refuse a key of another region than what it is to encrypt.

        Raises:
            OptionError: It.
        """
        if self.kms_key is not None and self.kms_key.split(":")[3] != region:
            raise OptionError(f"KMS key {self.kms_key}: expected one of {region}, where it is used")

    def volume_key(self, instance_type: str) -> str | None:
        """The key of an instance's disks; SageMaker refuses one for disks that encrypt themselves."""
        return None if encrypts_itself(instance_type) else self.kms_key

    def of_model(self) -> dict[str, Any]:
        """What CreateModel takes of it."""
        taken: dict[str, Any] = {}
        if self.subnets:
            taken["VpcConfig"] = {"Subnets": [*self.subnets], "SecurityGroupIds": [*self.security_group_ids]}
        if self.network_isolation:
            taken["EnableNetworkIsolation"] = True
        return taken
