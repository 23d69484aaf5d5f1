"""The client's side: proteins to requests within the server's limits, and its answers back to predictions."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from ..data.alphabet import clean
from ..data.records import Record
from ..errors import ProteinClassifierError, SequenceError
from ..inference.writers import AFTER, BEFORE, BOOLEAN, INTEGER, NUMBER, PROBABILITY, TEXT, Column, Prediction
from .limits import Limits

BODY = 4 * 2**20  # bytes of a request; the server takes more, SageMaker 6 MB
RESIDUES = Limits().residues  # of a protein
KINDS = {str: TEXT, bool: BOOLEAN, int: INTEGER, float: NUMBER}
Item = TypeVar("Item")


def json_inputs(sequences: Sequence[str], top_k: int | None | Literal["predicted"] = "predicted") -> bytes:
    """A request in JSON, for what the pipeline returns."""
    parameters = {} if top_k == "predicted" else {"parameters": {"top_k": top_k}}
    return json.dumps({"inputs": list(sequences), **parameters}).encode()


def json_answer(answer: bytes, count: int) -> list:
    """The answer to [`json_inputs`] of `count` proteins.

    Raises:
        ProteinClassifierError: It is not such an answer.
    """
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, list) or len(found) != count:
        raise ProteinClassifierError(f"not an answer of this package to {count} proteins: {answer[:80]!r}")
    return found


def json_line(record: Record) -> bytes:
    """A protein of a request in JSON Lines, which holds any accession and description."""
    row = {"id": record.place.accession, "description": record.description, "sequence": record.residues}
    return json.dumps(row).encode() + b"\n"


def json_lines(records: Iterable[Record]) -> bytes:
    """A request in JSON Lines, for a table."""
    return b"".join(map(json_line, records))


def table_answer(answer: bytes, count: int) -> tuple[list[Prediction], list[Column]]:
    """The predictions of an answer in JSON Lines to `count` proteins, and the columns of their table.

    Raises:
        ProteinClassifierError: It is not such an answer.
    """
    try:
        rows = [json.loads(line) for line in answer.decode().split("\n") if line]
        columns = _columns(rows[0])
        predictions = [_prediction(row, columns) for row in rows]
    except (ValueError, LookupError, TypeError) as error:
        raise ProteinClassifierError(f"not an answer of this package: {answer[:80]!r} ({error})") from None
    if len(predictions) != count:
        raise ProteinClassifierError(f"{count} proteins were sent, and {len(predictions)} came back")
    return predictions, columns


def _columns(row: dict[str, Any]) -> list[Column]:
    """The columns of a table, from one row: behind the name of a class, numbers are its scores."""
    columns = [Column(name, KINDS[type(value)]) for name, value in row.items()]
    if columns[: len(BEFORE)] != list(BEFORE) or columns[-len(AFTER) :] != list(AFTER):
        raise ValueError(f"found {', '.join(row)[:80]}")
    if columns[len(BEFORE)].kind == TEXT:
        columns = [column._replace(kind=PROBABILITY) if column.kind == NUMBER else column for column in columns]
    return columns


def _prediction(row: dict[str, Any], columns: Sequence[Column]) -> Prediction:
    accession, description, length, *answers, truncated = (row[column.name] for column in columns)
    return Prediction(accession, description, length, answers, truncated)


def split(items: Iterable[Item], size: Callable[[Item], int], most: int, body: int = BODY) -> Iterator[list[Item]]:
    """Group neighbouring items into requests, in their order.

    Args:
        items: Any.
        size: Bytes of an item in the body.
        most: Items of a request.
        body: Bytes of a request.
    """
    part: list[Item] = []
    filled = 0
    for item in items:
        more = size(item)
        if part and (len(part) == most or filled + more > body):
            yield part
            part, filled = [], 0
        part.append(item)
        filled += more
    if part:
        yield part


def line_size(record: Record) -> int:
    """Bytes of a record in a request."""
    return len(json_line(record))


def cleaned(sequences: Sequence[str]) -> list[str]:
    """The residues of sequences, checked as everywhere in this package.

    Raises:
        SequenceError: A character that is not a residue, or too many residues; with the number of the sequence.
    """
    residues = []
    for number, sequence in enumerate(sequences, 1):
        place = f"sequence {number}: " if len(sequences) > 1 else ""
        if not isinstance(sequence, str):
            raise SequenceError(f"{place}found {type(sequence).__name__}, expected text")
        try:
            residues.append(clean(sequence))
        except SequenceError as error:
            raise SequenceError(f"{place}{error}") from None
        _check_length(residues[-1], place)
    return residues


def short_enough(records: Iterable[Record]) -> Iterator[Record]:
    """The records, up to one that is longer than the server takes.

    Raises:
        SequenceError: For that one.
    """
    for record in records:
        _check_length(record.residues, f"{record.place}: ")
        yield record


def _check_length(residues: str, place: str) -> None:
    if len(residues) > RESIDUES:
        raise SequenceError(
            f"{place}{len(residues):,} residues; the server takes at most {RESIDUES:,}, 'protbert-classify predict' "
            "any number"
        )
