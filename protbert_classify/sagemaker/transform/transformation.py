"""A job of batch transform that was started: waited for, by whichever process, and its answers made a table."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from ...errors import OptionError, ProteinClassifierError
from ...inference.parts_folder import PartsFolder
from ...inference.streaming import PredictionSummary, Rejects, publish
from ...inference.writers import Column, table_for
from ..aws import PREFIX
from ..calls import delete_if_there, failure_reason, found
from ..refusals import told
from ..s3 import download
from .spool import Spool, part_name

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

logger = logging.getLogger(__name__)

POLL = 30.0  # seconds between two looks
MAX_WAIT = 5 * 86400.0  # seconds; SageMaker has no longer jobs
LOG = "/aws/sagemaker/TransformJobs"
JOB = "job.json"


class JobFailed(ProteinClassifierError):
    """A job did not complete."""


class Transformation:
    """A job of batch transform that was started.

    Args:
        session: With AWS.
        job: Its name, which is that of its model, too.
        output: The table that it makes; what was sent is beside it.
        counts: Proteins of each part.
        rejected: Records that were not sent.
        poll: Seconds between two looks.
    """

    def __init__(
        self, session: "Session", job: str, output: str, counts: Sequence[int], rejected: int, poll: float = POLL
    ) -> None:
        self.session, self.job, self.output = session, job, output
        self.counts, self.rejected, self.poll = counts, rejected, poll
        self.spool = Spool(PartsFolder(output).folder)
        self.client = session.sagemaker_client

    def remember(self) -> None:
        """Let another process continue; see [`attach_transform`]."""
        with open(os.path.join(self.spool.folder, JOB), "w", encoding="utf-8") as file:
            json.dump({"job": self.job, "counts": [*self.counts], "rejected": self.rejected}, file)

    def collect(self, max_wait: float = MAX_WAIT) -> PredictionSummary:
        """Wait for the job, delete its model, and write the table.

        Raises:
            JobFailed: It failed, was stopped, or took longer than `max_wait` seconds.
            ProteinClassifierError: AWS cannot be reached; the job continues, and this can be called again.
            KeyboardInterrupt: Ctrl-C; while it is waited for, the job is stopped.
        """
        parts = PartsFolder(self.output)
        try:
            place = self._await(max_wait)
        except (JobFailed, KeyboardInterrupt):
            parts.discard()
            raise
        delete_if_there(self.client, "Model", self.job)
        columns = self._join(parts, place)
        rejects = Rejects(os.path.join(self.spool.folder, "rejected.csv"), False)
        rejects.count = self.rejected
        rejected_file = f"{self.output}.rejected.csv"
        publish(parts, table_for(self.output, columns), len(self.counts), rejects, rejected_file)
        return PredictionSummary(sum(self.counts), self.rejected, rejected_file, True)

    @contextmanager
    def ended_if_it_fails(self) -> Iterator[None]:
        """Stop the job and delete its model if anything goes wrong in between."""
        try:
            yield
        except BaseException as error:
            forget = partial(delete_if_there, self.client, "Model", self.job)
            ended = [self._ended(end) for end in (self._stop, forget)]
            if isinstance(error, KeyboardInterrupt):
                to_end = f"{PREFIX} sagemaker delete --job {self.job}"
                said = "is stopped" if all(ended) else f"may continue, and cost; {to_end}"
                raise KeyboardInterrupt(f"the transform job {self.job} {said}") from None
            raise

    def _ended(self, end: Callable[[], None]) -> bool:
        try:
            end()
        except (ProteinClassifierError, KeyboardInterrupt) as failure:  # the second Ctrl-C of someone in a hurry
            logger.error("%s", failure or "interrupted")
            return False
        return True

    def _stop(self) -> None:
        with told(f"stop the transform job {self.job}"):
            described = found(partial(self.client.describe_transform_job, TransformJobName=self.job))
            if described is not None and described["TransformJobStatus"] == "InProgress":
                self.client.stop_transform_job(TransformJobName=self.job)

    def _await(self, max_wait: float) -> str:
        """Wait for the job; returns where its answers are."""
        deadline = time.monotonic() + max_wait
        while True:
            with told(f"look up the transform job {self.job}, which continues"):
                described = self.client.describe_transform_job(TransformJobName=self.job)
            status = described["TransformJobStatus"]
            if status == "Completed":
                return str(described["TransformOutput"]["S3OutputPath"])
            with self.ended_if_it_fails():
                if status not in ("InProgress", "Stopping") or time.monotonic() > deadline:
                    reason = failure_reason(described)
                    raise JobFailed(f"transform job {self.job}: {reason}; its log: CloudWatch, {LOG}")
                time.sleep(self.poll)

    def _join(self, parts: PartsFolder, place: str) -> list[Column]:
        """Fetch the answers, and write a part of the table for each; returns the columns of the table."""
        columns: list[Column] = []
        path = os.path.join(self.spool.folder, "answer")
        for number in tqdm(range(len(self.counts)), unit="part", dynamic_ncols=True):
            download(self.session, f"{place}/{part_name(number)}.out", path)
            with open(path, "rb") as file:
                calls, columns = self.spool.calls(number, file.read())
            parts.write(number, "0", partial(table_for(self.output, columns).write_part, predictions=calls))
        return columns


def attach_transform(output: str, session: "Session", poll: float = POLL) -> Transformation:
    """The job that makes a table, started by another process that did not wait for it.

    Args:
        output: That [`Transformer.transform`] was given.
        session: With AWS.
        poll: Seconds between two looks.

    Raises:
        OptionError: No job makes this table.
    """
    try:
        with open(os.path.join(PartsFolder(output).folder, JOB), encoding="utf-8") as file:
            return Transformation(session, **json.load(file), output=output, poll=poll)
    except (FileNotFoundError, NotADirectoryError):
        raise OptionError(f"output {output}: no transform job makes it") from None
