"""What a training has cost so far, over all the times it was resumed."""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


class TrainingTotals(TrainerCallback, ExportableState):
    """Seconds and the sum of the losses of all steps, kept in each checkpoint; Trainer starts again at 0.

    Attributes:
        seconds: Of training before the last resume.
        loss: Sum of the losses of the steps before the last resume, the mean over processes.
        metric: What the best checkpoint was chosen by.
    """

    def __init__(self, metric: str | None = None) -> None:
        self.seconds = 0.0
        self.loss = 0.0
        self.metric = metric
        self.steps_loss: Any = 0.0  # of the steps since, as the last checkpoint needs it
        self._start: float | None = None

    def restore(self, state: TrainerState) -> dict[str, Any]:
        """Take over what a checkpoint has, and return it; one of an older version has less, or nothing."""
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
