"""The names of a table's columns, or of a header pattern's groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from ..model.tasks import PROBLEM_TYPES
from .records import NO_ANSWERS


@dataclass
class ColumnNames:
    """Names of a table's columns.

    Args:
        id: Accessions; it may be missing.
        sequence: Residues.
        label: What is to be predicted: one column, or several, each of them a label.
        split: Train, validation or test; it may be missing.
        auxiliary: Answers to auxiliary tasks; a cell without a value is an unknown answer.
        problem_type: Of the label column, or columns; found from their values if None.
    """

    id: str = "id"
    sequence: str = "sequence"
    label: str | Sequence[str] = "location"
    split: str = "split"
    auxiliary: Sequence[str] = ()
    problem_type: str | None = None

    @classmethod
    def from_options(cls, options: Any) -> "ColumnNames":
        """The names in options of `train`: `id_column`, `label_column`, `auxiliary_tasks`, ..., as attributes."""
        return cls(
            id=options.id_column,
            sequence=options.sequence_column,
            label=options.label_column,
            split=options.split_column,
            auxiliary=options.auxiliary_tasks,
            problem_type=options.problem_type,
        )

    @property
    def labels(self) -> list[str]:
        """The label columns."""
        return [self.label] if isinstance(self.label, str) else list(self.label)

    @property
    def answers(self) -> list[str]:
        """The columns of all tasks, the main one's first."""
        return [*self.labels, *([self.auxiliary] if isinstance(self.auxiliary, str) else self.auxiliary)]

    def check(self) -> None:
        """Raise OptionError for names that cannot work."""
        from ..tasks.problem_type_registry import (
            PROBLEM_TYPE_CLASSES,  # with it comes `datasets`, half a second; predicting reads no answers
        )

        if not self.labels:
            raise OptionError("label_column: found none; expected the name of a column, or several")
        if self.problem_type is not None:
            if self.problem_type not in PROBLEM_TYPE_CLASSES:
                raise OptionError(f"problem_type={self.problem_type!r}: expected one of {', '.join(PROBLEM_TYPES)}")
            if len(self.labels) > 1 and not PROBLEM_TYPE_CLASSES[self.problem_type].several:
                raise OptionError(
                    f"label columns {', '.join(self.labels)}: problem_type={self.problem_type!r} reads one; "
                    "expected one"
                )
        for name in self.answers:
            option = "label_column" if name in self.labels else "auxiliary_tasks"
            if self.answers.count(name) > 1:
                raise OptionError(f"{option}={name!r}: given twice; expected each column once")
            if name in NO_ANSWERS:
                raise OptionError(
                    f"{option}={name!r}: every dataset has a column {name!r} that is no label; expected another "
                    "column, or another name for it in the file"
                )
