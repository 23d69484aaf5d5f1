"""Jobs that run in the cloud: followed until they end, with their log, and told about in one line."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import ProteinClassifierError
from ..jobs import Job, describe_job
from ..refusals import told

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

logger = logging.getLogger(__name__)

POLL = 10.0  # seconds between two looks at a job
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
ENDED = ("Completed", "Failed", "Stopped")


class Log:
    """The lines that a job has written to CloudWatch since one last looked.

    Args:
        client: Of CloudWatch Logs.
        group: Such as `/aws/sagemaker/TrainingJobs`.
        job: Its streams begin with this name; there is one a machine.
    """

    def __init__(self, client: Any, group: str, job: str) -> None:
        self.client, self.group, self.job = client, group, job
        self.tokens: dict[str, str] = {}

    def lines(self) -> Iterator[str]:
        """What is new; nothing while the log does not exist yet."""
        from botocore.exceptions import ClientError

        try:
            streams = self.client.describe_log_streams(logGroupName=self.group, logStreamNamePrefix=f"{self.job}/")
            names = [stream["logStreamName"] for stream in streams["logStreams"]]
            for name in names:
                machine = f"[{name.rsplit('/', 1)[1].rsplit('-', 1)[0]}] " if len(names) > 1 else ""
                for event in self._events(name):
                    yield machine + event["message"].rstrip()
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise

    def _events(self, stream: str) -> Iterator[dict[str, Any]]:
        while True:
            more = {"nextToken": self.tokens[stream]} if stream in self.tokens else {}
            page = self.client.get_log_events(logGroupName=self.group, logStreamName=stream, startFromHead=True, **more)
            yield from page["events"]
            if page["nextForwardToken"] == self.tokens.get(stream) or not page["events"]:
                return
            self.tokens[stream] = page["nextForwardToken"]


class Outcome(NamedTuple):
    """How a training job ended.

    Args:
        name: Of the job.
        status: `Completed` or `Stopped`.
        model_data: Address of its model.tar.gz; None if it has none.
        metrics: Name -> last value, as the job's metric definitions found them.
        billable_seconds: Paid for, on each machine; less than the training took where spot instances save.
    """

    name: str
    status: str
    model_data: str | None
    metrics: dict[str, float]
    billable_seconds: int | None


def follow(session: "Session", name: str, *, show: Callable[[str], None] | None = None, poll: float = POLL) -> Outcome:
    """Wait for the end of a training job.

    Args:
        session: Of the SDK.
        name: Of the job.
        show: Is given each line of the log, and each change of the job's state.
        poll: Seconds between two looks.

    Raises:
        ProteinClassifierError: It failed; the line has SageMaker's reason.
        KeyboardInterrupt: Ctrl-C; the job continues, and the text says how to stop it.
    """
    client = session.boto_session.client("sagemaker")
    log = Log(session.boto_session.client("logs"), LOG_GROUP, name)
    state = None
    try:
        while True:
            with told(f"look at the training job {name}"):
                job = client.describe_training_job(TrainingJobName=name)
                lines = list(log.lines()) if show is not None else []
            states = dict.fromkeys((job["TrainingJobStatus"], job.get("SecondaryStatus", "")))
            now = f"{name}: {', '.join(filter(None, states))}"
            if show is not None:
                for line in [*lines, now] if now != state else lines:
                    show(line)
            state = now
            if job["TrainingJobStatus"] in ENDED:
                return _outcome(name, job)
            time.sleep(poll)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_goes_on("training", name)) from None


def follow_tuning(
    session: "Session", name: str, *, show: Callable[[str], None] | None = None, poll: float = POLL
) -> Job:
    """Wait for the end of a tuning job and of its trainings.

    Args:
        session: Of the SDK.
        name: Of the job.
        show: Is given each change of the job's state: how many trainings are done, and which is the best.
        poll: Seconds between two looks.

    Raises:
        ProteinClassifierError: It failed; the line has SageMaker's reason.
        KeyboardInterrupt: Ctrl-C; the job continues, and the text says how to stop it.
    """
    state = None
    try:
        while True:
            job = describe_job(session, name)
            now = f"{name}: {', '.join(filter(None, (job.status, job.detail)))}"
            if show is not None and now != state:
                show(now)
            state = now
            if job.status in ENDED:
                break
            time.sleep(poll)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_goes_on("tuning", name)) from None
    if job.status == "Failed":
        raise ProteinClassifierError(f"the tuning job {name} failed: {job.detail}")
    return job


def _goes_on(kind: str, name: str) -> str:
    return (
        f"the {kind} job {name} runs, and costs until it ends: protbert-classify sagemaker status --job {name} shows"
        f" it, protbert-classify sagemaker delete --job {name} stops it"
    )


def _outcome(name: str, job: dict[str, Any]) -> Outcome:
    if job["TrainingJobStatus"] == "Failed":
        reason = " ".join(str(job.get("FailureReason", "no reason given")).split())
        raise ProteinClassifierError(
            f"the training job {name} failed: {reason[:600]}; its log: CloudWatch, {LOG_GROUP}, {name}"
        )
    return Outcome(
        name,
        job["TrainingJobStatus"],
        job.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        {metric["MetricName"]: metric["Value"] for metric in job.get("FinalMetricDataList", [])},
        job.get("BillableTimeInSeconds"),
    )
