"""Ctrl-C that loses nothing: the step is finished, a checkpoint written, then the run stops."""

import signal
import threading
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # of a user, and of a cluster that wants its machine back


class SaveOnInterrupt(TrainerCallback):
    """Turns the first Ctrl-C, or SIGTERM, into a checkpoint and a stop; a second one stops at once.

    A launcher passes Ctrl-C on to its processes, one after the other: after each step they ask each other, so that all
    stop after the same one. torchrun gives them 30 seconds for the step and the checkpoint.

    Args:
        after_first_step: Until the first step is done, Ctrl-C stops at once and writes nothing.

    Attributes:
        interrupted: The training stops, or has stopped, for that.
    """

    def __init__(self, after_first_step: bool = False) -> None:
        self.interrupted = self._asked = False
        self._waits = after_first_step
        self._before: dict[int, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self._waits:
            self._listen()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._waits:
            self._waits = False
            self._listen()
        self._agree(args)
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
        self._agree(args)  # it may have come after the last step
        self.release()

    def _agree(self, args: TrainingArguments) -> None:
        self.interrupted = self._asked if args.world_size == 1 else _any_asked(self._asked, args)

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():  # Python lets no other listen
            self._before = {number: signal.signal(number, self._interrupt) for number in SIGNALS}

    def release(self) -> None:
        """Give the signals their former meaning back."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self.release()


def _any_asked(asked: bool, args: TrainingArguments) -> bool:
    """Whether one of several processes was asked to stop; all of them ask after the same step."""
    found = torch.tensor(int(asked), device=args.device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return bool(found)


def _within_epoch(state: TrainerState) -> bool:
    return not float(state.epoch or 0).is_integer()
