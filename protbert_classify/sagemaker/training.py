"""Training jobs, with the verbs of SageMaker's Hugging Face estimator, over `ModelTrainer` of SDK version 3.

The options of a job travel in a file that `packaging.py` writes.
"""

import logging
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple

from ..data.column_names import ColumnNames
from ..data.loading import read_proteins
from ..errors import OptionError, ProteinClassifierError
from ..training.options import check_options, write_options_file
from .container import CHANNELS, MODEL_CHANNEL, SECRET
from .endpoint import deploy
from .images import Purpose
from .machines import SECRET_NAME, Machines
from .packaging import ENTRY, OPTIONS, REQUIREMENTS, write_job
from .predictor import Predictor
from .session import PREFIX, Session, check_bucket, home, if_there, list_keys, new_name, translate_errors
from .status import failure, watch
from .transform import Transformer

logger = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
SET_BY_JOB = {  # options of `train` -> where a job has them from
    **dict.fromkeys(CHANNELS.values(), "the data of a job are channels; give them to fit"),
    **dict.fromkeys(("output_dir", "resume", "overwrite"), "leave it out; a job resumes from checkpoint_s3_uri"),
}
# fields that hold for what is deployed from a training, too
SHARED = ("role", "session", "kms_key", "subnets", "security_group_ids", "network_isolation", "tags")
_NUMBER = r"([-+0-9.eE]+)"
METRICS = {  # name in CloudWatch -> what the log of a training says
    "train:loss": rf": loss {_NUMBER}",
    "validation:loss": rf": validation loss {_NUMBER}",
    "validation:accuracy": rf": validation loss .*, accuracy {_NUMBER}",
    "validation:mcc": rf": validation loss .*, MCC {_NUMBER}",
    "validation:macro_f1": rf": validation loss .*, macro F1 {_NUMBER}",
    "test:accuracy": r"^test: .* accuracy ([0-9.]+)",
    "test:mcc": r"^test: .* MCC (-?[0-9.]+)",
    "test:macro_f1": r"^test: .* macro F1 ([0-9.]+)",
}
Inputs = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]


class Outcome(NamedTuple):
    """How a training job ended."""

    name: str
    status: str  # Completed or Stopped
    model_data: str | None  # address of its model.tar.gz
    metrics: dict[str, float]  # name -> last value, see METRICS
    billable_seconds: int | None  # of each machine


@dataclass(kw_only=True)
class HuggingFaceEstimator(Machines):
    """Fine-tune a classifier on SageMaker: `fit`, then `deploy` or `transformer`.

    A job has a copy of this package and runs the training that `protbert-classify train` runs here, with torchrun on
    all GPUs of all its machines.

    Its other arguments are those of [`Machines`]. Of these, role, key, network and tags hold for what is deployed from
    it, too. An isolated job requires `image_uri`, an image that has this package's requirements.

    Args:
        hyperparameters: Options of `protbert-classify train`.
        base_job_name: The beginning of the job's name.
        output_path: Where model.tar.gz goes, `s3://bucket/prefix`; in the session's bucket if None.
        volume_size: GiB of a machine's disk.
        max_run: Seconds that a job may compute.
        use_spot_instances: Use cheaper machines that AWS may take back; the job resumes from its last checkpoint.
        max_wait: Seconds that a job on spot instances may take, waiting included; twice `max_run` if None.
        checkpoint_s3_uri: Where checkpoints are kept; a job resumes from those that are there. If None, a job on spot
            instances has a folder of its own, and others keep none.
        keep_alive_period_in_seconds: Keep the machines, billed, for the next job.
        processes_per_instance: One for each GPU if None.
        encrypt_inter_container_traffic: Encrypt the traffic between the machines of a job.
        package: A requirement (`protbert_classify==0.1.0`) in place of a copy of what is installed here.
        push_to_hub: Repository on the Hugging Face Hub (`me/my-classifier`) to which the job publishes its model.
        hub_token_secret: Name of the secret in AWS Secrets Manager with the Hub's token; the job reads it.

    Raises:
        OptionError: What cannot work, before anything is sent.
    """

    purpose: ClassVar[Purpose] = "training"

    role: str | None = field(default=None, kw_only=False)
    instance_type: str = "ml.g5.2xlarge"
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    base_job_name: str = PREFIX
    output_path: str | None = None
    volume_size: int = 100
    max_run: int = 24 * 3600
    use_spot_instances: bool = False
    max_wait: int | None = None
    checkpoint_s3_uri: str | None = None
    keep_alive_period_in_seconds: int | None = None
    processes_per_instance: int | None = None
    encrypt_inter_container_traffic: bool = True
    package: str | None = None
    push_to_hub: str | None = None
    hub_token_secret: str | None = None
    job_name: str | None = field(init=False, default=None)
    outcome: Outcome | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._options = self._checked_options()
        isolated, spot, secret = self.network_isolation, self.use_spot_instances, self.hub_token_secret
        if self.max_wait is not None and not spot:
            raise OptionError("max_wait: requires use_spot_instances; only spot instances are waited for")
        if self.max_wait is not None and self.max_wait < self.max_run:
            raise OptionError(f"max_wait={self.max_wait}: expected max_run ({self.max_run}) or more; it includes both")
        if spot and self.keep_alive_period_in_seconds:
            raise OptionError("spot instances cannot be kept alive after a job; choose one of the two")
        if isolated and self.image_uri is None:
            raise OptionError("network isolation: AWS' image could not install our requirements; give image_uri")
        if isolated and self.push_to_hub:
            raise OptionError("push_to_hub: an isolated job does not reach the Hub; use 'protbert-classify push' later")
        if secret and not self.push_to_hub:
            raise OptionError("hub_token_secret requires push_to_hub, the repository to publish to")
        if self.push_to_hub and (not secret or secret.startswith("hf_")):
            raise OptionError("push_to_hub: give hub_token_secret, the name of a secret in AWS Secrets Manager")
        super().__post_init__()
        for uri in (self.output_path, self.checkpoint_s3_uri):
            check_bucket(self.session, uri)

    def fit(self, inputs: Inputs, *, wait: bool = True, logs: bool = True) -> str:
        """Run a training job, and return its name.

        Args:
            inputs: The proteins: a file here or in S3; or channels, of `train`, `validation`, `test` (each one file)
                and `model` (a pretrained one: its folder, or a model.tar.gz).
            wait: Wait until it has ended.
            logs: Show its log meanwhile.

        Raises:
            InputError: Inputs that do not exist, or proteins that cannot be read.
            ProteinClassifierError: The job could not start, or failed.
            KeyboardInterrupt: Ctrl-C; the job, if it has started, continues.
        """
        channels = self._channels(inputs)
        kept = self.keep_alive_period_in_seconds
        after = f"then kept and billed for {kept / 60:.0f} more minutes" if kept else "it ends by itself"
        machines = f"{self.instance_count} x {self.instance_type}{', spot' if self.use_spot_instances else ''}"
        logger.info("%s for at most %g hours; %s", machines, self.max_run / 3600, after)
        with tempfile.TemporaryDirectory() as source, translate_errors("start the training job"):
            write_job(source, self._options, self.package)
            self.attach(self._start(source, channels))
        logger.info("training job %s; protbert-classify sagemaker status --job %s", self.job_name, self.job_name)
        if wait:
            self.wait(logs=logs)
        return str(self.job_name)

    def attach(self, job_name: str) -> "HuggingFaceEstimator":
        """Use a training job that was started elsewhere; `wait`, `model_data` and `deploy` are then of that job."""
        self.job_name, self.outcome = job_name, None
        return self

    def wait(self, *, logs: bool = True) -> Outcome:
        """Wait for the end of the job, and log its status and its own log meanwhile.

        Raises:
            ProteinClassifierError: It failed; the message has SageMaker's reason.
            KeyboardInterrupt: Ctrl-C; the job continues, and the message says how to stop it.
        """
        if self.job_name is None:
            raise OptionError("no training job yet; fit starts one")
        name, lines, before = self.job_name, log_lines(self.session, self.job_name), ""
        try:
            for job in watch(self.session, "TrainingJob", name):
                status = job["TrainingJobStatus"]
                state = f"{name}: {', '.join(dict.fromkeys((status, job.get('SecondaryStatus', status))))}"
                for line in [*next(lines), *([state] if state != before else [])] if logs else []:
                    logger.info("%s", line)
                before = state
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"the training job {name} continues, and costs until it ends: {PREFIX} sagemaker status --job {name} "
                f"shows it, {PREFIX} sagemaker delete --job {name} stops it"
            ) from None
        if status == "Failed":
            raise failure("TrainingJob", job)
        if status == "Stopped":
            logger.warning("%s was stopped, or reached max_run, before its model was written", name)
        metrics = {metric["MetricName"]: metric["Value"] for metric in job.get("FinalMetricDataList", [])}
        model = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        self.outcome = Outcome(name, status, model, metrics, job.get("BillableTimeInSeconds"))
        return self.outcome

    @property
    def model_data(self) -> str:
        """Address of the model.tar.gz of the last job.

        Raises:
            ProteinClassifierError: The job failed, or left none.
        """
        outcome = self.outcome or self.wait(logs=False)
        if outcome.status != "Completed" or outcome.model_data is None:
            raise ProteinClassifierError(
                f"the training job {outcome.name} ({outcome.status}) left no model; if it kept checkpoints, a job with "
                "their checkpoint_s3_uri resumes from them"
            )
        return outcome.model_data

    def deploy(self, **options: Any) -> Predictor:
        """Create an endpoint for the trained model; see [`deploy`]."""
        return deploy(self.model_data, **{**{name: getattr(self, name) for name in SHARED}, **options})

    def transformer(self, **options: Any) -> Transformer:
        """Batch transform with the trained model; see [`Transformer`]."""
        return Transformer(self.model_data, **{**{name: getattr(self, name) for name in SHARED}, **options})

    def _checked_options(self) -> dict[str, Any]:
        """The options of `train`, read here as the job will read them."""
        for name in self.hyperparameters:
            if name in SET_BY_JOB:
                raise OptionError(f"hyperparameter {name}: {SET_BY_JOB[name]}")
            if SECRET_NAME.search(name):
                raise OptionError(f"hyperparameter {name}: a secret would travel with the job; see hub_token_secret")
        publish = {} if self.push_to_hub is None else {"push_to_hub": True, "hub_model_id": self.push_to_hub}
        options = {**publish, **self.hyperparameters}
        with tempfile.TemporaryDirectory() as folder:
            write_options_file(os.path.join(folder, OPTIONS), options)
            self._parsed = check_options(os.path.join(folder, OPTIONS))
        return options

    def _channels(self, inputs: Inputs) -> dict[str, str]:
        """The inputs of `fit`, each checked where it is."""
        named = dict(inputs) if isinstance(inputs, Mapping) else {"train": inputs}
        channels = {name: os.fspath(source) for name, source in named.items()}
        unknown = [name for name in channels if name not in (*CHANNELS, MODEL_CHANNEL)]
        if unknown or "train" not in channels:
            found = f"channel {unknown[0]!r}" if unknown else "no channel train"
            raise OptionError(f"{found}: expected train and, if you have them, validation, test and {MODEL_CHANNEL}")
        if self.network_isolation and not {MODEL_CHANNEL, "backbone_config"} & {*channels, *self._options}:
            raise OptionError("network isolation: the job does not reach the Hub; give a pretrained model as a channel")
        for name, source in channels.items():
            if source.startswith("s3://"):
                keys = list_keys(self.session, source, f"channel {name}")
                if name in CHANNELS and len(keys) > 1:
                    raise OptionError(
                        f"channel {name}: several objects begin with {source} ({', '.join(keys)}); expected one"
                    )
            elif not os.path.exists(source):
                raise OptionError(f"channel {name}: {source}: no such file; expected one, or an s3:// address")
            elif name in CHANNELS and os.path.isdir(source):
                raise OptionError(f"{source}: found a folder; expected one file of proteins")
            elif name in CHANNELS:  # read as the job will, before a machine is billed
                columns, given = ColumnNames.from_options(self._parsed), self._parsed
                read_proteins(source, ambiguous=given.ambiguous, header_pattern=given.header_pattern, columns=columns)
        return channels

    def _start(self, source: str, channels: Mapping[str, str]) -> str:
        trainer = self._trainer(source, channels)
        try:
            # without the decorator that reports to AWS: it swallows a Ctrl-C
            type(trainer).train.__wrapped__(trainer, wait=False, logs=False)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"a job {trainer.base_job_name}-... may run, and cost; protbert-classify sagemaker status shows it"
            ) from None
        finally:
            if trainer._temp_code_dir is not None:  # the SDK leaves it behind where it fails
                trainer._temp_code_dir.cleanup()
        return str(trainer._latest_training_job.training_job_name)

    def _trainer(self, source: str, channels: Mapping[str, str]) -> Any:
        """The SDK's trainer with the job's request."""
        from sagemaker.core.shapes import MetricDefinition, Tag
        from sagemaker.core.training import configs
        from sagemaker.train import ModelTrainer
        from sagemaker.train.distributed import Torchrun

        # the SDK would test the role on every permission ("*"), and refuse one that has only what it needs
        os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")
        checkpoints = self.checkpoint_s3_uri
        if checkpoints is None and self.use_spot_instances:
            checkpoints = f"{home(self.session)}/{new_name(self.base_job_name)}/checkpoints"
        if checkpoints is not None:
            logger.info("checkpoints in %s; a job with this checkpoint_s3_uri resumes from them", checkpoints)
        longest = self.max_wait or 2 * self.max_run if self.use_spot_instances else None
        environment = {"TOKENIZERS_PARALLELISM": "false", "PIP_QUIET": "1", "PIP_ROOT_USER_ACTION": "ignore"}
        if self.hub_token_secret is not None:
            environment[SECRET] = self.hub_token_secret
        if self.network_isolation:
            environment["HF_HUB_OFFLINE"] = "1"
        return ModelTrainer(
            sagemaker_session=self.session,
            role=self.role,
            # the SDK adds the second, which several jobs may share
            base_job_name=f"{self.base_job_name}-{secrets.token_hex(2)}",
            input_s3_key_prefix=PREFIX,
            training_image=self.image_uri,
            source_code=configs.SourceCode(
                source_dir=source,
                entry_script=ENTRY,
                requirements=None if self.network_isolation else REQUIREMENTS,
                ignore_patterns=None,
            ),
            input_data_config=[
                configs.InputData(channel_name=name, data_source=data) for name, data in channels.items()
            ],
            distributed=Torchrun(process_count_per_node=self.processes_per_instance),
            compute=configs.Compute(
                instance_type=self.instance_type,
                instance_count=self.instance_count,
                volume_size_in_gb=self.volume_size,
                enable_managed_spot_training=self.use_spot_instances,
                keep_alive_period_in_seconds=self.keep_alive_period_in_seconds,
                volume_kms_key_id=self.volume_key,
            ),
            networking=configs.Networking(
                subnets=list(self.subnets) or None,
                security_group_ids=list(self.security_group_ids) or None,
                enable_network_isolation=self.network_isolation,
                enable_inter_container_traffic_encryption=self.encrypt_inter_container_traffic,
            ),
            stopping_condition=configs.StoppingCondition(
                max_runtime_in_seconds=self.max_run, max_wait_time_in_seconds=longest
            ),
            output_data_config=configs.OutputDataConfig(
                s3_output_path=self.output_path or home(self.session), kms_key_id=self.kms_key
            ),
            checkpoint_config=None if checkpoints is None else configs.CheckpointConfig(s3_uri=checkpoints),
            environment={**environment, **(self.environment or {})},
            tags=[Tag(key=tag["Key"], value=tag["Value"]) for tag in self.tag_list],
        ).with_metric_definitions([MetricDefinition(name=name, regex=regex) for name, regex in METRICS.items()])


def log_lines(session: Session, name: str) -> Iterator[list[str]]:
    """The lines that were added to the log of a job since the last look, from all its machines."""
    pages = session.boto_session.client("logs").get_paginator("filter_log_events")
    seen: dict[str, int] = {}  # id of an event -> its time
    while True:
        since = max(seen.values(), default=0)
        found = pages.paginate(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/", startTime=since)
        with translate_errors(f"read the log of {name}"):
            events: list[Any] = if_there(partial(list, found.search("events[]"))) or []  # or there is no log yet
        lines = []
        for event in events:
            job, _, machine = event["logStreamName"].rpartition("/")  # JOB/algo-1-1764000000
            if job == name and event["eventId"] not in seen:
                seen[event["eventId"]] = event["timestamp"]
                lines.append(f"[{machine.rpartition('-')[0]}] {event['message'].rstrip()}")
        yield lines
