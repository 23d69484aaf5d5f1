import io

import pytest
from datasets.packaged_modules.fasta.fasta import Fasta
from hypothesis import example, given
from hypothesis import strategies as st

from protbert_classify.data.fasta import split_records

ENDS = ("\n", "\r\n", "\r")
pieces = st.text(alphabet=">; \t\n\r\x0b\x0c\x1c\x85\u2028\xa0\ufeff|*-.aMKT\u00e9\u212a", max_size=12)
texts = st.lists(st.tuples(st.sampled_from(["", ">", "> ", ";", " >"]), pieces, st.sampled_from(ENDS))).map(
    lambda lines: "".join(map("".join, lines))
)


def by_datasets(text):
    return list(Fasta._parse_fasta(None, io.StringIO(text, newline="")))


@given(texts)
@example(">P1 human\nMKT\n;comment\nAYI\n\n>P2\n>P3  two  words \r\nM K\tT\r\n>")
@example("MKT\n;no header yet\n>P1\tSerum albumin\rMKT\rAYI")
@example(">\n>\nMKT")
def test_records_are_those_of_the_parser_of_datasets(text):
    assert list(split_records(io.StringIO(text, newline=""))) == by_datasets(text)


def test_a_record_comes_before_the_next_ones_are_read():
    lines = iter([">P1 x\n", "MKT\n", ">P2\n", "AYI\n"])
    records = split_records(lines)
    assert next(records) == ("P1", "x", "MKT")
    assert list(lines) == ["AYI\n"]


@pytest.mark.parametrize("text", ["", "\n\n", ";only a comment\n", "MKT\n"])
def test_a_text_without_a_header_has_no_records(text):
    assert list(split_records(io.StringIO(text))) == []
