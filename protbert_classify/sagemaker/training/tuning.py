"""The search of hyperparameters, with the SDK's tuner."""

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from sagemaker.core.instance_types_gpu_info import retrieve as gpus_of_region
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter, ParameterRange
from sagemaker.train.tuner import HyperparameterTuner

from ...errors import OptionError
from ..aws import PREFIX
from ..refusals import told
from .hyperparameters import check_hyperparameters
from .model_trainer import METRICS, model_trainer
from .settings import TrainingSettings

logger = logging.getLogger(__name__)


class _Tuner(HyperparameterTuner):
    """The SDK's tuner, with what version 3.27 drops of a trainer's security."""

    def _build_training_job_definition(self, inputs: Any) -> Any:
        definition = super()._build_training_job_definition(inputs)
        networking, compute = self.model_trainer.networking, self.model_trainer.compute
        definition.enable_network_isolation = networking.enable_network_isolation
        definition.enable_inter_container_traffic_encryption = networking.enable_inter_container_traffic_encryption
        if compute.volume_kms_key_id:
            definition.resource_config.volume_kms_key_id = compute.volume_kms_key_id
        return definition


def _range(name: str, values: Any) -> ParameterRange:
    if isinstance(values, ParameterRange):
        return values
    if isinstance(values, list) and values:
        return CategoricalParameter([str(value) for value in values])
    if isinstance(values, tuple) and len(values) == 2 and all(isinstance(value, int | float) for value in values):
        kind = IntegerParameter if all(isinstance(value, int) for value in values) else ContinuousParameter
        return kind(*values)
    raise OptionError(f"range of {name}: found {values!r}; expected (lowest, highest), or a list of values")


def _example(values: ParameterRange) -> Any:
    return values.values[0] if isinstance(values, CategoricalParameter) else values.min_value


def tune(
    settings: TrainingSettings,
    inputs: str | Mapping[str, str],
    ranges: Mapping[str, Any],
    objective: str,
    max_jobs: int,
    max_parallel_jobs: int,
    wait: bool,
    **options: Any,
) -> HyperparameterTuner:
    """Run training jobs that differ in their hyperparameters, each on one process.

    The service starts the jobs of a tuning by its own way, which runs one process a machine: one GPU is used.

    Args:
        settings: Of the jobs.
        inputs: As for `HuggingFaceEstimator.fit`.
        ranges: Option -> (lowest, highest), a list of values to choose from, or a `ContinuousParameter`,
            `IntegerParameter` or `CategoricalParameter` of `sagemaker.core.parameter`.
        objective: One of the metrics of a job; a loss is minimised, all others are maximised.
        max_jobs: Trainings in all.
        max_parallel_jobs: Trainings at once.
        wait: Until the last one has ended.
        options: Further ones of `sagemaker.train.tuner.HyperparameterTuner`.

    Returns:
        The tuner; `best_training_job()` names the best job, and `HuggingFaceEstimator.attach` takes it up.

    Raises:
        OptionError: An objective, an option or a machine that cannot work.
    """
    if objective not in METRICS:
        raise OptionError(f"objective {objective!r}: expected one of {', '.join(METRICS)}")
    if settings.checkpoint_s3_uri is not None or settings.use_spot_instances:
        raise OptionError("the jobs of a tuning would share their checkpoints; tune without spot and checkpoints")
    gpus = gpus_of_region(settings.session.boto_region_name).get(settings.instance_type, {}).get("Count", 0)
    if settings.instance_count > 1 or gpus > 1:
        raise OptionError(
            f"{settings.instance_count} x {settings.instance_type}: the jobs of a tuning run one process each; choose "
            "one machine with one GPU, such as ml.g5.2xlarge"
        )
    chosen = {name: _range(name, values) for name, values in ranges.items()}
    check_hyperparameters({name: _example(values) for name, values in chosen.items()})
    channels = settings.channels(inputs)
    logger.info("%d jobs, %d at once, each %s", max_jobs, max_parallel_jobs, settings.cost())
    with model_trainer(settings) as trainer, told("start the tuning job"):
        trainer.base_job_name = PREFIX  # here of the keys of what the SDK uploads; the policies allow no other
        tuner = _Tuner(
            trainer,
            objective,
            chosen,
            metric_definitions=[{"Name": name, "Regex": regex} for name, regex in METRICS.items()],
            objective_type="Minimize" if objective.endswith("loss") else "Maximize",
            max_jobs=max_jobs,
            max_parallel_jobs=max_parallel_jobs,
            base_tuning_job_name=settings.base_job_name[:17],
            **options,
        )
        now = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S")
        prefix = f"{PREFIX}/{settings.base_job_name}-{now}/input"
        data = [  # the tuner would take a path of this machine for an address in S3
            trainer.create_input_data_channel(name, source, key_prefix=prefix) for name, source in channels.items()
        ]
        tuner.tune(data, wait=wait)
    return tuner
