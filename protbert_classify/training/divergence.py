"""A training that diverged ends with a line that says so, not with a model that calls nothing."""

import math
from typing import Any

import torch
from accelerate.utils import gather
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..errors import OptionError

LOSSES = {"loss": "loss", "eval_loss": "validation loss", "train_loss": "loss"}


class StopOnDivergence(TrainerCallback):
    """Ends training where a loss that is logged, or a weight about to be saved, is no finite number.

    Looks only where something is logged or saved: asking each step would wait for the device each time. So a loss may
    have been lost some steps before the one that is named, `logging_steps` of them at most.
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
        for name, said in LOSSES.items():
            value = (logs or {}).get(name)
            if isinstance(value, float) and not math.isfinite(value):
                if args.fp16 and name != "eval_loss" and model is not None:
                    check_weights(model, args, state)  # a step that overflowed was skipped, and lost nothing else
                    continue
                raise _non_finite_error(f"the {said} is not a number", args, state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        if control.should_save:  # complete checkpoints hold what one can resume from
            check_weights(model, args, state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        if control.should_save:
            check_weights(model, args, state)


def check_weights(model: nn.Module, args: TrainingArguments, state: TrainerState) -> None:
    """Refuse weights that are not finite, on all processes alike.

    Raises:
        OptionError: Says what to lower.
    """
    # under FSDP2 each process asks the part that it has
    parts = [getattr(parameter, "_local_tensor", parameter.detach()) for parameter in model.parameters()]
    finite = torch.stack([part.isfinite().all().to(args.device) for part in parts]).all()
    if not gather(finite.int()).all():
        raise _non_finite_error("the weights are not numbers", args, state)


def _non_finite_error(what: str, args: TrainingArguments, state: TrainerState) -> OptionError:
    since = f"at step {state.global_step}, or since a step before"
    return OptionError(f"{what} {since}; lower --learning_rate (now {args.learning_rate:g})")
