"""Ctrl-C that loses nothing: the step is finished, a checkpoint written, then the run stops."""

import signal
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class SaveOnInterrupt(TrainerCallback):
    """Turns the first Ctrl-C into a checkpoint and a stop; a second one stops at once.

    For one process: several would have to agree on the step, and fall back on their last checkpoint.

    Args:
        after_first_step: Until the first step is done, Ctrl-C stops at once and writes nothing.
    """

    def __init__(self, after_first_step: bool = False) -> None:
        self.interrupted = False
        self._waits = after_first_step
        self._before: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self._waits:
            self._listen(args)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._waits:
            self._waits = False
            self._listen(args)
        if self.interrupted:
            control.should_save = _within_epoch(state)
            control.should_training_stop = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if control.should_training_stop and self.interrupted:
            # Trainer comes here in the middle of an epoch, too, where an undisturbed run would not evaluate
            control.should_save = not _within_epoch(state)
            control.should_evaluate = control.should_evaluate and not _within_epoch(state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.release()

    def _listen(self, args: TrainingArguments) -> None:
        if args.world_size == 1:
            self._before = signal.signal(signal.SIGINT, self._interrupt)

    def release(self) -> None:
        """Give Ctrl-C its former meaning back."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        self.release()


def _within_epoch(state: TrainerState) -> bool:
    return not float(state.epoch or 0).is_integer()
