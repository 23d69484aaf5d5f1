"""Machines of AWS, and the container that runs on them: the same for a training, an endpoint and a transform job."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import OptionError
from .images import encrypts_itself
from .security import Protection
from .session import PREFIX, Session, role_arn

CPU_INSTANCE = "ml.m5.xlarge"  # has no GPU; a serverless endpoint uses its image
SECRET = re.compile(r"(^|_)(token|secret|passw(or)?d|credentials?|key|pat)(_|$)", re.IGNORECASE)
OURS = {"created-by": PREFIX}  # the tag by which `status` finds what was created here


@dataclass(kw_only=True)
class Machines:
    """Machines of AWS and their container.

    Args:
        role: Name or ARN of the container's IAM role; `protbert-classify sagemaker policy` prints what it needs.
        session: See [`open_session`].
        instance_type: Such as `ml.m5.xlarge` or `ml.g5.2xlarge`.
        instance_count: Number of machines.
        image_uri: An image of your own; AWS' newest of Hugging Face if None.
        environment: More variables of the container.
        protection: Key, VPC and isolation; the key also encrypts what is uploaded.
        tags: Of everything that is created, name to value.

    Raises:
        OptionError: No such role, a key of another region, or a secret among the variables.
    """

    role: str | None = None
    session: Session
    instance_type: str = CPU_INSTANCE
    instance_count: int = 1
    image_uri: str | None = None
    environment: Mapping[str, str] | None = None
    protection: Protection = Protection()
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        self.protection.check(self.session.boto_region_name)
        for name, value in (self.environment or {}).items():
            if SECRET.search(str(name)):  # anyone who may describe a container can read its variables
                raise OptionError(
                    f"environment {name}: a secret would be recorded in the request; keep it in AWS Secrets Manager, "
                    "and let the container read it (for the Hub's token: hub_token_secret)"
                )
            if not isinstance(value, str):
                raise OptionError(f"environment {name}={value!r}: expected text")
        self.role = role_arn(self.session, self.role)

    @property
    def volume_key(self) -> str | None:
        """The key for the disks of the machines; SageMaker refuses one for disks that encrypt themselves."""
        return None if encrypts_itself(self.instance_type) else self.protection.kms_key

    @property
    def tag_list(self) -> list[dict[str, str]]:
        """The tags in SageMaker's form, ours among them."""
        return [{"Key": key, "Value": value} for key, value in {**(self.tags or {}), **OURS}.items()]
