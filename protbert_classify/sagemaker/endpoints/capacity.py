"""What an endpoint runs on."""

from dataclasses import dataclass, replace
from types import NoneType

from ...errors import OptionError
from ..aws import PREFIX
from ..hosting import CPU_INSTANCE
from ..images import check_instance, has_gpu
from ..protection import Protection
from ..s3 import split_uri
from ..typed import instance_of, whole

SERVERLESS_MEMORY = range(1024, 6145, 1024)  # MB, as the service has it


@dataclass(frozen=True, kw_only=True)
class Serverless:
    """Without instances of one's own: billed by the request, and cold after a while without any.

    Args:
        memory: MB, 1024 to 6144 in steps of 1024; CPUs come with it.
        concurrency: Requests at once, 1 to 200.

    Example:
        >>> from protbert_classify.sagemaker import Serverless
        >>> Serverless(memory=4096)
        Serverless(memory=4096, concurrency=5)

    Raises:
        OptionError: A value out of its range.
    """

    memory: int = 6144
    concurrency: int = 5

    def __post_init__(self) -> None:
        whole("serverless: concurrency", self.concurrency, 1, 200)
        if self.memory not in SERVERLESS_MEMORY:
            known = ", ".join(map(str, SERVERLESS_MEMORY))
            raise OptionError(f"serverless: {self.memory} MB; expected one of {known}")


@dataclass(frozen=True, kw_only=True)
class Asynchronous:
    """Requests wait in a queue, answers come through S3: up to an hour each, and down to no instance at all.

    Args:
        output: Prefix in S3 of the answers; beside the model of the endpoint if None.
        concurrency: Requests that an instance has at once, 1 to 1000; SageMaker's choice if None.

    Example:
        >>> from protbert_classify.sagemaker import Asynchronous
        >>> Asynchronous(output="s3://my-bucket/answers")
        Asynchronous(output='s3://my-bucket/answers', concurrency=None)

    Raises:
        OptionError: A value out of its range.
    """

    output: str | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.concurrency is not None:
            whole("asynchronous: concurrency", self.concurrency, 1, 1000)
        if self.output is not None:
            split_uri(self.output)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What an endpoint runs on.

    Args:
        instance_type: Such as `ml.m5.xlarge`; unused if `serverless`.
        instance_count: Of them.
        serverless: In place of instances.
        asynchronous: With a queue before the instances.

    Raises:
        OptionError: What excludes what, or instances that there are not.
    """

    instance_type: str = CPU_INSTANCE
    instance_count: int = 1
    serverless: Serverless | None = None
    asynchronous: Asynchronous | None = None

    def __post_init__(self) -> None:
        instance_of("serverless", self.serverless, (Serverless, NoneType), "Serverless(...) or None")
        instance_of("asynchronous", self.asynchronous, (Asynchronous, NoneType), "Asynchronous(...) or None")
        whole("instance_count", self.instance_count)
        if self.serverless is None:
            check_instance(self.instance_type, "inference")
            return
        _exclude(
            {
                "asynchronous": self.asynchronous is not None,
                f"the GPUs of {self.instance_type}": has_gpu(self.instance_type),
                "several instances": self.instance_count != 1,
            }
        )

    def check_protection(self, protection: Protection) -> None:
        """Refuse what cannot be protected so.

        Raises:
            OptionError: What excludes what.
        """
        if self.serverless is not None:
            _exclude({"a VPC": bool(protection.subnets), "network isolation": protection.network_isolation})

    def with_output(self, endpoint: str, bucket: str | None) -> "Capacity":
        """One whose asynchronous answers have a place."""
        if self.asynchronous is None or self.asynchronous.output is not None:
            return self
        if bucket is None:
            raise OptionError("asynchronous: its answers take a bucket, or an output")
        output = f"s3://{bucket}/{PREFIX}/{endpoint}"
        return replace(self, asynchronous=replace(self.asynchronous, output=output))


def _exclude(wanted: dict[str, bool]) -> None:
    for name, given in wanted.items():  # AWS' developer guide, Serverless Inference, feature exclusions
        if given:
            raise OptionError(f"serverless excludes {name}; choose one of the two")
