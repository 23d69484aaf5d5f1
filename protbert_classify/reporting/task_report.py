"""The interface of a problem type's report, for the HTML page of a run and the card of a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..model.tasks import Task
from ..runs.files import PREDICTIONS
from ..runs.finished_run import Run
from .captioned_figures import CaptionedFigure
from .evaluated_split import EvaluatedSplit
from .sections import Card, Part, Section, Table, left_out

Draw = Callable[..., CaptionedFigure]


@dataclass(frozen=True)
class CardFigure:
    """A picture of a model card.

    Args:
        name: Of its file, without ending.
        figure: Of matplotlib.
        alt: What it shows.
    """

    name: str
    figure: Any
    alt: str


FORWARD = 'model(**tokenizer(protein, truncation=True, return_tensors="pt")).logits'


class TaskReport(ABC):
    """How the predictions of one problem type are shown.

    Attributes:
        answers: The heading of the table, such as `Classes`.
        has_scores: Whether its answers come with probabilities.
    """

    answers: str = "Classes"
    has_scores: bool = True

    @abstractmethod
    def asked(self, task: Task) -> str:
        """What is asked, behind "trained on 100 proteins"."""

    @abstractmethod
    def headline(self, found: EvaluatedSplit) -> list[Card]:
        """The numbers on top of the page."""

    @abstractmethod
    def sentences(self, run: Run, found: EvaluatedSplit) -> list[str]:
        """How good it is, and against what."""

    @abstractmethod
    def sections(self, run: Run, found: EvaluatedSplit | None, picture: Draw) -> list[Section]:
        """The main task's part of the page; draws the pictures.

        Args:
            run: A finished training.
            found: The evaluation of the main task; None if there is none.
            picture: Saves a figure and inlines it.
        """

    @abstractmethod
    def table(self, found: EvaluatedSplit) -> Table:
        """The numbers of each class or target, with their intervals."""

    @abstractmethod
    def introduction(self, labels: Sequence[str]) -> str:
        """The first sentence of a card; `labels` are escaped."""

    @abstractmethod
    def code(self, task: Task) -> str:
        """Python code that needs only transformers and torch: runs `model` on `protein` and prints the prediction."""

    @abstractmethod
    def limits(self, task: Task, found: EvaluatedSplit | None) -> list[str]:
        """What the answers do not say, for a card; Markdown."""

    @abstractmethod
    def card_figures(self, found: EvaluatedSplit) -> list[CardFigure]:
        """The pictures below the table of a card."""

    def calibration_figure(self, found: EvaluatedSplit) -> CardFigure | None:
        """Whether scores are what they say; None for what has no scores, or where the proteins are not known."""
        return None

    def calibration_text(self, found: EvaluatedSplit) -> str:
        """What stands above that picture."""
        return ""


def length_section(title: str, run: Run, parts: Sequence[Part]) -> Section:
    """How good long proteins fare: `parts`, or why there are none."""
    if not parts and run.predictions is not None:
        parts = [left_out(f"{PREDICTIONS} has no column length; runs of this version write it.")]
    elif not parts:
        parts = [left_out(f"the run has no {PREDICTIONS}.")]
    return Section("length", title, parts, "Length")
