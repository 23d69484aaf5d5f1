"""A training job as settings: what it is made of, and what is refused before it is sent."""

import os
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from ...data.column_names import ColumnNames
from ...data.loading import read_proteins
from ...errors import OptionError
from .. import aws
from ..container import CHANNELS, MODEL_CHANNEL
from ..environment import check_environment
from ..images import Image, check_image_uri, check_instance
from ..protection import Protection
from ..s3 import objects_at
from ..tags import check_tags
from ..typed import instance_of, whole
from .hyperparameters import check_hyperparameters, data_arguments

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

DAY = 24 * 3600  # seconds
LONGEST_VARIABLE = 512  # characters of a value
BOUNDS = {  # the most of each, as the service has it; at least 1
    "instance_count": None,
    "processes_per_instance": None,
    "volume_size": 16_384,  # GiB
    "max_run": 28 * DAY,
    "max_wait": None,
    "keep_alive_period_in_seconds": 21_600,
}


Source = str | os.PathLike[str]
Inputs = Source | Mapping[str, Source]  # the proteins to train on, or channels by name


@dataclass
class TrainingSettings:
    """What a training job is made of.

    Args:
        role: Name or ARN of the jobs' IAM role; `protbert-classify sagemaker policy training` prints what it needs.
        session: Of `open_session`: region, credentials, bucket.
        instance_type: Such as `ml.g5.2xlarge`.
        instance_count: Machines; their training is one.
        hyperparameters: Options of `protbert-classify train`.
        base_job_name: Jobs are called so, and the time after it.
        output_path: Where model.tar.gz goes, `s3://bucket/prefix`; in the session's bucket if None.
        image: In place of the newest Hugging Face image (PyTorch's on machines without a GPU).
        image_uri: The address of a container of one's own.
        volume_size: GiB of a machine's disk.
        max_run: Seconds that a job may compute.
        use_spot_instances: Cheaper machines that AWS may take back; the job then resumes from its last checkpoint.
        max_wait: Seconds that a job on spot instances may take, waiting included; twice `max_run` if None.
        checkpoint_s3_uri: Where checkpoints are kept, and where a job resumes from if there are any: a second job with
            the same address continues the first. With spot instances each job has one of its own if None.
        keep_alive_period_in_seconds: Keep the machines, and pay for them, so long after a job, for the next one.
        processes_per_instance: One a GPU if None, or one.
        protection: Key, VPC and isolation, of the job and of what is deployed of it. An isolated job needs `wheels`,
            and the pretrained model as a channel.
        encrypt_inter_container_traffic: What machines of one job say to each other.
        wheels: Folder of wheels that `protbert-classify sagemaker wheels` wrote; the job installs from these alone.
        package: A requirement (`protbert_classify==0.1.0`) in place of a wheel of what is installed here.
        push_to_hub: Repository on the Hugging Face Hub (`me/my-classifier`) to which the job publishes its model.
        hub_token_secret: Name of the secret in AWS Secrets Manager with the Hub's token; the job reads it itself.
        environment: Variables of the container.
        tags: Of the job, name to value.

    Raises:
        OptionError: What cannot work, in one line, before anything is sent.
    """

    role: str | None = None
    _: KW_ONLY
    session: "Session"
    instance_type: str = "ml.g5.2xlarge"
    instance_count: int = 1
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    base_job_name: str = aws.PREFIX
    output_path: str | None = None
    image: Image | None = None
    image_uri: str | None = None
    volume_size: int = 100
    max_run: int = DAY
    use_spot_instances: bool = False
    max_wait: int | None = None
    checkpoint_s3_uri: str | None = None
    keep_alive_period_in_seconds: int | None = None
    processes_per_instance: int | None = None
    protection: Protection = Protection()
    encrypt_inter_container_traffic: bool = True
    wheels: str | None = None
    package: str | None = None
    push_to_hub: str | None = None
    hub_token_secret: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        instance_of("hyperparameters", self.hyperparameters, Mapping, "options of train, as a dict")
        self.hyperparameters = check_hyperparameters(self.hyperparameters)
        self._check()
        self.role = aws.role_arn(self.session, self.role)
        self.protection.check_region(self.session.boto_region_name)
        for uri in (self.output_path, self.checkpoint_s3_uri):
            aws.check_output(self.session, uri)

    @property
    def longest_wait(self) -> int | None:
        """Seconds that a job on spot instances may take, waiting included; None on others."""
        if not self.use_spot_instances:
            return None
        return 2 * self.max_run if self.max_wait is None else self.max_wait

    def cost(self) -> str:
        """What will be paid for, in one line."""
        spot = ", spot" if self.use_spot_instances else ""
        kept = self.keep_alive_period_in_seconds
        after = f"; then kept, and paid for, {kept / 60:.0f} minutes more" if kept else "; it ends by itself"
        return f"{self.instance_count} x {self.instance_type}{spot} for at most {self.max_run / 3600:g} hours{after}"

    def channels(self, inputs: Inputs) -> dict[str, str]:
        """The inputs of `fit`, each looked up where it lies.

        Raises:
            OptionError: An unknown channel, or one that is not there.
        """
        channels = _paths(inputs)
        unknown = [name for name in channels if name not in (*CHANNELS, MODEL_CHANNEL)]
        if unknown:
            raise OptionError(f"channel {unknown[0]!r}: expected {', '.join(CHANNELS)} or {MODEL_CHANNEL}")
        if "train" not in channels:
            raise OptionError("no channel train; expected the proteins to train on")
        pretrained = MODEL_CHANNEL in channels or "backbone_config" in self.hyperparameters
        if self.protection.network_isolation and not pretrained:
            raise OptionError(
                "network isolation: no Hub is reached; give the pretrained model as --model_name_or_path, a folder or "
                "an s3:// address, or in Python as the channel model"
            )
        for name, source in channels.items():
            if source.startswith("s3://"):
                keys = objects_at(self.session, source, f"channel {name}")
                if name in CHANNELS and len(keys) > 1:
                    raise OptionError(
                        f"channel {name}: more than one object begins with {source} ({', '.join(keys)}, ...); expected "
                        "one file of proteins"
                    )
            elif not os.path.exists(source):
                raise OptionError(f"channel {name}: {source}: no such file; expected one, or an s3:// address")
            elif name in CHANNELS:
                self._check_proteins(source)
        return channels

    def _check_proteins(self, source: str) -> None:
        """Read the proteins as the job will: what it cannot use is told before a machine is paid for."""
        if os.path.isdir(source):
            raise OptionError(f"{source}: found a folder; expected one file of proteins")
        options = data_arguments(self.hyperparameters)
        columns = ColumnNames(
            options.id_column,
            options.sequence_column,
            options.label_column,
            options.split_column,
            options.auxiliary_tasks,
            options.problem_type,
        )
        read_proteins(source, ambiguous=options.ambiguous, header_pattern=options.header_pattern, columns=columns)

    def _check(self) -> None:
        check_image_uri(self.image_uri)
        if self.image_uri is None:
            check_instance(self.instance_type, "training")
        if not aws.NAME.fullmatch(self.base_job_name) or len(self.base_job_name) > 40:
            raise OptionError(f"job name {self.base_job_name!r}: expected up to 40 letters, digits and hyphens")
        for name, most in BOUNDS.items():
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), most=most)
        for name in ("use_spot_instances", "encrypt_inter_container_traffic"):
            instance_of(name, getattr(self, name), bool, "True or False")
        instance_of("protection", self.protection, Protection, "Protection(...)")
        if self.max_wait is not None and not self.use_spot_instances:
            raise OptionError("max_wait: only spot instances are waited for; give use_spot_instances, too")
        if self.max_wait is not None and self.max_wait < self.max_run:
            raise OptionError(f"max_wait={self.max_wait}: expected max_run ({self.max_run}) or more; it counts both")
        if self.use_spot_instances and self.keep_alive_period_in_seconds:
            raise OptionError("spot instances cannot be kept alive after a job; choose one of the two")
        check_environment(self.environment, LONGEST_VARIABLE)
        check_tags(self.tags)
        self._check_hub()
        if self.protection.network_isolation and self.wheels is None:
            raise OptionError(
                "network isolation: the job cannot install anything from an index; give wheels, a folder that "
                "'protbert-classify sagemaker wheels' writes"
            )

    def _check_hub(self) -> None:
        if self.push_to_hub is None:
            if self.hub_token_secret is not None:
                raise OptionError("hub_token_secret without push_to_hub: what should be published where?")
            return
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.push_to_hub):
            raise OptionError(f"push_to_hub={self.push_to_hub!r}: expected owner/name of a repository on the Hub")
        if self.protection.network_isolation:
            raise OptionError(
                "push_to_hub: under network isolation the job reaches neither the Hub nor Secrets Manager; download "
                "model.tar.gz when it has ended, and use 'protbert-classify push'"
            )
        if (self.hub_token_secret or "").startswith("hf_"):
            raise OptionError("hub_token_secret: that is a token, which nobody may see; expected the name of a secret")
        if self.hub_token_secret is None:
            raise OptionError("push_to_hub: give hub_token_secret, the name of the secret in AWS Secrets Manager")


def _paths(inputs: Inputs) -> dict[str, str]:
    channels = dict(inputs) if isinstance(inputs, Mapping) else {"train": inputs}
    for name, source in channels.items():
        instance_of(f"channel {name}", source, (str, os.PathLike), "a file here, or an s3:// address")
    return {name: os.fspath(source) for name, source in channels.items()}
