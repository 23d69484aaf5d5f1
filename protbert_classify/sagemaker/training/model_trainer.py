"""The SDK's trainer for the settings of a job."""

import logging
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..aws import PREFIX, default_bucket
from ..container import SECRET
from ..images import image_uri
from ..packaging import ENTRY, REQUIREMENTS, write_job
from ..refusals import told
from ..tags import tag_list
from .settings import TrainingSettings

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.train import ModelTrainer

logger = logging.getLogger(__name__)

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


@contextmanager
def model_trainer(settings: TrainingSettings) -> Iterator["ModelTrainer"]:
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
    bucket = default_bucket(settings.session)
    protection = settings.protection
    name = f"{settings.base_job_name}-{secrets.token_hex(2)}"  # the SDK adds the second, which several jobs may share
    checkpoints = settings.checkpoint_s3_uri
    if checkpoints is None and settings.use_spot_instances:
        now = time.strftime("%Y%m%d%H%M%S", time.gmtime())
        checkpoints = f"s3://{bucket}/{PREFIX}/{name}-{now}/checkpoints"
    with tempfile.TemporaryDirectory() as source, told("prepare the training job"):
        write_job(source, settings.package, settings.wheels)
        trainer = ModelTrainer(
            sagemaker_session=settings.session,
            role=settings.role,
            base_job_name=name,
            input_s3_key_prefix=PREFIX,
            training_image=settings.image_uri
            or image_uri("training", settings.instance_type, settings.session.boto_region_name, settings.image),
            source_code=SourceCode(
                source_dir=source, entry_script=ENTRY, requirements=REQUIREMENTS, ignore_patterns=None
            ),
            distributed=Torchrun(process_count_per_node=settings.processes_per_instance),
            compute=Compute(
                instance_type=settings.instance_type,
                instance_count=settings.instance_count,
                volume_size_in_gb=settings.volume_size,
                enable_managed_spot_training=settings.use_spot_instances,
                keep_alive_period_in_seconds=settings.keep_alive_period_in_seconds,
                volume_kms_key_id=protection.volume_key(settings.instance_type),
            ),
            networking=Networking(
                subnets=list(protection.subnets) or None,
                security_group_ids=list(protection.security_group_ids) or None,
                enable_network_isolation=protection.network_isolation,
                enable_inter_container_traffic_encryption=settings.encrypt_inter_container_traffic,
            ),
            stopping_condition=StoppingCondition(
                max_runtime_in_seconds=settings.max_run,
                max_wait_time_in_seconds=settings.longest_wait,
            ),
            output_data_config=OutputDataConfig(
                s3_output_path=settings.output_path or f"s3://{bucket}/{PREFIX}", kms_key_id=protection.kms_key
            ),
            checkpoint_config=None if checkpoints is None else CheckpointConfig(s3_uri=checkpoints),
            environment=_environment(settings),
            hyperparameters=_hyperparameters(settings),
            tags=[Tag(key=tag["Key"], value=tag["Value"]) for tag in tag_list(settings.tags)],
        ).with_metric_definitions([MetricDefinition(name=name, regex=regex) for name, regex in METRICS.items()])
        if checkpoints is not None:
            logger.info("checkpoints in %s; a job with this checkpoint_s3_uri resumes from them", checkpoints)
        try:
            yield trainer
        finally:
            if trainer._temp_code_dir is not None:  # the SDK leaves it behind where it fails
                trainer._temp_code_dir.cleanup()


def start(session: "Session", trainer: "ModelTrainer", channels: Mapping[str, str]) -> str:
    """Start the job of a trainer.

    Returns:
        Its name.

    Raises:
        KeyboardInterrupt: Ctrl-C; the text says whether AWS has the job already.
    """
    from sagemaker.core.training.configs import InputData

    data = [InputData(channel_name=name, data_source=source) for name, source in channels.items()]
    try:
        # without the decorator that tells AWS of its use: that one swallows a Ctrl-C
        type(trainer).train.__wrapped__(trainer, input_data_config=data, wait=False, logs=False)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_what_runs(session, str(trainer.base_job_name))) from None
    return str(trainer._latest_training_job.training_job_name)


def _what_runs(session: "Session", base: str) -> str:
    """What is left of a job whose start was interrupted."""
    to_see = f"{PREFIX} sagemaker status"
    try:
        client = session.boto_session.client("sagemaker")
        found = client.list_training_jobs(NameContains=base)["TrainingJobSummaries"]
    except Exception:  # whatever it is: the user must be told of what costs
        return f"a job {base}-... may run, and cost; {to_see} shows it"
    if not found:
        return f"AWS has no job of it; {to_see} shows if that changes"
    name = found[0]["TrainingJobName"]
    return f"the training job {name} runs, and costs until it ends; {PREFIX} sagemaker delete --job {name} stops it"


def _environment(settings: TrainingSettings) -> dict[str, str]:
    fixed = {"TOKENIZERS_PARALLELISM": "false", "PIP_QUIET": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if settings.hub_token_secret is not None:
        fixed[SECRET] = settings.hub_token_secret
    if settings.protection.network_isolation:
        fixed["HF_HUB_OFFLINE"] = "1"
    return {**fixed, **settings.environment}


def _hyperparameters(settings: TrainingSettings) -> dict[str, Any]:
    publish = {} if settings.push_to_hub is None else {"push_to_hub": True, "hub_model_id": settings.push_to_hub}
    return {**publish, **settings.hyperparameters}
