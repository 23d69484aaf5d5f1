"""Callbacks of a training: early stopping, stopping on NaN, a checkpoint on Ctrl-C, and bookkeeping.

The class names are keys in the `trainer_state.json` of checkpoints: another name would lose what older ones saved.
"""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Protocol

import torch
from accelerate import PartialState
from accelerate.utils import gather
from torch import nn
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from ..errors import OptionError
from ..evaluation.best_evaluation import metric_key, rank

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what a cluster sends before it takes a machine away
LOSSES = {"loss": "loss", "eval_loss": "validation loss", "train_loss": "loss"}


class DivergedError(OptionError):
    """The loss or the weights are not numbers any more: the learning rate is too high, most of the time."""


def is_best(metrics: Mapping[str, Any], args: TrainingArguments, state: TrainerState) -> bool:
    """Whether an evaluation is better than all before it, see [`rank`].

    The loss of the best one is read in the log, which checkpoints have: a resumed run decides as an undisturbed one.
    """
    if state.best_metric is None:
        return True
    metric, greater = args.metric_for_best_model, bool(args.greater_is_better)
    name = metric_key(metric)
    logged = [entry for entry in state.log_history if entry["step"] == state.best_global_step and name in entry]
    loss = logged[0].get("eval_loss", -math.inf) if logged else -math.inf  # unknown: the earlier one stays the best
    return rank(metrics, metric, greater) > rank({name: state.best_metric, "eval_loss": loss}, metric, greater)


class EarlyStopping(EarlyStoppingCallback):
    """transformers' callback, but the same metric with a lower validation loss is an improvement, too.

    Its counter is restored when a run is resumed; a run that is resumed often would never stop otherwise.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        # missing if the earlier run had no early stopping; Trainer then fails at its first checkpoint
        saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self.early_stopping_patience_counter = saved["attributes"]["early_stopping_patience_counter"]

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        if metric_key(args.metric_for_best_model) not in metrics:  # of another validation set
            return
        waited = self.early_stopping_patience_counter + 1
        self.early_stopping_patience_counter = 0 if is_best(metrics, args, state) else waited
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True
            logger.info(
                "training stops early, after epoch %g of %g: %s has not improved for %d evaluations in a row "
                "(early_stopping_patience)",
                *(state.epoch or 0, args.num_train_epochs),
                *(str(args.metric_for_best_model).removeprefix("eval_"), self.early_stopping_patience_counter),
            )


class StopOnDivergence(TrainerCallback):
    """Stops training with an error if a logged loss, or a weight about to be saved, is NaN or infinite.

    Checks only when something is logged or saved, because checking each step would wait for the device each time. So
    the loss may have become NaN up to `logging_steps` steps before the step that the error names.
    """

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        for name, described in LOSSES.items():
            value = (logs or {}).get(name)
            if isinstance(value, float) and not math.isfinite(value):
                if args.fp16 and name != "eval_loss" and model is not None:
                    check_weights(model, args, state)  # fp16 skips a step that overflows; only the weights count
                    continue
                raise _non_finite_error(f"the {described} is not a number", args, state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        if control.should_save:  # a run can be resumed from every complete checkpoint
            check_weights(model, args, state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        if control.should_save:
            check_weights(model, args, state)


def check_weights(model: nn.Module, args: TrainingArguments, state: TrainerState) -> None:
    """Raise on all processes if a weight is NaN or infinite.

    Raises:
        OptionError: Says which option to lower.
    """
    # under FSDP2 each process checks the shard that it has
    parts = [getattr(parameter, "_local_tensor", parameter.detach()) for parameter in model.parameters()]
    finite = torch.stack([part.isfinite().all().to(args.device) for part in parts]).all()
    if not gather(finite.int()).all():
        raise _non_finite_error("the weights are not numbers", args, state)


def _non_finite_error(what: str, args: TrainingArguments, state: TrainerState) -> DivergedError:
    since = f"at step {state.global_step}, or since a step before"
    return DivergedError(f"{what} {since}; lower learning_rate (now {args.learning_rate:g})")


class SaveOnInterrupt(TrainerCallback):
    """On the first Ctrl-C or SIGTERM, finishes the step, writes a checkpoint and stops; a second one stops at once.

    A launcher passes Ctrl-C on to its processes one after the other, so after each step they tell each other, and all
    stop after the same step. torchrun gives them 30 seconds for the step and the checkpoint.

    Args:
        after_first_step: Until the first step is done, Ctrl-C stops at once and writes nothing.

    Attributes:
        interrupted: Whether the training was asked to stop.
    """

    def __init__(self, after_first_step: bool = False) -> None:
        self.interrupted = self._asked = False
        self._waits = after_first_step
        self._previous_handlers: dict[int, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self._waits:
            self._listen()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._waits:
            self._waits = False
            self._listen()
        self._share_with_other_processes(args)
        if self.interrupted:
            control.should_save = _within_epoch(state)
            control.should_training_stop = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if control.should_training_stop and self.interrupted:
            # Trainer also calls this in the middle of an epoch, where an undisturbed run would not evaluate
            control.should_save = not _within_epoch(state)
            control.should_evaluate = control.should_evaluate and not _within_epoch(state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._share_with_other_processes(args)  # the signal may have come after the last step
        self.release()

    def _share_with_other_processes(self, args: TrainingArguments) -> None:
        self.interrupted = self._asked if args.world_size == 1 else _any_asked(self._asked, args)

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers in no other thread
            self._previous_handlers = {number: signal.signal(number, self._interrupt) for number in SIGNALS}

    def release(self) -> None:
        """Restore the signal handlers that were there before."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers = {}

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self.release()


def _any_asked(asked: bool, args: TrainingArguments) -> bool:
    """Whether any of the processes was asked to stop; all of them call this after the same step."""
    found = torch.tensor(int(asked), device=args.device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return bool(found)


def _within_epoch(state: TrainerState) -> bool:
    return not float(state.epoch or 0).is_integer()


class AfterFirstStep(TrainerCallback):
    """Calls a function once, after the first step and before its checkpoint is written.

    By then options, data and memory have been tried, so a run that fails earlier leaves the previous run as it was.

    Args:
        begin: Called on the processes that may write files.
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
        PartialState().wait_for_everyone()  # or another process might write into a checkpoint that is being removed


class TrainingTotals(TrainerCallback, ExportableState):
    """Seconds and summed loss of the whole training, kept in each checkpoint; Trainer restarts them on resume.

    Attributes:
        seconds: Training time before the last resume.
        loss: Sum of the losses of the steps before the last resume, averaged over processes.
        metric: The metric that the best checkpoint was chosen by.
    """

    def __init__(self, metric: str | None = None) -> None:
        self.seconds = 0.0
        self.loss = 0.0
        self.metric = metric
        self.steps_loss: Any = 0.0  # of the steps since the last resume, as the next checkpoint needs it
        self._start: float | None = None

    def restore(self, state: TrainerState) -> dict[str, Any]:
        """Take over what a checkpoint has, and return it; a checkpoint of an older version has less, or nothing."""
        saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        attributes: dict[str, Any] = saved["attributes"]
        self.seconds, self.loss = attributes.get("seconds", 0.0), attributes.get("loss", 0.0)
        return attributes

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._start = time.monotonic()

    def state(self) -> dict[str, Any]:
        now = 0.0 if self._start is None else time.monotonic() - self._start
        attributes = {"seconds": self.seconds + now, "loss": self.loss + float(self.steps_loss), "metric": self.metric}
        return {"args": {}, "attributes": attributes}


class LogLossOfShortRun(TrainerCallback):
    """Logs the training loss after the last step of a run that is shorter than `logging_steps`."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        is_last = state.global_step >= state.max_steps
        if is_last and args.logging_strategy != "no" and not any("loss" in entry for entry in state.log_history):
            control.should_log = True


class DependsOnEpoch(Protocol):
    """Something that is different in each epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins, from 0."""


class SetEpoch(TrainerCallback):
    """Tells the batch sampler which epoch begins: neither Accelerate nor Trainer does so after a resume.

    Args:
        batches: What depends on the epoch.
    """

    def __init__(self, batches: DependsOnEpoch) -> None:
        self.batches = batches

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.batches.set_epoch(int(state.epoch or 0))
