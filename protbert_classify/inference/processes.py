"""The processes that share the parts of a file, started by `accelerate launch`."""

import os
from typing import Any

from .precision import has_gpu_backend


class Processes:
    """This process among those that share the work; often the only one."""

    def __init__(self) -> None:
        self.state: Any = None
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            from accelerate import PartialState  # half a second, and a single process does without

            self.state = PartialState(cpu=not has_gpu_backend())

    @property
    def is_main(self) -> bool:
        """Whether this process makes the folder of the parts, joins them and tells how it ended."""
        return self.state is None or self.state.is_main_process

    def device(self, asked: str | None) -> str | None:
        """The device that was asked for, or this process's own among several GPUs; None if there is nothing to say."""
        own = None if self.state is None else self.state.device
        return str(own) if asked is None and own is not None and own.type != "cpu" else asked

    def wait(self) -> None:
        """Until all processes are here."""
        if self.state is not None:
            self.state.wait_for_everyone()

    def is_mine(self, number: int) -> bool:
        """Whether this process computes the part with a number."""
        return self.state is None or number % self.state.num_processes == self.state.process_index
