"""How long a training took, over all the times it went on."""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


class TrainingTime(TrainerCallback, ExportableState):
    """Counts seconds on from those that the checkpoint has, where Trainer begins at 0 each time.

    Attributes:
        seconds: Of training before this time.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # missing in a checkpoint of an older version; Trainer would then fail at its next one
        saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self.seconds = saved["attributes"]["seconds"]
        self._start = time.monotonic()

    def state(self) -> dict[str, Any]:
        now = 0.0 if self._start is None else time.monotonic() - self._start
        return {"args": {}, "attributes": {"seconds": self.seconds + now}}
