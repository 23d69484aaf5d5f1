"""Early stopping that continues counting where a resumed run left off."""

from typing import Any

from transformers import EarlyStoppingCallback, TrainerControl, TrainerState, TrainingArguments


class EarlyStopping(EarlyStoppingCallback):
    """transformers' callback; it restores no counter, and a run resumed too often would never stop."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        # missing where the run before had no early stopping; Trainer then fails at its first checkpoint
        saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self.early_stopping_patience_counter = saved["attributes"]["early_stopping_patience_counter"]
