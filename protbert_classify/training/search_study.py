"""The study of a search: Optuna's record of the trials on disk, from which a search resumes."""

import os
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ..runs.search_trials import FINISHED, PRUNED, Trial
from .search_space import SearchSpace
from .search_trainer import ENDED, EPOCHS, SECONDS

JOURNAL = "journal.log"
NAME = "search"
STARTUP = 5  # trials that are trained to the end before others are compared with them


class OwnFile:
    """No lock: the run's folder is locked. Optuna's would outlast a kill, and the next search would wait for it."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class ResumableSampler(BaseSampler):
    """Tree-structured Parzen estimators (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization").

    Each trial has a generator of its own, seeded by how many trials were done before it: a search that was interrupted
    draws the same options as one that was not.

    Args:
        seed: Of the search.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sampler = TPESampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler = TPESampler(seed=(self._seed + len(done(study))) % 2**32)
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._sampler.after_trial(study, trial, state, values)


def open_study(folder: str, seed: int, maximize: bool, given: dict[str, Any]) -> tuple[optuna.Study, dict[str, Any]]:
    """The study in a folder, begun or continued.

    Args:
        folder: Of the search.
        seed: Of the options that are drawn.
        maximize: Whether the highest value is the best.
        given: The options of the first trial, as far as they are known.

    Returns:
        The study; and what makes it, for `hyperparameter_search`.
    """
    path = os.path.join(folder, JOURNAL)
    _drop_torn_line(path)
    settings: dict[str, Any] = {
        "study_name": NAME,
        "storage": JournalStorage(JournalFileBackend(path, lock_obj=OwnFile())),  # type: ignore[arg-type]
        "load_if_exists": True,
        "sampler": ResumableSampler(seed),
        "pruner": optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
    }
    study = optuna.create_study(direction="maximize" if maximize else "minimize", **settings)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):  # killed: trained again
        study.tell(trial.number, state=TrialState.FAIL)
    if given and not done(study) and not study.get_trials(states=(TrialState.WAITING,)):
        study.enqueue_trial(given)
    return study, settings


def _drop_torn_line(path: str) -> None:
    """Cut off the line that a kill has left without its end; Optuna would not read past it."""
    if os.path.isfile(path):
        with open(path, "rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def done(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count, in their order: not those that were interrupted."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def trials_of(study: optuna.Study, space: SearchSpace, maximize: bool) -> list[Trial]:
    """The trials that count, numbered from 1."""
    return [describe(trial, number, space.names(), maximize) for number, trial in enumerate(done(study), 1)]


def describe(trial: FrozenTrial, number: int, names: Sequence[str], maximize: bool) -> Trial:
    """A trial of Optuna as this package has it; `names` are those of the options."""
    reached = [value for value in trial.intermediate_values.values() if value == value]
    best = (max if maximize else min)(reached, default=None)
    finished = trial.state == TrialState.COMPLETE
    return Trial(
        number=number,
        options={name: trial.params[name] for name in names if name in trial.params},
        value=trial.value if finished else best,
        epochs=trial.user_attrs.get(EPOCHS, 0.0),
        seconds=trial.user_attrs.get(SECONDS, 0.0),
        ended=trial.user_attrs.get(ENDED, FINISHED if finished else PRUNED),
    )
