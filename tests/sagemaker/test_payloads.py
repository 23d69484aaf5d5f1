"""Long lists in requests that SageMaker takes: nothing is lost on the way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify.data.fasta import read_fasta
from protbert_classify.data.records import Place, Record
from protbert_classify.errors import ProteinClassifierError, SequenceError
from protbert_classify.inference.writers import columns_for
from protbert_classify.model.tasks import REGRESSION, SINGLE_LABEL, Task
from protbert_classify.sagemaker.payloads import json_line, rows_of, sized, split
from protbert_classify.sagemaker.transform.spool import Spool, fasta


@given(st.lists(st.integers(1, 40)), st.integers(1, 7), st.integers(40, 120))
def test_no_item_is_lost_the_order_stays_and_the_limits_are_kept(sizes, most, body):
    items = list(enumerate(sizes))
    parts = list(split(items, lambda item: item[1], most, body))
    assert [item for part in parts for item in part] == items
    assert all(1 <= len(part) <= most and sum(size for _, size in part) <= body for part in parts)
    for part, following in zip(parts, parts[1:], strict=False):  # no part is smaller than it must be
        assert len(part) == most or sum(size for _, size in [*part, following[0]]) > body


@given(st.lists(st.tuples(st.text(), st.text(), st.text("ACDEFGHIKLMNPQRSTVWY", min_size=1)), min_size=1, max_size=20))
def test_any_accession_and_description_comes_back_as_it_was(tmp_path_factory, records):
    spool = Spool(str(tmp_path_factory.mktemp("spool")))
    records = [Record(Place("x", n, name), about, residues) for n, (name, about, residues) in enumerate(records, 1)]
    assert spool.write(records) == [len(records)]
    assert [sent.residues for sent in read_fasta(spool.fasta(0))] == [record.residues for record in records]
    calls, columns = spool.calls(0, b"".join(answer(len(record.residues)) for record in records))
    assert [(call.id, call.description) for call in calls] == [(r.place.accession, r.description) for r in records]
    assert columns == columns_for([Task(name="location", problem_type=SINGLE_LABEL, labels=["Nucleus", "score"])])


def answer(length, name="sent"):
    row = {"id": name, "description": "", "length": length, "location": "Nucleus", "score": 0.9, "Nucleus": 0.9}
    return json.dumps({**row, "score (class)": 0.1, "truncated": False}).encode() + b"\n"


def test_answers_of_other_proteins_are_no_answers(tmp_path):
    spool = Spool(str(tmp_path))
    spool.write([Record(Place("x", 1, "P1"), "", "MKT"), Record(Place("x", 2, "P2"), "", "MK")])
    with pytest.raises(ProteinClassifierError, match="part-00000.fasta: an answer of 3 residues for P2, which has 2"):
        spool.calls(0, answer(3) + answer(3))
    with pytest.raises(ProteinClassifierError, match="2 proteins were asked, and 1 answered"):
        spool.calls(0, answer(3))
    with pytest.raises(ProteinClassifierError, match="no answer of this package"):
        rows_of(b'{"id": "P1"}\n', 1)


def test_an_answer_of_numbers_is_a_table_of_numbers():
    row = {"id": "P1", "description": "", "length": 3, "Tm": 50.5, "half-life": 3e-06, "truncated": False}
    calls, columns = rows_of(json.dumps(row).encode(), 1)
    assert columns == columns_for([Task(name="stability", problem_type=REGRESSION, labels=["Tm", "half-life"])])
    assert [list(call.answers) for call in calls] == [[50.5, 3e-06]]


def test_a_line_holds_what_fasta_cannot():
    record = Record(Place("x", 1, "a b"), "two\nlines\u2028é", "MKT")
    assert json.loads(json_line(record)) == {"id": "a b", "description": "two\nlines\u2028é", "sequence": "MKT"}
    assert fasta(record) == b">a b two lines \xc3\xa9\nMKT\n"


def test_a_protein_that_no_endpoint_takes_is_named():
    records = [Record(Place("x.fasta", 1, "P1"), "", "M"), Record(Place("x.fasta", 2, "P2"), "", "M" * 100_001)]
    with pytest.raises(SequenceError, match=r"x.fasta, record 2 \(P2\): 100,001 residues; an endpoint takes at most"):
        list(sized(records))
