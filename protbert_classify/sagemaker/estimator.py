"""Training on SageMaker, with the verbs of its Hugging Face estimator, over `ModelTrainer` of SDK version 3."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, ProteinClassifierError
from .jobs import describe_job
from .refusals import told
from .training.following import POLL, Outcome, follow
from .training.model_trainer import model_trainer, start
from .training.settings import Inputs, TrainingSettings

if TYPE_CHECKING:
    from sagemaker.train.tuner import HyperparameterTuner

    from .deployment import Predictor
    from .transformer import Transformer

logger = logging.getLogger(__name__)


@dataclass
class HuggingFaceEstimator(TrainingSettings):
    """Fine-tune a classifier on SageMaker: `fit`, then `deploy` or `transformer`.

    A job installs a wheel of this package and runs the training that `protbert-classify train` runs here, with torchrun
    on all GPUs of all its machines. Its arguments are those of [`TrainingSettings`].
    """

    outcome: Outcome | None = field(init=False, default=None)
    job_name: str | None = field(init=False, default=None)

    def fit(self, inputs: Inputs, *, wait: bool = True, logs: bool = True, poll: float = POLL) -> str:
        """Run a training job.

        Args:
            inputs: The proteins: a file here or in S3; or channels, of `train`, `validation`, `test` (each one file)
                and `model` (a pretrained one: its folder, or a model.tar.gz).
            wait: Until it has ended.
            logs: Show its log meanwhile.
            poll: Seconds between two looks at it.

        Returns:
            The name of the job.

        Raises:
            OptionError: Inputs that are not there.
            ProteinClassifierError: The job could not begin, or failed.
            KeyboardInterrupt: Ctrl-C; the text says whether a job runs, and how to stop it.
        """
        channels = self.channels(inputs)
        logger.info("%s", self.cost())
        with model_trainer(self) as trainer, told("start the training job"):
            self.job_name = start(self.session, trainer, channels)
        logger.info("training job %s; protbert-classify sagemaker status --job %s", self.job_name, self.job_name)
        self.outcome = None
        if wait:
            self.wait(logs=logs, poll=poll)
        return self.job_name

    def wait(self, *, logs: bool = True, poll: float = POLL) -> Outcome:
        """Wait for the end of the job that `fit` began.

        Raises:
            ProteinClassifierError: It failed.
        """
        self.outcome = follow(self.session, self._job(), show=logger.info if logs else None, poll=poll)
        if self.outcome.status == "Stopped":
            logger.warning("%s was stopped, or reached max_run, before its model was written", self.job_name)
        return self.outcome

    @property
    def model_data(self) -> str:
        """Where the model.tar.gz of the last job is.

        Raises:
            ProteinClassifierError: The job has not ended, or left none.
        """
        outcome = self.outcome or self.wait(logs=False)
        if outcome.status != "Completed" or outcome.model_data is None:
            raise ProteinClassifierError(
                f"the training job {outcome.name} ({outcome.status}) left no model; one with the checkpoint_s3_uri of "
                "its checkpoints, if it kept any, resumes from them"
            )
        return outcome.model_data

    def deploy(self, **options: Any) -> "Predictor":
        """An endpoint for the trained model; options are those of `sagemaker.deploy`, security from the training."""
        from .deployment import deploy

        return deploy(self.model_data, **{**self._security(), **options})

    def transformer(self, **options: Any) -> "Transformer":
        """Batch transform with the trained model; options are those of `Transformer`, security from the training."""
        from .transformer import Transformer

        return Transformer(self.model_data, **{**self._security(), **options})

    def tune(
        self,
        inputs: Inputs,
        ranges: Mapping[str, Any],
        *,
        objective: str = "validation:mcc",
        max_jobs: int = 10,
        max_parallel_jobs: int = 2,
        wait: bool = True,
        poll: float = POLL,
        **options: Any,
    ) -> "HyperparameterTuner":
        """Search hyperparameters with the SDK's tuner; see `tuning.tune`."""
        from .training.tuning import tune

        return tune(self, inputs, ranges, objective, max_jobs, max_parallel_jobs, wait, poll, **options)

    def attach(self, job_name: str) -> "HuggingFaceEstimator":
        """Take up a training job that was begun elsewhere.

        Raises:
            OptionError: There is none of this name, or it is another kind of job.
        """
        kind = describe_job(self.session, job_name).kind
        if kind != "training":
            raise OptionError(f"job {job_name}: found a {kind} job; expected a training job")
        self.job_name, self.outcome = job_name, None
        return self

    def _job(self) -> str:
        if self.job_name is None:
            raise OptionError("no training job yet; fit begins one")
        return self.job_name

    def _security(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "session": self.session,
            "protection": self.protection,
            "tags": self.tags,
        }
