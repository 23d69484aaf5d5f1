"""The trials of a search over hyperparameters: what each was and how it ended, and their table."""

import csv
from dataclasses import dataclass, field
from typing import Any

from .files import write_atomically

FINISHED, PRUNED, DIVERGED, NO_MEMORY = "finished", "pruned", "diverged", "out of memory"


@dataclass(frozen=True)
class Trial:
    """A training of a search.

    Args:
        number: From 1.
        options: Those that were searched, with their values.
        value: Its best validation metric; None if there was no evaluation, or no number.
        epochs: How many it trained.
        seconds: How long it took.
        ended: `finished`, `pruned` (stopped, as it fell behind the others), `diverged` (its loss or its metric became
            NaN) or `out of memory`.
    """

    number: int
    options: dict[str, Any]
    value: float | None
    epochs: float
    seconds: float
    ended: str


@dataclass(frozen=True)
class Search:
    """A search, finished or not.

    Args:
        metric: What the trials are compared by, without `eval_`.
        greater_is_better: Whether its highest value is the best.
        space: Option -> its range (`low`, `high`, `log`), or the list of its values.
        trials: In their order.
    """

    metric: str
    greater_is_better: bool
    space: dict[str, Any]
    trials: list[Trial] = field(default_factory=list)

    @property
    def best(self) -> Trial | None:
        """The finished trial with the best value, the first of several; None if there is none."""
        finished = [trial for trial in self.trials if trial.ended == FINISHED and trial.value is not None]
        return max(finished, key=self._rank, default=None)

    def best_so_far(self) -> list[float | None]:
        """The best value of the finished trials up to each trial."""
        found = []
        for place in range(1, len(self.trials) + 1):
            best = Search(self.metric, self.greater_is_better, self.space, self.trials[:place]).best
            found.append(None if best is None else best.value)
        return found

    def ended(self, how: str) -> int:
        """How many trials ended so."""
        return sum(trial.ended == how for trial in self.trials)

    @property
    def seconds(self) -> float:
        """How long all trials took."""
        return sum(trial.seconds for trial in self.trials)

    def record(self) -> dict[str, Any]:
        """What `run.json` says of the search."""
        best = self.best
        return {
            "metric": self.metric,
            "space": self.space,
            "trials": len(self.trials),
            **{how: self.ended(how) for how in (FINISHED, PRUNED, DIVERGED, NO_MEMORY)},
            "seconds": self.seconds,
            "best": None if best is None else {"trial": best.number, "value": best.value, "options": best.options},
        }

    def _rank(self, trial: Trial) -> float:
        assert trial.value is not None
        return trial.value if self.greater_is_better else -trial.value


def write_trials(path: str, search: Search) -> None:
    """Write one line a trial; `value` is empty where there is none."""

    def write(part: str) -> None:
        with open(part, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["trial", "ended", search.metric, "epochs", "seconds", *search.space])
            for trial in search.trials:
                value = "" if trial.value is None else trial.value
                options = [trial.options.get(name, "") for name in search.space]
                table.writerow([trial.number, trial.ended, value, trial.epochs, round(trial.seconds, 3), *options])

    write_atomically(path, write)
