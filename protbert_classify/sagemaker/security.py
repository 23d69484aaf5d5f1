"""What protects jobs and endpoints: a key, a VPC, no network."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

KMS_KEY = re.compile(r"arn:aws[\w-]*:kms:([a-z0-9-]+):\d{12}:key/[\w-]+")  # an alias cannot stand in a policy


@dataclass(frozen=True, kw_only=True)
class Protection:
    """Encryption and network of a training, its endpoint and its transform jobs.

    Args:
        kms_key: ARN of the KMS key for uploads, disks and results; AWS' own keys if None.
        subnets: Subnets of the VPC in which the containers run; requires `security_group_ids`.
        security_group_ids: Security groups of the VPC.
        network_isolation: Give the containers no network at all. A training then requires `image_uri`, an image that
            has this package's requirements: AWS' own images install them at their start.

    Example:
        >>> from protbert_classify.sagemaker import Protection
        >>> Protection(network_isolation=True).network_isolation
        True

    Raises:
        OptionError: Only one of subnets and security groups.
    """

    kms_key: str | None = None
    subnets: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()
    network_isolation: bool = False

    def __post_init__(self) -> None:
        if bool(self.subnets) != bool(self.security_group_ids):
            raise OptionError("a VPC needs subnets and security groups; only one of the two was given")

    def check(self, region: str) -> None:
        """Refuse a key that is not in the region where it is used."""
        match = KMS_KEY.fullmatch(self.kms_key or "")
        if self.kms_key is not None and (match is None or match[1] != region):
            raise OptionError(f"KMS key {self.kms_key!r}: expected arn:aws:kms:{region}:ACCOUNT:key/ID")

    def model_settings(self) -> dict[str, Any]:
        """The fields of a CreateModel request."""
        settings: dict[str, Any] = {}
        if self.subnets:
            settings["VpcConfig"] = {"Subnets": [*self.subnets], "SecurityGroupIds": [*self.security_group_ids]}
        if self.network_isolation:
            settings["EnableNetworkIsolation"] = True
        return settings
