"""Long lists in requests that the server takes, and answers back to tables: nothing is lost on the way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify.data.records import UNDECODED, Place, Record
from protbert_classify.errors import ProteinClassifierError, SequenceError
from protbert_classify.inference.writers import columns_for
from protbert_classify.model.tasks import REGRESSION, SINGLE_LABEL, Task
from protbert_classify.serving.client import json_line, short_enough, split, table_answer
from protbert_classify.serving.requests import JSON_LINES, read_query

# all but what stands in place of bytes that are not UTF-8: an accession with it is refused
ACCESSION = st.characters(exclude_categories=["Cs"], exclude_characters=UNDECODED)


@given(st.lists(st.integers(1, 40)), st.integers(1, 7), st.integers(40, 120))
def test_no_item_is_lost_the_order_stays_and_the_limits_are_kept(sizes, most, body):
    items = list(enumerate(sizes))
    parts = list(split(items, lambda item: item[1], most, body))
    assert [item for part in parts for item in part] == items
    assert all(1 <= len(part) <= most and sum(size for _, size in part) <= body for part in parts)
    for part, following in zip(parts, parts[1:], strict=False):  # no part is smaller than it must be
        assert len(part) == most or sum(size for _, size in [*part, following[0]]) > body


@given(
    st.lists(
        st.tuples(st.text(ACCESSION, min_size=1), st.text(), st.text("ACDEFGHIKLMNPQRSTVWY", min_size=1)),
        min_size=1,
        max_size=20,
    )
)
def test_the_server_reads_any_accession_and_description_as_it_was(records):
    records = [Record(Place("x", n, name), about, residues) for n, (name, about, residues) in enumerate(records, 1)]
    query = read_query(b"".join(map(json_line, records)), JSON_LINES)
    found = [(record.place.accession, record.description, record.residues) for record in query.records]
    assert found == [(record.place.accession, record.description, record.residues) for record in records]


def answer(length, name="sent"):
    row = {"id": name, "description": "", "length": length, "location": "Nucleus", "score": 0.9, "Nucleus": 0.9}
    return json.dumps({**row, "score (class)": 0.1, "truncated": False}).encode() + b"\n"


def test_an_answer_of_classes_is_a_table_of_their_scores():
    predictions, columns = table_answer(answer(3) + answer(2, "P2"), 2)
    assert columns == columns_for([Task(name="location", problem_type=SINGLE_LABEL, labels=["Nucleus", "score"])])
    assert [(one.id, one.length, list(one.answers)) for one in predictions] == [
        ("sent", 3, ["Nucleus", 0.9, 0.9, 0.1]),
        ("P2", 2, ["Nucleus", 0.9, 0.9, 0.1]),
    ]


def test_an_answer_of_numbers_is_a_table_of_numbers():
    row = {"id": "P1", "description": "", "length": 3, "Tm": 50.5, "half-life": 3e-06, "truncated": False}
    predictions, columns = table_answer(json.dumps(row).encode(), 1)
    assert columns == columns_for([Task(name="stability", problem_type=REGRESSION, labels=["Tm", "half-life"])])
    assert [list(one.answers) for one in predictions] == [[50.5, 3e-06]]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (answer(3), "2 proteins were sent, and 1 came back"),
        (b'{"id": "P1"}\n', "not an answer of this package"),
        (b"<html>", "not an answer of this package"),
        (b"", "not an answer of this package"),
    ],
)
def test_what_is_not_an_answer_is_named(body, complaint):
    with pytest.raises(ProteinClassifierError, match=complaint):
        table_answer(body, 2)


def test_a_protein_that_the_server_does_not_take_is_named():
    records = [Record(Place("x.fasta", 1, "P1"), "", "M"), Record(Place("x.fasta", 2, "P2"), "", "M" * 100_001)]
    with pytest.raises(SequenceError, match=r"x.fasta, record 2 \(P2\): 100,001 residues; the server takes at most"):
        list(short_enough(records))
