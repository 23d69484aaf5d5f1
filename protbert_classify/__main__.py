"""`python -m protbert_classify`, and the `protbert-classify` command."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import commands

if TYPE_CHECKING:
    from .training.job import Job


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, as a job of SageMaker if this is a container of one; returns its exit code."""
    return commands.main(arguments, _job())


def _job() -> "Job | None":
    if "SM_MODEL_DIR" not in os.environ:
        return None
    from .sagemaker.container import TrainingContainer

    return TrainingContainer()


if __name__ == "__main__":
    sys.exit(main())
