"""A training job as settings: what it is made of, what is refused before it is sent, and the SDK's trainer for it."""

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..data.sources import Columns, read_proteins
from ..errors import OptionError
from . import aws
from .container import CHANNELS, MODEL_CHANNEL, SECRET
from .hyperparameters import check_hyperparameters, data_arguments
from .images import Image, check_instance, encrypts_itself, image_uri
from .packaging import ENTRY, REQUIREMENTS, write_job

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.train import ModelTrainer

logger = logging.getLogger(__name__)

DAY = 24 * 3600  # seconds
LONGEST_RUN = 28 * DAY  # of a training job, as the service has it
LONGEST_KEPT = 3600  # seconds of a warm pool, as the service has it
TAGS = {"created-by": aws.PREFIX}
_NUMBER = r"'?([-+0-9.eE]+)"
METRICS = {  # name in CloudWatch -> what the log of a training says
    "train:loss": rf"'loss': {_NUMBER}",
    "validation:loss": rf"'eval_loss': {_NUMBER}",
    "validation:accuracy": rf"'eval_accuracy': {_NUMBER}",
    "validation:mcc": rf"'eval_mcc': {_NUMBER}",
    "validation:macro_f1": rf"'eval_macro_f1': {_NUMBER}",
    "test:accuracy": r"^test: .* accuracy ([0-9.]+)",
    "test:mcc": r"^test: .* MCC (-?[0-9.]+)",
    "test:macro_f1": r"^test: .* macro F1 ([0-9.]+)",
}


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
        use_spot_instances: Cheaper machines that AWS may take back; the job then goes on from its last checkpoint.
        max_wait: Seconds that a job on spot instances may take, waiting included; twice `max_run` if None.
        checkpoint_s3_uri: Where checkpoints are kept, and where a job goes on from if there are any: a second job with
            the same address continues the first. With spot instances each job has one of its own if None.
        keep_alive_period_in_seconds: Keep the machines, and pay for them, so long after a job, for the next one.
        processes_per_instance: One a GPU if None, or one.
        kms_key: ARN of the KMS key of uploads, results and volumes; AWS' own keys if None.
        subnets: Of a VPC; with security_group_ids.
        security_group_ids: Of the VPC.
        encrypt_inter_container_traffic: What machines of one job say to each other.
        enable_network_isolation: No network for the job: it needs `wheels`, and the pretrained model as a channel.
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
    kms_key: str | None = None
    subnets: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()
    encrypt_inter_container_traffic: bool = True
    enable_network_isolation: bool = False
    wheels: str | None = None
    package: str | None = None
    push_to_hub: str | None = None
    hub_token_secret: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hyperparameters = check_hyperparameters(self.hyperparameters)
        if self.max_wait is not None and not self.use_spot_instances:
            raise OptionError("max_wait: only spot instances are waited for; give use_spot_instances, too")
        self.max_wait = 2 * self.max_run if self.max_wait is None else self.max_wait
        self.tags = {**self.tags, **TAGS}
        self._check()
        self.role = aws.role_arn(self.session, self.role)

    def cost(self) -> str:
        """What will be paid for, in one line."""
        spot = ", spot" if self.use_spot_instances else ""
        kept = self.keep_alive_period_in_seconds
        after = f"; then kept, and paid for, {kept / 60:.0f} minutes more" if kept else "; it ends by itself"
        return f"{self.instance_count} x {self.instance_type}{spot} for at most {self.max_run / 3600:g} hours{after}"

    def channels(self, inputs: str | Mapping[str, str]) -> dict[str, str]:
        """The inputs of `fit`, each looked up where it lies.

        Raises:
            OptionError: An unknown channel, or one that is not there.
        """
        channels = {"train": inputs} if isinstance(inputs, str) else dict(inputs)
        unknown = [name for name in channels if name not in (*CHANNELS, MODEL_CHANNEL)]
        if unknown:
            raise OptionError(f"channel {unknown[0]!r}: expected {', '.join(CHANNELS)} or {MODEL_CHANNEL}")
        if "train" not in channels:
            raise OptionError("no channel train; expected the proteins to train on")
        pretrained = MODEL_CHANNEL in channels or "backbone_config" in self.hyperparameters
        if self.enable_network_isolation and not pretrained:
            raise OptionError("enable_network_isolation: give the pretrained model as channel model; no Hub is reached")
        for name, source in channels.items():
            if source.startswith("s3://"):
                aws.check_objects(self.session, source, f"channel {name}")
            elif not os.path.exists(source):
                raise OptionError(f"channel {name}: {source}: no such file; expected one, or an s3:// address")
            elif name in CHANNELS and os.path.isfile(source):
                self._check_proteins(source)
        return channels

    def _check_proteins(self, source: str) -> None:
        """Read the proteins as the job will: what it cannot use is told before a machine is paid for."""
        options = data_arguments(self.hyperparameters)
        columns = Columns(options.id_column, options.sequence_column, options.label_column, options.split_column)
        read_proteins(
            source, ambiguous=options.ambiguous, header_pattern=options.header_pattern, columns=columns
        )

    @contextmanager
    def trainer(self) -> Iterator["ModelTrainer"]:
        """A `ModelTrainer` whose source folder is there while the block is."""
        from sagemaker.core.shapes import MetricDefinition, Tag
        from sagemaker.core.training.configs import (
            CheckpointConfig,
            Compute,
            Networking,
            OutputDataConfig,
            SourceCode,
            StoppingCondition,
        )
        from sagemaker.train import ModelTrainer
        from sagemaker.train.distributed import Torchrun

        # the SDK would try the role's permissions on everything ("*"), and refuse one that may do only what it must
        os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")
        bucket = aws.default_bucket(self.session)
        checkpoints = self.checkpoint_s3_uri
        if checkpoints is None and self.use_spot_instances:
            now = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S%f")[:-3]
            checkpoints = f"s3://{bucket}/{aws.PREFIX}/{self.base_job_name}-{now}/checkpoints"
        with tempfile.TemporaryDirectory() as source, aws.told("prepare the training job"):
            write_job(source, self.package, self.wheels)
            trainer = ModelTrainer(
                sagemaker_session=self.session,
                role=self.role,
                base_job_name=self.base_job_name,
                input_s3_key_prefix=aws.PREFIX,
                training_image=self.image_uri
                or image_uri("training", self.instance_type, self.session.boto_region_name, self.image),
                source_code=SourceCode(
                    source_dir=source, entry_script=ENTRY, requirements=REQUIREMENTS, ignore_patterns=None
                ),
                distributed=Torchrun(process_count_per_node=self.processes_per_instance),
                compute=Compute(
                    instance_type=self.instance_type,
                    instance_count=self.instance_count,
                    volume_size_in_gb=self.volume_size,
                    enable_managed_spot_training=self.use_spot_instances,
                    keep_alive_period_in_seconds=self.keep_alive_period_in_seconds,
                    volume_kms_key_id=None if encrypts_itself(self.instance_type) else self.kms_key,
                ),
                networking=Networking(
                    subnets=list(self.subnets) or None,
                    security_group_ids=list(self.security_group_ids) or None,
                    enable_network_isolation=self.enable_network_isolation,
                    enable_inter_container_traffic_encryption=self.encrypt_inter_container_traffic,
                ),
                stopping_condition=StoppingCondition(
                    max_runtime_in_seconds=self.max_run,
                    max_wait_time_in_seconds=self.max_wait if self.use_spot_instances else None,
                ),
                output_data_config=OutputDataConfig(
                    s3_output_path=self.output_path or f"s3://{bucket}/{aws.PREFIX}", kms_key_id=self.kms_key
                ),
                checkpoint_config=None if checkpoints is None else CheckpointConfig(s3_uri=checkpoints),
                environment=self._container_environment(),
                hyperparameters=self._all_hyperparameters(),
                tags=[Tag(key=key, value=value) for key, value in self.tags.items()],
            ).with_metric_definitions([MetricDefinition(name=name, regex=regex) for name, regex in METRICS.items()])
            if checkpoints is not None:
                logger.info("checkpoints in %s; a job with this checkpoint_s3_uri goes on from them", checkpoints)
            try:
                yield trainer
            finally:
                if trainer._temp_code_dir is not None:  # the SDK leaves it behind where it fails
                    trainer._temp_code_dir.cleanup()

    def _container_environment(self) -> dict[str, str]:
        fixed = {"TOKENIZERS_PARALLELISM": "false", "PIP_QUIET": "1", "PIP_ROOT_USER_ACTION": "ignore"}
        if self.hub_token_secret is not None:
            fixed[SECRET] = self.hub_token_secret
        if self.enable_network_isolation:
            fixed["HF_HUB_OFFLINE"] = "1"
        return {**fixed, **self.environment}

    def _all_hyperparameters(self) -> dict[str, Any]:
        publish = {} if self.push_to_hub is None else {"push_to_hub": True, "hub_model_id": self.push_to_hub}
        return {**publish, **self.hyperparameters}

    def _check(self) -> None:
        if self.image_uri is None:
            check_instance(self.instance_type, "training")
        if not aws.NAME.fullmatch(self.base_job_name) or len(self.base_job_name) > 40:
            raise OptionError(f"job name {self.base_job_name!r}: expected up to 40 letters, digits and hyphens")
        for name in ("instance_count", "volume_size", "max_run"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)}: expected 1 or more")
        if self.max_run > LONGEST_RUN:
            raise OptionError(f"max_run={self.max_run}: expected at most {LONGEST_RUN} seconds, 28 days")
        if (self.keep_alive_period_in_seconds or 0) > LONGEST_KEPT:
            raise OptionError(f"machines are kept for at most {LONGEST_KEPT} seconds after a job; expected no more")
        if bool(self.subnets) != bool(self.security_group_ids):
            raise OptionError("a VPC needs both subnets and security_group_ids")
        if self.use_spot_instances and (self.max_wait or 0) < self.max_run:
            raise OptionError(f"max_wait={self.max_wait}: expected max_run ({self.max_run}) or more; it counts both")
        if self.use_spot_instances and self.keep_alive_period_in_seconds:
            raise OptionError("spot instances cannot be kept alive after a job; choose one of the two")
        for uri in (self.output_path, self.checkpoint_s3_uri):
            if uri is not None:
                aws.split_uri(uri)
        aws.check_environment(self.environment)
        aws.check_kms_key(self.kms_key)
        self._check_hub()
        if self.enable_network_isolation and self.wheels is None:
            raise OptionError(
                "enable_network_isolation: the job cannot install anything from an index; give wheels, a folder that "
                "'protbert-classify sagemaker wheels' writes"
            )

    def _check_hub(self) -> None:
        if self.push_to_hub is None:
            if self.hub_token_secret is not None:
                raise OptionError("hub_token_secret without push_to_hub: what should be published where?")
            return
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.push_to_hub):
            raise OptionError(f"push_to_hub={self.push_to_hub!r}: expected owner/name of a repository on the Hub")
        if self.enable_network_isolation:
            raise OptionError(
                "push_to_hub: under network isolation the job reaches neither the Hub nor Secrets Manager; download "
                "model.tar.gz when it has ended, and use 'protbert-classify push'"
            )
        if (self.hub_token_secret or "").startswith("hf_"):
            raise OptionError("hub_token_secret: that is a token, which nobody may see; expected the name of a secret")
        if self.hub_token_secret is None:
            raise OptionError("push_to_hub: give hub_token_secret, the name of the secret in AWS Secrets Manager")
