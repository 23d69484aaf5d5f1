"""The search of hyperparameters, with the SDK's tuner."""

import logging
from collections.abc import Mapping
from typing import Any

from sagemaker.core.instance_types_gpu_info import retrieve as gpus_of_region
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter, ParameterRange
from sagemaker.train.tuner import HyperparameterTuner

from ...errors import OptionError
from ..aws import PREFIX
from ..hosting import new_stamp
from ..refusals import told
from ..typed import whole
from .following import follow_tuning
from .hyperparameters import check_hyperparameters
from .model_trainer import METRICS, model_trainer
from .settings import Inputs, TrainingSettings

logger = logging.getLogger(__name__)

LONGEST_NAME = 32  # of a tuning job


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
        if values[0] >= values[1]:
            raise OptionError(f"range of {name}: found {values!r}; expected the lowest value first, then the highest")
        kind = IntegerParameter if all(isinstance(value, int) for value in values) else ContinuousParameter
        return kind(*values)
    raise OptionError(f"range of {name}: found {values!r}; expected (lowest, highest), or a list of values")


def _first(values: ParameterRange) -> Any:
    return values.values[0] if isinstance(values, CategoricalParameter) else values.min_value


def _last(values: ParameterRange) -> Any:
    return values.values[-1] if isinstance(values, CategoricalParameter) else values.max_value


def tune(
    settings: TrainingSettings,
    inputs: Inputs,
    ranges: Mapping[str, Any],
    objective: str,
    max_jobs: int,
    max_parallel_jobs: int,
    wait: bool,
    poll: float,
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
        poll: Seconds between two looks.
        options: Further ones of `sagemaker.train.tuner.HyperparameterTuner`.

    Returns:
        The tuner; `best_training_job()` names the best job, and `HuggingFaceEstimator.attach` takes it up.

    Raises:
        OptionError: An objective, a range, an option or a machine that cannot work.
        ProteinClassifierError: The tuning could not begin, or failed.
        KeyboardInterrupt: Ctrl-C; the text says how to stop what may continue.
    """
    whole("max_jobs", max_jobs)
    whole("max_parallel_jobs", max_parallel_jobs, most=max_jobs)
    if not ranges:
        raise OptionError("ranges: expected an option at least, with what to choose its values from")
    chosen = {name: _range(name, values) for name, values in ranges.items()}
    for example in (_first, _last):
        check_hyperparameters({name: example(values) for name, values in chosen.items()})
    for name, values in chosen.items():
        for value in getattr(values, "values", ()):
            check_hyperparameters({name: value})
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
            **options,
        )
        stamp = new_stamp()
        name = f"{settings.base_job_name[: LONGEST_NAME - len(stamp) - 1].rstrip('-')}-{stamp}"
        prefix = f"{PREFIX}/{name}/input"
        data = [  # the tuner would take a path of this machine for an address in S3
            trainer.create_input_data_channel(channel, source, key_prefix=prefix)
            for channel, source in channels.items()
        ]
        logger.info("tuning job %s; protbert-classify sagemaker status --job %s", name, name)
        try:
            tuner.tune(data, job_name=name, wait=False)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"the tuning job {name} may continue, and cost: {PREFIX} sagemaker delete --job {name} stops it"
            ) from None
    if wait:
        follow_tuning(settings.session, name, show=logger.info, poll=poll)
    return tuner
