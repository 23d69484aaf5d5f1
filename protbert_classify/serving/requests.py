"""The body of a request to a query: JSON, JSON Lines, FASTA or CSV to checked proteins and what is asked about them."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from ..data.fasta import parse_fasta
from ..data.records import Place, Record, checked
from ..errors import DataError
from .http_errors import TooLarge, Unprocessable, UnsupportedContent
from .limits import Limits

NAME = "request"  # what stands for a file's name in messages
JSON, JSON_LINES, FASTA, CSV = "application/json", "application/jsonlines", "text/x-fasta", "text/csv"
SEQUENCE = ("sequence", "inputs")  # names of the field with the residues, in JSON Lines
CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


class Form(NamedTuple):
    """What the answer to a request looks like.

    Args:
        single: The request has one protein outside a list, so its answer is not in a list either.
        named: The request has records, so an answer in JSON is a list of the rows of `predict`'s table; else it is what
            [`ProteinClassificationPipeline`] returns.
        parameters: The pipeline's `top_k`, `truncation_report`, `sets` and `sets_by_class`, as far as given.
    """

    single: bool
    named: bool
    parameters: Mapping[str, Any]


class Query(NamedTuple):
    """What a request asks.

    Args:
        records: Checked proteins to classify.
        form: What the answer looks like.
    """

    records: list[Record]
    form: Form


Reader = Callable[[bytes], tuple[Iterable[Record], Form]]
ROWS = Form(single=False, named=True, parameters={})


def read_query(body: bytes, content_type: str | None, limits: Limits = Limits()) -> Query:
    """What a request asks.

    Args:
        body: The body of the request.
        content_type: The header; JSON if there is none.
        limits: Limits of the request.

    Raises:
        UnsupportedContent: Another format or charset.
        TooLarge: More bytes or proteins than the limits.
        Unprocessable: Valid JSON of another shape, or a longer protein than the limit.
        DataError: A body that is not what its content type says.
        SequenceError: A character that is not a residue; the message names record, character and position.
    """
    read = reader_for(content_type)
    if len(body) > limits.body:
        raise TooLarge(f"{len(body):,} bytes; expected at most {limits.body:,}: send fewer proteins at once")
    found, form = read(body)
    records = list(islice(found, limits.proteins + 1))  # no more is read
    if len(records) > limits.proteins:
        raise TooLarge(f"more than {limits.proteins:,} proteins; send fewer at once")
    if not records:
        raise DataError(f"{NAME}: no proteins")
    return Query([_within(checked(record), limits) for record in records], form)


def reader_for(content_type: str | None) -> Reader:
    """The function that reads a body of a content type.

    Raises:
        UnsupportedContent: An unknown content type or charset.
    """
    kind, *options = (content_type or JSON).lower().split(";")
    charset = next((o.split("=")[1].strip(' "') for o in options if o.strip().startswith("charset=")), "utf-8")
    if kind.strip() not in READERS:
        raise UnsupportedContent(f"content type {kind.strip()[:80]!r}; expected one of {', '.join(READERS)}")
    if charset not in CHARSETS:
        raise UnsupportedContent(f"charset {charset[:80]!r}; expected utf-8")
    return READERS[kind.strip()]


def _within(record: Record, limits: Limits) -> Record:
    if len(record.residues) > limits.residues:
        raise Unprocessable(f"{record.place}: {len(record.residues):,} residues; expected at most {limits.residues:,}")
    return record


def _read_json(body: bytes) -> tuple[Iterable[Record], Form]:
    request = _parsed(_text(body), NAME)
    if not isinstance(request, dict) or "inputs" not in request:
        raise Unprocessable('expected {"inputs": "MKT"} or {"inputs": ["MKT", ...], "parameters": {...}}')
    if unknown := [name for name in request if name not in ("inputs", "parameters")]:
        raise Unprocessable(f"{unknown[0][:80]!r} is unknown; expected inputs and parameters")
    inputs = request["inputs"]
    single = isinstance(inputs, str)
    sequences = [inputs] if single else inputs
    if not isinstance(sequences, list) or not sequences:
        raise Unprocessable("inputs: expected a sequence, or a list of one or more")
    for number, sequence in enumerate(sequences, 1):
        if not isinstance(sequence, str):
            raise Unprocessable(f"inputs, record {number}: found {_kind(sequence)}, expected a sequence")
    records = (_record(number, None, "", sequence) for number, sequence in enumerate(sequences, 1))
    return records, Form(single, False, _parameters(request.get("parameters")))


def _parameters(found: Any) -> Mapping[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Unprocessable(f"parameters: found {_kind(found)}, expected an object")
    parameters = dict(found)
    for name, value in found.items():
        if name == "top_k":
            parameters[name] = _top_k(value)
        elif name == "sets":
            parameters[name] = _sets(value)
        elif name in ("truncation_report", "sets_by_class"):
            if not isinstance(value, bool):
                raise Unprocessable(f"parameters, {name}: expected true or false")
        else:
            known = "top_k, truncation_report, sets and sets_by_class"
            raise Unprocessable(f"parameters: {name[:80]!r} is unknown; expected {known}")
    return parameters


def _sets(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise Unprocessable("parameters, sets: expected a number between 0 and 1, such as 0.1, or null for none")
    return float(value)


def _top_k(value: Any) -> int | None:
    if value is None:
        return None
    # 2.0 is a whole number in JSON, too
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 1:
        raise Unprocessable("parameters, top_k: expected a whole number from 1, or null for all classes")
    return int(value)


def _read_json_lines(body: bytes) -> tuple[Iterable[Record], Form]:
    return (_line_record(number, line) for number, line in enumerate(_full_lines(body), 1)), ROWS


def _full_lines(body: bytes) -> Iterator[str]:
    # not splitlines(): it would end a line at characters that JSON allows in strings
    return (line for line in _text(body).split("\n") if line.strip())


def _line_record(number: int, line: str) -> Record:
    row = _parsed(line, f"{NAME}, line {number}")
    name = next((name for name in SEQUENCE if isinstance(row, dict) and name in row), None)
    if name is None:
        raise Unprocessable(f'{NAME}, line {number}: expected {{"id": "P1", "sequence": "MKT"}}; id may be missing')
    for field in ("id", "description", name):
        if not isinstance(row.get(field, ""), str):
            raise Unprocessable(f"{NAME}, line {number}: {field}: found {_kind(row[field])}, expected text")
    return _record(number, row.get("id"), row.get("description", ""), row[name])


def _read_fasta(body: bytes) -> tuple[Iterable[Record], Form]:
    if body.startswith(b">") and not set(body.rstrip()) & set(b"\r\n"):  # curl -d removes them
        raise DataError(f"{NAME}: the body has no line breaks; send it with curl --data-binary")
    return parse_fasta(NAME, NAME, lambda path, mode: io.BytesIO(body)), ROWS


def _read_csv(body: bytes) -> tuple[Iterable[Record], Form]:
    csv.field_size_limit(max(len(body), csv.field_size_limit()))  # the size of a body has a limit of its own
    return _csv_records(csv.DictReader(io.StringIO(_text(body), newline=""), strict=True)), ROWS


def _csv_records(rows: csv.DictReader) -> Iterator[Record]:
    try:
        if "sequence" not in (rows.fieldnames or ()):
            raise DataError(f"{NAME}: no column 'sequence'; expected a header line with sequence and, if known, id")
        for number, row in enumerate(rows, 1):
            if None in row or None in row.values():
                raise DataError(f"{NAME}, row {number}: expected {len(rows.fieldnames or ())} cells, as in the header")
            yield _record(number, row.get("id"), row.get("description", ""), row["sequence"])
    except csv.Error as error:
        raise DataError(f"{NAME}, line {rows.reader.line_num}: not valid CSV ({error})") from None


def _record(number: int, accession: str | None, description: str, sequence: str) -> Record:
    return Record(Place(NAME, number, accession or f"row_{number}"), description, sequence)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{NAME}: byte {error.start + 1} is not valid UTF-8") from None


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise DataError(f"{place}: not valid JSON ({reason})") from None


def _kind(value: Any) -> str:
    """The name that JSON has for a value's type."""
    if value is None:
        return "null"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds[type(value)]


READERS: dict[str, Reader] = {
    JSON: _read_json,
    JSON_LINES: _read_json_lines,
    FASTA: _read_fasta,
    "application/x-fasta": _read_fasta,
    CSV: _read_csv,
}
