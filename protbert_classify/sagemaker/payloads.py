"""Proteins to the bodies of requests, within an endpoint's limits, and answers back to calls."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from ..data.alphabet import clean
from ..data.records import Record
from ..errors import OptionError, ProteinClassifierError, SequenceError
from ..inference.writers import AFTER, BEFORE, BOOLEAN, INTEGER, NUMBER, PROBABILITY, TEXT, Column, Prediction
from ..serving.requests import Limits

PROTEINS = 64  # of a request: SageMaker waits 60 s for the answer of a real-time endpoint
BODY = 4 * 2**20  # bytes of a request, of the 6 MB (base 10 or 2, by the page one reads) that SageMaker takes
TRANSFORM_PROTEINS = 500  # of a part of a batch transform, which may take an hour; our own limit is 1,000
RESIDUES = Limits().residues  # of a protein; the container refuses more

Item = TypeVar("Item")


def split(
    items: Iterable[Item], size: Callable[[Item], int], most: int = PROTEINS, body: int = BODY
) -> Iterator[list[Item]]:
    """Neighbouring items together, as many as a request may have; none is lost, and their order stays.

    Args:
        items: Any, of `body` bytes at most each.
        size: Bytes of one in the body.
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


def cleaned(sequences: Sequence[str]) -> list[str]:
    """The residues of sequences, checked as the package checks all.

    Raises:
        SequenceError: A character that is no residue, or more residues than an endpoint takes; with its number.
    """
    if not isinstance(sequences, Sequence):
        raise SequenceError(f"found {type(sequences).__name__}; expected a protein as text, or a list of them")
    return [_cleaned(sequence, number, len(sequences)) for number, sequence in enumerate(sequences, 1)]


def _cleaned(sequence: str, number: int, count: int) -> str:
    place = f"sequence {number}: " if count > 1 else ""
    if not isinstance(sequence, str):
        raise SequenceError(f"{place}found {type(sequence).__name__}, expected text")
    try:
        residues = clean(sequence)
    except SequenceError as error:
        raise SequenceError(f"{place}{error}") from None
    if len(residues) > RESIDUES:
        raise SequenceError(f"{place}{too_long(residues)}")
    return residues


def too_long(residues: str) -> str:
    return f"{len(residues):,} residues; an endpoint takes at most {RESIDUES:,}, 'protbert-classify predict' all"


def sized(records: Iterable[Record]) -> Iterator[Record]:
    """The records, up to one that is longer than an endpoint takes.

    Raises:
        SequenceError: It.
    """
    for record in records:
        if len(record.residues) > RESIDUES:
            raise SequenceError(f"{record.place}: {too_long(record.residues)}")
        yield record


def json_inputs(sequences: Sequence[str], top_k: int | None | Literal["predicted"] = "predicted") -> bytes:
    """A request for what the pipeline returns."""
    if top_k == "predicted":
        return json.dumps({"inputs": list(sequences)}).encode()
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise OptionError(f"top_k {top_k!r}; expected a whole number from 1, or None for all classes")
    return json.dumps({"inputs": list(sequences), "parameters": {"top_k": top_k}}).encode()


def json_line(record: Record) -> bytes:
    """A record in a request for rows: JSON holds any accession and description as it is."""
    row = {"id": record.place.accession, "description": record.description, "sequence": record.residues}
    return json.dumps(row).encode() + b"\n"


def rows_of(answer: bytes, count: int) -> tuple[list[Prediction], list[Column]]:
    """An answer in JSON Lines.

    Args:
        answer: Of the container.
        count: Proteins that were asked.

    Returns:
        The calls, and the columns of their table.

    Raises:
        ProteinClassifierError: It is no such answer.
    """
    try:
        rows = [json.loads(line) for line in answer.decode().split("\n") if line]
        columns = _columns(rows[0])
        calls = [_call(row, columns) for row in rows]
    except (ValueError, LookupError, TypeError) as error:
        raise ProteinClassifierError(f"no answer of this package: {answer[:80]!r} ({error})") from None
    if len(calls) != count:
        raise ProteinClassifierError(f"{count} proteins were asked, and {len(calls)} answered")
    return calls, columns


def _columns(row: dict[str, Any]) -> list[Column]:
    """The columns of a table, from a row of it: numbers behind the name of a class are its scores."""
    kinds: dict[type, str] = {str: TEXT, bool: BOOLEAN, int: INTEGER, float: NUMBER}
    names = list(row)
    columns = [Column(name, kinds[type(row[name])]) for name in names]
    if columns[: len(BEFORE)] != list(BEFORE) or columns[-len(AFTER) :] != list(AFTER):
        raise ValueError(f"found {', '.join(names)[:80]}")
    if columns[len(BEFORE)].kind == TEXT:
        columns = [column._replace(kind=PROBABILITY) if column.kind == NUMBER else column for column in columns]
    return columns


def _call(row: dict[str, Any], columns: Sequence[Column]) -> Prediction:
    """A row of a table; it must have the columns of the others."""
    accession, description, length, *answers, truncated = (row[column.name] for column in columns)
    return Prediction(accession, description, length, answers, truncated)


def json_answer(answer: bytes, count: int) -> list:
    """An answer to [`json_inputs`].

    Raises:
        ProteinClassifierError: It is no such answer.
    """
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, list) or len(found) != count:
        raise ProteinClassifierError(f"no answer of this package to {count} proteins: {answer[:80]!r}")
    return found
