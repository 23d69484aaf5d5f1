"""Tables of predictions: CSV, TSV, JSON Lines and Parquet, each written in parts that are joined in the end.

A row has the protein, the answer to the main task, those to the auxiliary ones, and whether the protein was cropped.
"""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..data.records import Record
from ..errors import OptionError
from ..evaluation.decision import UNANSWERED, Decision
from ..model.tasks import LABEL_SEPARATOR, REGRESSION, Task
from .answer_options import AnswerOptions

if TYPE_CHECKING:  # reading proteins imports pyarrow, and the server does without
    from .nearest_training import Nearest

ROW_GROUP = 1 << 16  # rows of a Parquet file that are written, and later read, at once
TEXT, INTEGER, PROBABILITY, NUMBER, BOOLEAN = "text", "integer", "probability", "number", "boolean"
IDENTITY = "identity"  # a share, or None
# kind of a column -> its type in Parquet
ARROW_TYPES = {TEXT: "string", INTEGER: "int32", BOOLEAN: "bool"} | dict.fromkeys(
    (PROBABILITY, NUMBER, IDENTITY), "float32"
)


class Column(NamedTuple):
    """A column of a table.

    Args:
        name: Its header.
        kind: `TEXT`, `INTEGER`, `PROBABILITY`, `NUMBER`, `IDENTITY` or `BOOLEAN`.
    """

    name: str
    kind: str


BEFORE = (Column("id", TEXT), Column("description", TEXT), Column("length", INTEGER))
AFTER = (Column("truncated", BOOLEAN),)


class Prediction(NamedTuple):
    """What a model makes of one protein: a row of a table.

    Args:
        id: Accession.
        description: The rest of its header.
        length: Residues.
        answers: The cells between the length and the last column.
        truncated: Whether the protein is longer than the model reads.
    """

    id: str
    description: str
    length: int
    answers: Sequence[Any]
    truncated: bool


class Table(Protocol):
    """A format of tables."""

    def write_part(self, path: str, predictions: Iterable[Prediction]) -> None:
        """Write some predictions to a file of their own, flushed to the disk."""

    def join(self, parts: Sequence[str], path: str) -> None:
        """Write one table of all parts, in their order."""


def table_for(output: str, columns: Sequence[Column]) -> Table:
    """The format that a name's ending asks for.

    Args:
        output: Of the table.
        columns: Of the table; see [`columns_for`].

    Raises:
        OptionError: Another ending.
    """
    ending = os.path.splitext(output)[1].lower()
    if ending not in FORMATS:
        raise OptionError(f"output {output}: expected a name that ends in {', '.join(FORMATS)}")
    return FORMATS[ending](columns)


def columns_for(tasks: Sequence[Task], options: AnswerOptions = AnswerOptions()) -> list[Column]:
    """The columns of a table.

    A classification has the predicted labels under the name of the task, their score and a column for each class; a
    regression has a column for each number. Behind them, an auxiliary task has the predicted labels and their score, or
    its numbers. A class of the name of another column is told apart.

    Args:
        tasks: The main task, and behind it the auxiliary ones.
        options: Prediction sets have a column `set` behind the score of the main task. Training proteins have `nearest`
            and `identity` there, and with `transfer_labels` the labels of the nearest one.
    """
    main, *others = tasks
    answers, classes = _answer_columns(main, "", main.labels), []
    answers += [Column("set", TEXT)] if options.sets is not None else []
    if options.training_proteins is not None:
        answers += [Column("nearest", TEXT), Column("identity", IDENTITY)]
        answers += [Column(f"nearest {main.name}", TEXT)] if options.transfer_labels else []
    if main.problem_type != REGRESSION:
        classes = [Column(label, PROBABILITY) for label in main.labels]
    beside = [column for task in others for column in _answer_columns(task, f"{task.name} ", _numbers(task))]
    ranked = [(*BEFORE, *AFTER), (*answers, *beside), classes]
    names = _unique([[column.name for column in columns] for columns in ranked], ("", " (predicted)", " (class)"))
    own, given, of_classes = ([c._replace(name=n) for c, n in zip(*pair)] for pair in zip(ranked, names, strict=True))
    start, middle = len(BEFORE), len(answers)
    return [*own[:start], *given[:middle], *of_classes, *given[middle:], *own[start:]]


def _answer_columns(task: Task, prefix: str, numbers: Sequence[str]) -> list[Column]:
    if task.problem_type == REGRESSION:
        return [Column(name, NUMBER) for name in numbers]
    return [Column(task.name, TEXT), Column(f"{prefix}score", PROBABILITY)]


def _numbers(task: Task) -> list[str]:
    """What the numbers of an auxiliary task are called beside others."""
    return [task.name] if len(task.labels) == 1 else [f"{task.name} {label}" for label in task.labels]


def _unique(ranked: Sequence[Sequence[str]], suffixes: Sequence[str]) -> list[list[str]]:
    """The same names, each once: of two that are the same, the later one gets a suffix."""
    taken: set[str] = set()
    unique: list[list[str]] = []
    for names, suffix in zip(ranked, suffixes, strict=True):
        unique.append([])
        for name in names:
            while name in taken:
                name += suffix
            taken.add(name)
            unique[-1].append(name)
    return unique


class DelimitedTable:
    """A line a protein, cells between `delimiter`; probabilities with six decimals, truncated yes or no."""

    delimiter = ","

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns

    def write_part(self, path: str, predictions: Iterable[Prediction]) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            self._writer(file).writerows(row_cells(prediction, self.columns) for prediction in predictions)
            _to_disk(file)

    def join(self, parts: Sequence[str], path: str) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            self._writer(file).writerow([column.name for column in self.columns])
        _append(parts, path)

    def _writer(self, file: Any) -> Any:
        return csv.writer(file, delimiter=self.delimiter, lineterminator="\n")


class TabTable(DelimitedTable):
    """As [`DelimitedTable`], with tabulators."""

    delimiter = "\t"


class JsonLinesTable:
    """A JSON object a line and protein; probabilities with six decimals."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns

    def write_part(self, path: str, predictions: Iterable[Prediction]) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:
            for prediction in predictions:
                file.write(json.dumps(row_object(prediction, self.columns), ensure_ascii=False) + "\n")
            _to_disk(file)

    def join(self, parts: Sequence[str], path: str) -> None:
        with open(path, "wb"):
            pass
        _append(parts, path)


class ParquetTable:
    """Typed columns: length int32, probabilities and numbers float32, truncated bool."""

    row_group = ROW_GROUP  # rows that are joined in memory, at least
    options: Mapping[str, Any] = {}  # of Arrow's writer

    def __init__(self, columns: Sequence[Column]) -> None:
        import pyarrow as pa  # a tenth of a second, and the other formats and the server do without

        self.schema = pa.schema([(column.name, ARROW_TYPES[column.kind]) for column in columns])

    def write_part(self, path: str, predictions: Iterable[Prediction]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = zip(*map(row_values, predictions), strict=True)
        arrays = [self._array(values, field) for values, field in zip(columns, self.schema, strict=True)]
        with open(path, "wb") as file:
            pq.write_table(pa.table(arrays, schema=self.schema), file, **self.options)
            _to_disk(file)

    def join(self, parts: Sequence[str], path: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetWriter(path, self.schema, **self.options) as writer:
            waiting: list[pa.Table] = []
            for part in parts:
                waiting.append(pq.read_table(part))
                if sum(table.num_rows for table in waiting) >= self.row_group:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting))

    def _array(self, values: Sequence[Any], field: Any) -> Any:
        """The cells of a column as Arrow has them."""
        import pyarrow as pa

        return pa.array(values, field.type)


FORMATS: dict[str, Any] = {
    ".csv": DelimitedTable,
    ".tsv": TabTable,
    ".jsonl": JsonLinesTable,
    ".parquet": ParquetTable,
}


def predictions_of(
    records: Sequence[Record],
    decision: Decision,
    truncated: Iterable[bool],
    options: AnswerOptions = AnswerOptions(),
    nearest: "Nearest | None" = None,
) -> list[Prediction]:
    """The rows of proteins.

    Args:
        records: N of them.
        decision: For them, in the same order.
        truncated: N times whether the protein is longer than the model reads.
        options: Where all labels are left out, `-` stands.
        nearest: Their nearest training proteins; None if these are not known.
    """
    far = np.zeros(len(records), dtype=bool)
    if nearest is not None and options.min_identity is not None:
        far = ~(nearest.identity >= options.min_identity)
    beside = (_cells(part, options.min_score, far) for part in decision.auxiliary.values())
    parts = [_main_cells(decision, options, far, nearest), *beside]
    answers = zip(*(cells for part in parts for cells in part), strict=True)
    return [
        Prediction(record.place.accession, record.description, len(record.residues), row, cut)
        for record, row, cut in zip(records, answers, truncated, strict=True)
    ]


def _main_cells(
    decision: Decision, options: AnswerOptions, far: np.ndarray, nearest: "Nearest | None"
) -> list[Sequence[str | float | None]]:
    """The columns of the answers to the main task, N cells each."""
    cells = _cells(decision, options.min_score, far)
    if options.sets is not None:
        cells.append(decision.joined_sets(options.sets, by_class=options.sets_by_class))
    if nearest is not None:
        cells += [nearest.ids, [None if np.isnan(share) else float(share) for share in nearest.identity]]
        if nearest.labels is not None:
            cells.append(_joined(nearest.labels, decision.task.labels))
    return cells if decision.task.problem_type == REGRESSION else [*cells, *decision.scores.T.tolist()]


def _cells(decision: Decision, min_score: float, far: np.ndarray) -> list[Sequence[str | float | None]]:
    """The columns of the answers to any task, N cells each: numbers, or labels and their score."""
    if decision.task.problem_type == REGRESSION:
        return list(decision.scores.T.tolist())
    labels = np.where(far, UNANSWERED, np.array(decision.joined_labels(min_score), dtype=object)).tolist()
    return [labels, decision.score.tolist()]


def _joined(present: np.ndarray, labels: Sequence[str]) -> list[str]:
    """(N,), the labels whose place in a row of `present`, (N, C), is 1, with `;` between them."""
    return [LABEL_SEPARATOR.join(compress(labels, row == 1)) for row in present]


def row_values(prediction: Prediction) -> list[Any]:
    """The cells of a row with their types."""
    return [prediction.id, prediction.description, prediction.length, *prediction.answers, prediction.truncated]


def row_object(prediction: Prediction, columns: Sequence[Column]) -> dict[str, Any]:
    """A row as JSON has it: name of the column -> value, rounded."""
    return {
        column.name: ROUNDED[column.kind](value) for column, value in zip(columns, row_values(prediction), strict=True)
    }


def row_cells(prediction: Prediction, columns: Sequence[Column]) -> list[str]:
    """The cells of a row as text."""
    return [WRITTEN[column.kind](value) for column, value in zip(columns, row_values(prediction), strict=True)]


def _same(value: Any) -> Any:
    return value


# kind of a column -> its values in JSON and in CSV; any number has as many digits as float32 holds
ROUNDED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys((TEXT, INTEGER, BOOLEAN), _same),
    PROBABILITY: lambda value: round(float(value), 6),
    NUMBER: lambda value: float(f"{value:.7g}"),
    IDENTITY: lambda value: None if value is None else round(float(value), 3),
}
WRITTEN: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys((TEXT, INTEGER), str),
    BOOLEAN: lambda value: "yes" if value else "no",
    PROBABILITY: "{:.6f}".format,
    NUMBER: "{:.7g}".format,
    IDENTITY: lambda value: "" if value is None else f"{value:.3f}",
}


def _append(parts: Sequence[str], path: str) -> None:
    with open(path, "ab") as file:
        for part in parts:
            with open(part, "rb") as piece:
                shutil.copyfileobj(piece, file)


def _to_disk(file: Any) -> None:
    """A part that has its name must have its content, even after a power cut."""
    file.flush()
    os.fsync(file.fileno())
