"""What a loss that is no number ends, and what it does not."""

from types import SimpleNamespace

import pytest
import torch

from protbert_classify.errors import OptionError
from protbert_classify.training.divergence import StopOnDivergence


def log(model, fp16, **logs):
    args = SimpleNamespace(fp16=fp16, learning_rate=0.01, device="cpu")
    StopOnDivergence().on_log(args, SimpleNamespace(global_step=7), None, logs=logs, model=model)


def test_a_step_that_overflowed_in_float16_ends_nothing_while_the_weights_are_sound():
    model = torch.nn.Linear(2, 2)
    log(model, True, loss=float("nan"))  # the scaler skipped that step
    with pytest.raises(OptionError, match="the loss is not a number at step 7"):
        log(model, False, loss=float("nan"))
    with pytest.raises(OptionError, match="the validation loss is not a number"):
        log(model, True, eval_loss=float("nan"))
    torch.nn.init.constant_(model.bias, float("inf"))
    with pytest.raises(OptionError, match="the weights are not numbers at step 7"):
        log(model, True, loss=float("nan"))
