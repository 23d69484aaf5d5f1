"""What a table of predictions says about a protein beside its scores, and which answers are left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from ..evaluation.prediction_sets import check_sets
from ..model.tasks import REGRESSION, Task


@dataclass(frozen=True)
class AnswerOptions:
    """Options of [`predict_file`], which explains them.

    Args:
        min_score: Labels with a lower score are left out, 0..1.
        sets: Share of the proteins whose prediction set may miss the true class; None for no sets.
        sets_by_class: See [`Decision.sets`].
        training_proteins: Source of the proteins that the model was trained on; None for no comparison with them.
        min_identity: Labels of proteins without a training protein of this identity are left out, 0..1.
        transfer_labels: Weigh in the labels of the nearest training protein.
    """

    min_score: float = 0.0
    sets: float | None = None
    sets_by_class: bool = False
    training_proteins: str | None = None
    min_identity: float | None = None
    transfer_labels: bool = False

    def check(self) -> None:
        """Refuse options that need another one, before anything is loaded.

        Raises:
            OptionError: Names both.
        """
        if self.training_proteins is None and (self.min_identity is not None or self.transfer_labels):
            raise OptionError(f"{self._compared}: requires training_proteins")
        if self.transfer_labels and self.sets is not None:
            raise OptionError(
                f"sets={self.sets}: sets are made from the model's own scores; expected no transfer_labels"
            )
        if self.min_identity is not None:
            from ..homology.neighbours import check_shares  # the server does without

            check_shares(min_identity=self.min_identity)

    def check_tasks(self, model: str, tasks: Sequence[Task]) -> None:
        """Refuse options that a model cannot follow.

        Args:
            model: For the message.
            tasks: What it predicts, the main task first.

        Raises:
            OptionError: Names the option.
        """
        if all(task.problem_type == REGRESSION for task in tasks):
            if self.min_score > 0:
                raise OptionError(
                    f"min_score={self.min_score}: {model} predicts numbers, which have no scores; leave it out"
                )
            if self.min_identity is not None:
                raise OptionError(f"{self._compared}: {model} predicts numbers, not labels; leave it out")
        if self.transfer_labels and tasks[0].problem_type == REGRESSION:
            raise OptionError(f"transfer_labels: {model} predicts {tasks[0].name} as numbers, not labels; leave it out")
        if self.sets is not None:
            check_sets(tasks[0], self.sets)

    @property
    def may_leave_out(self) -> bool:
        """Whether a protein can be without an answer."""
        return self.min_score > 0 or self.min_identity is not None

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same for a prediction to be continued, beside the training proteins themselves."""
        settings: dict[str, Any] = {}
        if self.min_score > 0:
            settings["min_score"] = self.min_score
        if self.sets is not None:
            settings |= {"sets": self.sets, "sets_by_class": self.sets_by_class}
        if self.training_proteins is not None:
            settings["min_identity"] = self.min_identity
        if self.transfer_labels:
            settings["transfer_labels"] = True
        return settings

    @property
    def _compared(self) -> str:
        return "transfer_labels" if self.min_identity is None else f"min_identity={self.min_identity}"
