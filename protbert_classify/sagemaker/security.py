"""What protects jobs and endpoints: a key, a VPC, no network, no secrets in variables, and tags for the bill."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from .images import encrypts_itself
from .session import PREFIX

KMS_KEY = re.compile(r"arn:aws[\w-]*:kms:([a-z0-9-]+):\d{12}:key/[\w-]+")  # an alias cannot stand in a policy
SECRET = re.compile(r"(^|_)(token|secret|passw(or)?d|credentials?|key|pat)(_|$)", re.IGNORECASE)
OURS = {"created-by": PREFIX}  # the tag by which `status` finds what was created here


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

    def volume_key(self, instance_type: str) -> str | None:
        """The key for an instance's disks; SageMaker refuses one for disks that encrypt themselves."""
        return None if encrypts_itself(instance_type) else self.kms_key

    def model_settings(self) -> dict[str, Any]:
        """The fields of a CreateModel request."""
        settings: dict[str, Any] = {}
        if self.subnets:
            settings["VpcConfig"] = {"Subnets": [*self.subnets], "SecurityGroupIds": [*self.security_group_ids]}
        if self.network_isolation:
            settings["EnableNetworkIsolation"] = True
        return settings


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse secrets among the variables of a container: anyone who may describe it can read them."""
    for name, value in environment.items():
        if SECRET.search(str(name)):
            raise OptionError(
                f"environment {name}: a secret would be recorded in the request; keep it in AWS Secrets Manager, and "
                "let the container read it (for the Hub's token: hub_token_secret)"
            )
        if not isinstance(value, str):
            raise OptionError(f"environment {name}={value!r}: expected text")


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in SageMaker's form, ours among them."""
    return [{"Key": key, "Value": value} for key, value in {**tags, **OURS}.items()]
