"""The platform that runs a training as a job, as the command line sees it; see `sagemaker.container`."""

from collections.abc import Sequence
from typing import Protocol


class Job(Protocol):
    """Where a training runs as a job: its inputs and folders are defaults, and its results are collected."""

    def options(self) -> Sequence[str]:
        """Options of `train` that the job stands for; what the user gives wins over them."""

    def prepare_push(self) -> None:
        """Make the Hub's token available, before a model is published."""

    def finish(self, output_dir: str) -> None:
        """Hand the folder of a finished run over."""

    def report_failure(self, message: str) -> None:
        """Show why the job failed."""
