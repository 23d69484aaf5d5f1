"""A run takes its folder over once it has shown that it can run."""

from collections.abc import Callable
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class AfterFirstStep(TrainerCallback):
    """Does something once, when the first step is done and before its checkpoint is written.

    By then options, data and memory have been tried: what was wrong with them has left a former run as it was.

    Args:
        begin: What to do, where files may be written.
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin
        self.done = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.done:
            return
        self.done = True
        if args.should_save:
            self.begin()
        PartialState().wait_for_everyone()  # or another process might write into a checkpoint that is being cleared
