"""`test_predictions.csv`: the predictions for the test proteins and the true answers, written and read.

A row has the accession, the length and the main task, then the auxiliary ones. A classification has the true and the
predicted labels, several with `;` between them, the score of the best one, and the score of every label. A regression
has the true and the predicted value of each number. Unknown is an empty cell; of several labels, an unknown one is
among the true ones with a `?` behind its name.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError
from ..evaluation.decision import Decision
from ..evaluation.metrics import split_references
from ..evaluation.references import known_references
from ..model.losses import IGNORED
from ..model.tasks import LABEL_SEPARATOR, REGRESSION, SINGLE_LABEL, Task
from ..model_source import non_finite_error
from .files import write_atomically

UNKNOWN = "?"  # behind a label of which it is not known whether a protein has it


@dataclass(frozen=True)
class Predictions:
    """The predictions for N test proteins.

    Args:
        ids: (N,), accessions.
        lengths: (N,), residues; None in runs that did not write them.
        decision: The answers of all tasks; scores have six decimals.
        references: The true answers of the main task, as [`task_metrics`] takes them.
        auxiliary: Name of an auxiliary task -> its true answers.
    """

    ids: list[str]
    lengths: np.ndarray | None
    decision: Decision
    references: np.ndarray
    auxiliary: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, task: Task) -> tuple[Decision, np.ndarray] | None:
        """The answers to a task and the true ones; None if an auxiliary task was left out."""
        if task.name == self.decision.task.name:
            return self.decision, self.references
        answers = self.decision.auxiliary.get(task.name)
        return None if answers is None else (answers, self.auxiliary[task.name])


def write_predictions(
    path: str,
    ids: Sequence[str],
    lengths: Sequence[int],
    decision: Decision,
    references: np.ndarray,
    auxiliary_references: np.ndarray | None = None,
) -> None:
    """Write one protein a line.

    Args:
        path: Of the CSV.
        ids: (N,), accessions.
        lengths: (N,), residues of the whole protein.
        decision: For the N proteins.
        references: The true answers of the main task, as [`task_metrics`] takes them.
        auxiliary_references: (N, A'), those of the auxiliary tasks side by side; None leaves these tasks out.
    """
    header = ["id", "length", *_header(decision.task, beside=False)]
    cells = [list(ids), list(map(str, lengths)), *_cells(decision, np.asarray(references))]
    if auxiliary_references is not None:
        for name, values in split_references(decision, auxiliary_references).items():
            header += _header(decision.auxiliary[name].task, beside=True)
            cells += _cells(decision.auxiliary[name], values)
    write_atomically(path, lambda part: _write_csv(part, header, zip(*cells, strict=True)))


def _write_csv(path: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _header(task: Task, beside: bool) -> list[str]:
    """The columns of a task; those of an auxiliary one, `beside` the main one, have its name."""
    if task.problem_type == REGRESSION:
        alone = beside and len(task.labels) == 1
        names = [task.name if alone else f"{task.name} {label}" if beside else label for label in task.labels]
        return [column for name in names for column in (name, f"predicted {name}")]
    if beside:
        return [
            *(task.name, f"predicted {task.name}", f"{task.name} score"),
            *(f"{task.name} {label}" for label in task.labels),
        ]
    return [task.name, "predicted", "score", *task.labels]


def _cells(decision: Decision, references: np.ndarray) -> list[Sequence[str]]:
    """The columns of a task, N cells each."""
    if decision.task.problem_type == REGRESSION:
        pairs = zip(references.T, decision.scores.T, strict=True)
        return [[_number(value) for value in column] for pair in pairs for column in pair]
    scores = [[f"{value:.6f}" for value in column] for column in (decision.score, *decision.scores.T)]
    return [_true_names(decision.task, references), decision.joined_labels(), *scores]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.7g}"  # as many digits as float32 has


def _true_names(task: Task, references: np.ndarray) -> list[str]:
    known = known_references(references)
    if references.ndim == 1:
        return [task.labels[int(value)] if there else "" for value, there in zip(references, known)]
    marked = [(label, f"{label}{UNKNOWN}") for label in task.labels]
    return [
        LABEL_SEPARATOR.join(names[not there] for names, has, there in zip(marked, row, given) if has or not there)
        for row, given in zip(references == 1, known)
    ]


def read_predictions(path: str, tasks: Sequence[Task], proteins: int | None = None) -> Predictions:
    """Read what [`write_predictions`] wrote.

    Args:
        path: Of the CSV.
        tasks: Of the run, the main one first.
        proteins: How many there should be, if that is known.

    Raises:
        DataError: A damaged file; the message names it and the row.
        ModelError: Its scores are not finite.
    """
    header, rows = _read_table(path)
    before = ["id", "length"] if header[1:2] == ["length"] else ["id"]  # runs of version 0.1 have no lengths
    expected = [*before, *_header(tasks[0], beside=False)]
    every = [*expected, *(column for task in tasks[1:] for column in _header(task, beside=True))]
    if header not in (expected, every):
        raise DataError(f"{path}: found the columns {', '.join(header)[:100]}; expected {', '.join(expected)[:100]}")
    if not rows or proteins not in (None, len(rows)):
        raise DataError(f"{path}: found {len(rows)} proteins, expected {proteins or 'some'}; is it cut off?")
    here = tasks if header == every else tasks[:1]
    readers = [_Reader(task, len(rows)) for task in here]
    lengths = np.zeros(len(rows), dtype=np.int64)
    for index, row in enumerate(rows):
        try:
            _read_row(index, row, header, before, readers, lengths)
        except _NotFinite:
            raise non_finite_error(os.path.join(os.path.dirname(path), "model")) from None
        except ValueError as error:
            number = index + 2  # as a spreadsheet counts, the header is row 1
            raise DataError(f"{path}, row {number} ({row[0] if row else 'empty'}): damaged: {error}") from None
    (decision, references), *others = [reader.found() for reader in readers]
    decision = Decision(decision.task, decision.scores, decision.chosen, {d.task.name: d for d, _ in others})
    known = lengths if len(before) == 2 else None
    return Predictions([row[0] for row in rows], known, decision, references, {d.task.name: r for d, r in others})


def _read_table(path: str) -> tuple[list[str], list[list[str]]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (ValueError, csv.Error) as error:  # not UTF-8, or a NUL
        raise DataError(f"{path}: damaged ({error})") from None
    return rows[0] if rows else [], rows[1:]


class _NotFinite(Exception):
    """A score is NaN or infinite."""


def _read_row(
    index: int,
    row: list[str],
    header: list[str],
    before: list[str],
    readers: "Sequence[_Reader]",
    lengths: np.ndarray,
) -> None:
    if len(row) != len(header):
        raise ValueError(f"found {len(row)} columns, expected {len(header)}")
    if len(before) == 2:
        lengths[index] = int(row[1])
    start = len(before)
    for reader in readers:
        reader.read(index, row[start : start + reader.width])
        start += reader.width


class _Reader:
    """Collects the cells of a task.

    Args:
        task: Whose columns these are.
        proteins: N, rows.
    """

    def __init__(self, task: Task, proteins: int) -> None:
        self.task = task
        self.width = len(_header(task, beside=False))
        self.places = {label: index for index, label in enumerate(task.labels)}
        shape = (proteins, len(task.labels))
        self.scores = np.zeros(shape)
        self.chosen = np.zeros(shape, dtype=bool)
        self.true = np.zeros(shape)  # 0 or 1, or numbers; NaN where unknown

    def read(self, row: int, cells: Sequence[str]) -> None:
        """Take the cells of a protein.

        Raises:
            ValueError: What is wrong with them.
        """
        if self.task.problem_type == REGRESSION:
            self.true[row] = [float(cell or "nan") for cell in cells[::2]]
            self.scores[row] = [float(cell) for cell in cells[1::2]]
        else:
            self._read_labels(row, *cells[:2])
            self.scores[row] = [float(cell) for cell in cells[3:]]
        if not np.isfinite(self.scores[row]).all():
            raise _NotFinite
        self._check(row)

    def _read_labels(self, row: int, true: str, predicted: str) -> None:
        several = self.task.problem_type != SINGLE_LABEL
        for name in predicted.split(LABEL_SEPARATOR) if several else [predicted]:
            self.chosen[row, self._place(name)] = True
        if not several:
            self.true[row] = np.nan if not true else 0
        for name in filter(None, true.split(LABEL_SEPARATOR) if several else [true]):
            known = name in self.places or not several
            self.true[row, self._place(name if known else name.removesuffix(UNKNOWN))] = 1 if known else np.nan

    def _place(self, name: str) -> int:
        if name not in self.places:
            raise ValueError(f"{name!r} is not a class of the run")
        return self.places[name]

    def _check(self, row: int) -> None:
        scores = self.scores[row]
        if self.task.problem_type == SINGLE_LABEL and not np.isclose(scores.sum(), 1, atol=1e-3):
            raise ValueError("its probabilities do not add up to 1")
        if self.task.problem_type != REGRESSION and not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("a probability is not between 0 and 1")

    def found(self) -> tuple[Decision, np.ndarray]:
        """The answers, and the true ones as [`task_metrics`] takes them."""
        decision = Decision(self.task, self.scores, self.chosen)
        if self.task.problem_type != SINGLE_LABEL:
            return decision, self.true
        return decision, np.where(np.isnan(self.true).all(1), IGNORED, self.true.argmax(1))
