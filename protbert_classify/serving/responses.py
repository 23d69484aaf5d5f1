"""Predictions to the body of an answer: JSON, JSON Lines or CSV, whichever the client prefers."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

from ..evaluation.decision import Decision
from ..inference.writers import columns_for, predictions_of, row_cells, row_object
from .http_errors import NotAcceptable, Unprocessable
from .requests import CSV, JSON, JSON_LINES, Query

TYPES = (JSON, JSON_LINES, CSV)  # the first is the default


def accepted_type(accept: str | None) -> str:
    """The format of an answer, by the header Accept (RFC 9110, 12.5.1).

    Args:
        accept: The header; several of them joined with commas.

    Raises:
        NotAcceptable: None of our formats is accepted.
    """
    if not (accept or "").strip():
        return JSON
    ranges = [_weighed(item) for item in str(accept).lower().split(",")]
    best, answer = 0.0, None
    for name in TYPES:
        matches = [(_specific(pattern, name), weight) for pattern, weight in ranges if _specific(pattern, name)]
        weight = max(matches, default=(0, 0.0))[1]  # of the closest range
        if weight > best:
            best, answer = weight, name
    if answer is None:
        raise NotAcceptable(f"accept {str(accept)[:80]!r}; expected one of {', '.join(TYPES)}")
    return answer


def answer(query: Query, decision: Decision, truncated: Sequence[bool], kind: str) -> str:
    """The body of an answer.

    Args:
        query: What was asked, about N proteins.
        decision: The predictions of all tasks for them, in their order.
        truncated: (N,), whether the protein is longer than the model reads.
        kind: What [`accepted_type`] returned.

    Raises:
        Unprocessable: Parameters, which only JSON has, for another format.
        OptionError: Prediction sets, which the model cannot give.
    """
    if kind == JSON and not query.form.named:
        every = _as_pipeline(query, decision, truncated, **query.form.parameters)
        return json.dumps(every[0] if query.form.single else every, ensure_ascii=False)
    check_parameters(query, kind)
    columns = columns_for([decision.task, *(part.task for part in decision.auxiliary.values())])
    predictions = predictions_of(query.records, decision, truncated)
    if kind == CSV:
        text = io.StringIO()
        header = [column.name for column in columns]
        csv.writer(text, lineterminator="\n").writerows([header, *(row_cells(each, columns) for each in predictions)])
        return text.getvalue()
    rows = [row_object(each, columns) for each in predictions]
    if kind == JSON:
        return json.dumps(rows, ensure_ascii=False)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def check_parameters(query: Query, kind: str) -> None:
    """Check the parameters of a query before anything is computed.

    Raises:
        Unprocessable: Parameters, which only JSON has, for another format.
    """
    if query.form.parameters and kind != JSON:
        raise Unprocessable(f"parameters are only for answers in {JSON}; {kind} always has every class and the length")


def _as_pipeline(
    query: Query,
    decision: Decision,
    truncated: Sequence[bool],
    top_k: int | None | Literal["predicted"] = "predicted",
    truncation_report: bool = False,
    sets: float | None = None,
    sets_by_class: bool = False,
) -> list[Any]:
    """What the pipeline returns for each protein, with its keywords."""
    predicted = [decision.answer(row, top_k) for row in range(len(decision))]
    if not truncation_report and sets is None:
        return predicted
    answers: list[dict[str, Any]] = [{"predictions": each} for each in predicted]
    if truncation_report:
        for each, record, cut in zip(answers, query.records, truncated, strict=True):
            each |= {"length": len(record.residues), "truncated": cut}
    if sets is not None:
        for each, names in zip(answers, decision.set_labels(sets, by_class=sets_by_class), strict=True):
            each["set"] = names
    return answers


def _weighed(item: str) -> tuple[str, float]:
    """`text/csv;q=0.5` -> its range and weight."""
    pattern, *options = (part.strip() for part in item.split(";"))
    weight = next((option[2:] for option in options if option.startswith("q=")), "1")
    try:
        return pattern, min(max(float(weight), 0.0), 1.0)
    except ValueError:
        return pattern, 0.0


def _specific(pattern: str, name: str) -> int:
    """How closely a range of Accept names a format; 0 if not at all."""
    if pattern == name:
        return 3
    if pattern == name.split("/")[0] + "/*":
        return 2
    return 1 if pattern == "*/*" else 0
