"""The trainer of a search: it trains the trials, and keeps no checkpoint of them."""

import math
import time
from collections.abc import Callable
from typing import Any

from ..evaluation.best_evaluation import metric_key
from ..inference.engine import is_out_of_memory
from ..runs.search_trials import DIVERGED, FINISHED, NO_MEMORY, PRUNED
from .callbacks import DivergedError, SetEpoch
from .log_lines import LINES
from .trainer import ProteinTrainer

EPOCHS, SECONDS, ENDED = "epochs", "seconds", "ended"  # what is noted in the study of Optuna beside its own


class SearchTrainer(ProteinTrainer):
    """Trains the trials of a search as [`ProteinTrainer`] trains a model, but writes no checkpoint and no log.

    The value of a trial is its best evaluation, where the training would load the best checkpoint in the end, and
    otherwise its last.

    Args:
        kwargs: As for [`ProteinTrainer`], with `model_init`.

    Attributes:
        where: Names the trial that is trained, for Ctrl-C.
        trial_ended: Called with each trial that has ended, how (`finished`, `pruned`, ...), and the value of a
            finished one, as soon as Optuna has recorded it: see [`SearchTrainer.tell`].
        objective: The value of the last trial.
    """

    objective: float

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for callback in LINES.values():
            self.remove_callback(callback)
        self.where: Callable[[], str] = lambda: "in a trial"
        self.trial_ended: Callable[[Any, str, float | None], None] = lambda trial, ended, value: None
        self._evaluations = 0
        self._untold: tuple[Any, str, float | None] | None = None

    def tell(self) -> None:
        """Call `trial_ended` of the last trial, once: when the next begins, or the search has ended.

        Optuna records a trial after its training. Told before that, a trial could still be lost by Ctrl-C.
        """
        if self._untold is not None:
            untold, self._untold = self._untold, None
            self.trial_ended(*untold)

    def value_of(self, metrics: dict[str, float]) -> float:
        """The metric that trials are compared by; NaN where it is undefined."""
        value = metrics.get(metric_key(self.args.metric_for_best_model))
        return math.nan if value is None else float(value)

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        import optuna

        self.tell()
        trial, start = kwargs["trial"], time.monotonic()
        self._evaluations, ended = 0, None
        try:
            output = super().train(resume_from_checkpoint, **kwargs)
            self.objective = self._best_value()
            ended = FINISHED
        except optuna.TrialPruned:
            ended = PRUNED
            raise
        except Exception as error:
            ended = DIVERGED if isinstance(error, DivergedError) else NO_MEMORY if is_out_of_memory(error) else None
            if ended is None:
                raise
            raise optuna.TrialPruned(str(error)) from error  # such options are done with: the others are still tried
        finally:
            others = [one for one in self.callback_handler.callbacks if not isinstance(one, SetEpoch)]
            self.callback_handler.callbacks = others  # each training adds one
            if ended is not None:
                trial.set_user_attr(ENDED, ended)
                trial.set_user_attr(EPOCHS, round(self.state.epoch or 0.0, 2))
                trial.set_user_attr(SECONDS, time.monotonic() - start)
                self._untold = trial, ended, self.objective if ended == FINISHED else None
        return output

    def _best_value(self) -> float:
        """The value of a trial that has trained to the end.

        Raises:
            DivergedError: The metric was never a number.
        """
        name = metric_key(self.args.metric_for_best_model)
        values = [float(entry[name]) for entry in self.state.log_history if entry.get(name) is not None]
        values = [value for value in values if math.isfinite(value)]
        if not values:
            raise DivergedError(f"{name} was not a number in any evaluation")
        if not self.args.load_best_model_at_end:
            return values[-1]
        return max(values) if self.args.greater_is_better else min(values)

    def _report_to_hp_search(self, trial: Any, step: int, metrics: dict[str, float]) -> None:
        """Tell Optuna what an evaluation found, by its number: the steps of an epoch differ with the batch size."""
        import optuna

        if trial is None:
            return
        self._evaluations += 1
        self.objective = self.value_of(metrics)
        trial.report(self.objective, self._evaluations)
        is_last = self.state.global_step >= self.state.max_steps  # nothing is saved by stopping now
        if not is_last and trial.should_prune():
            self.callback_handler.on_train_end(self.args, self.state, self.control)
            raise optuna.TrialPruned

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Nothing: a trial that was interrupted is trained again, and the best options are trained again in the end."""

    def _finalize_training(self, trial: Any, num_train_samples: int, start_time: float) -> Any:
        self.state.best_model_checkpoint = None  # with save_strategy="best", the name of one that was not written
        return super()._finalize_training(trial, num_train_samples, start_time)

    def _settle_fits(self) -> None:
        """Nothing: the weights of a trial are not kept."""

    def _interruption(self, callbacks: Any) -> KeyboardInterrupt:
        return KeyboardInterrupt(f"{self.where()}; train again with resume to continue the search")
