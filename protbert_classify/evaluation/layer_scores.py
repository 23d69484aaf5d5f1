"""How much each layer of a backbone knows of a task, and which one to take."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..model.tasks import Task
from .metrics import BEST_METRIC, NAMES, WATCHED


@dataclass(frozen=True)
class LayerScores:
    """What a linear model made of each layer, measured on validation proteins.

    Args:
        task: What it learned.
        layers: Metric -> value, of each layer in its order; the first is layer 1.
        train_proteins: It learned from.
        validation_proteins: It was measured on.
        width: Values of a hidden state.
        interval: 95% interval of what the best layer has more than the last, from a paired bootstrap over the
            validation proteins; None where they are the same, or each resample gave the same.
    """

    task: Task
    layers: Sequence[dict[str, float]]
    train_proteins: int
    validation_proteins: int
    width: int
    interval: tuple[float, float] | None = None

    @property
    def metric(self) -> str:
        """The name of the metric that decides: the one that chooses the best checkpoint of a training."""
        return BEST_METRIC[self.task.problem_type]

    @property
    def metrics(self) -> list[str]:
        """The metrics of the table, the one that decides first."""
        others = [name for name in WATCHED[self.task.problem_type] if name != self.metric]
        return [self.metric, *others[:2]]

    @property
    def values(self) -> list[float]:
        """What decides, of each layer."""
        return [scores[self.metric] for scores in self.layers]

    @property
    def best(self) -> int:
        """The layer with the highest value, from 1; of several, the first: it makes the smallest model."""
        return self.values.index(max(self.values)) + 1

    @property
    def last(self) -> int:
        """The number of layers."""
        return len(self.layers)

    @property
    def gain(self) -> float:
        """By how much the best layer is better than the last."""
        return self.values[self.best - 1] - self.values[-1]

    @property
    def verdict(self) -> str:
        """The best layer and the last, in a sentence."""
        name, best = NAMES[self.metric], f"{self.values[self.best - 1]:.3f}"
        if self.best == self.last:
            return f"the last layer, {self.last}, is the best: {name} {best} on validation proteins"
        if self.gain == 0:
            return (
                f"layer {self.best} of {self.last} is as good as the last: {name} {best} on validation proteins; it "
                "makes a smaller model"
            )
        sure = "" if self.interval is None else "; 95% interval {:.3f} to {:.3f}".format(*self.interval)
        return (
            f"layer {self.best} of {self.last} is the best: {name} {best} on validation proteins, {self.gain:.3f} more "
            f"than the last ({self.values[-1]:.3f}{sure})"
        )
