import gzip
import io
from io import BytesIO

import pytest
from datasets.packaged_modules.fasta.fasta import Fasta
from hypothesis import example, given
from hypothesis import strategies as st

from protbert_classify.data.alphabet import LETTERS
from protbert_classify.data.fasta import read_fasta, split_records
from protbert_classify.data.records import Place
from protbert_classify.data.sources import open_plain_or_gzip
from protbert_classify.errors import DataError, InputError, SequenceError

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


# --- files


def records(content, name="proteins.fasta"):
    content = content if isinstance(content, bytes) else content.encode()
    return list(read_fasta(name, name, lambda path, mode: BytesIO(content)))


def triples(content):
    return [(record.place.accession, record.description, record.residues) for record in records(content)]


TWO = [("P1", "Nucleus-U test", "MKTAYX"), ("P2", "", "GGW")]


@pytest.mark.parametrize(
    "content",
    [
        ">P1 Nucleus-U test\nMKTAYX\n>P2\nGGW\n",
        ">P1 Nucleus-U test\nMKT\nAY\nX\n>P2\nG\nG\nW\n",
        ">P1 Nucleus-U test\r\nMKT\r\nAYX\r\n>P2\r\nGGW\r\n",
        ">P1 Nucleus-U test\rMKTAYX\r>P2\rGGW\r",
        ">P1 Nucleus-U test\nMKTAYX\n>P2\nGGW",
        "\n\n>P1 Nucleus-U test\n\nMKT\n\nAYX\n\n\n>P2\n\nGGW\n\n",
        ">P1\tNucleus-U test  \nmktayx*\n>P2\nG G W *\n",
        "; a comment\n>P1 Nucleus-U test\n; another\nMKTAYX\n>P2\nGGW\n",
    ],
    ids=["plain", "wrapped", "CRLF", "CR", "no last newline", "blank lines", "lower, stops, spaces", "comments"],
)
def test_every_way_to_write_fasta_reads_the_same(content):
    assert triples(content) == TWO


def test_records_know_their_place():
    assert [record.place for record in records(">P1\nM\n>P2\nK\n", "my.fasta")] == [
        ("my.fasta", 1, "P1"),
        ("my.fasta", 2, "P2"),
    ]
    assert str(Place("my.fasta", 2, "P2")) == "my.fasta, record 2 (P2)"
    assert str(Place("my.fasta", 3, "")) == "my.fasta, record 3 (no accession)"


accessions = st.text("ABCDEFGHIJ0123456789_.|-", min_size=1, max_size=12)
descriptions = st.text("abcXYZ =;-/[]>.", max_size=30).map(lambda text: " ".join(text.split()))
sequences = st.text(LETTERS, min_size=1, max_size=200)


@given(
    st.lists(st.tuples(accessions, descriptions, sequences), min_size=1, max_size=8),
    st.integers(1, 80),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_what_is_written_as_fasta_is_read_back(written, width, newline, lower, stop, last_newline):
    lines = []
    for accession, description, sequence in written:
        lines.append(f">{accession} {description}")
        letters = (sequence.lower() if lower else sequence) + "*" * stop
        lines += [letters[start : start + width] for start in range(0, len(letters), width)]
    content = newline.join(lines) + newline * last_newline
    assert triples(content) == written
    assert triples(content.encode()) == written


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.fa: no records; expected FASTA"),
        (b"\n \r\n\n", "f.fa: no records; expected FASTA"),
        (b"id,sequence\nP1,MKT\n", "f.fa: no FASTA file: it begins with 'id,sequence'; expected '>ACCESSION ...'"),
        (b"MKT\n>P1\nMKT\n", "f.fa: no FASTA file: it begins with 'MKT'; expected '>ACCESSION ...'"),
        (b">\nMKT\n", "f.fa, record 1 (no accession): the header is empty; expected '>ACCESSION ...'"),
        (b"\xff\xfe\x00\x9d\x80>P1\nMKT\n", "f.fa: not a text file, or damaged; expected FASTA, plain or compressed"),
        (b">P1\nMKT\n\xff\x9d\n", "f.fa, record 1 (P1): '\ufffd' at position 4 is not a residue"),
        (b"PK\x03\x04\0\0>P1\nMKT\n", "f.fa: not a text file, or damaged"),
        (b">P1\nMKT\n>P2\n>P3\nMKT\n", "f.fa, record 2 (P2): no residues"),
        (b">P1\nMKT\n>P2\n", "f.fa, record 2 (P2): no residues"),
        (b">P1\n*\n", "f.fa, record 1 (P1): no residues"),
        (b">P1\nMKT\n>P2\nMK\nT1\n", "f.fa, record 2 (P2): '1' at position 4 is not a residue; expected letters A-Z"),
    ],
)
def test_bad_fasta_says_where_what_and_what_was_expected_in_one_line(content, message):
    with pytest.raises(InputError) as caught:
        records(content, "f.fa")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert isinstance(caught.value, DataError | SequenceError)


def test_a_byte_of_another_encoding_in_a_header_does_not_cost_the_file():
    content = ";caf\xe9\n>P1 caf\xe9\nMKT\n>P2 plain\nMKV\n".encode("latin-1")
    assert triples(content) == [("P1", "caf\ufffd", "MKT"), ("P2", "plain", "MKV")]


def test_records_before_a_bad_one_are_read_and_none_after():
    reading = read_fasta("f", "f", lambda path, mode: BytesIO(b">P1\nM\n>P2\n?\n>P3\nM\n"))
    assert next(reading).place.accession == "P1"
    with pytest.raises(SequenceError, match=r"f, record 2 \(P2\): '\?' at position 1"):
        next(reading)
    assert list(reading) == []


@pytest.mark.parametrize("name", ["p.fasta.gz", "p.fasta"], ids=["named gz", "gz without its ending"])
def test_a_gzip_file_is_known_by_its_bytes(write_bytes, name):
    path = write_bytes(gzip.compress(b">P1\nMKT\n", mtime=0), name)
    assert [record.residues for record in read_fasta(path)] == ["MKT"]
    with open_plain_or_gzip(path) as file:
        assert file.read() == b">P1\nMKT\n"


@pytest.mark.parametrize(
    "damaged",
    [
        gzip.compress(b">P1\nMKT\n" * 500, mtime=0)[:-20],
        b"\x1f\x8bno gzip",
        gzip.compress(b">P1\nM\n", mtime=0)[:-8] + b"\0" * 8,
    ],
    ids=["cut", "junk", "wrong checksum"],
)
def test_a_damaged_gzip_file_is_no_traceback(write_bytes, damaged):
    with pytest.raises(DataError, match=r"^p\.fasta\.gz: not a text file, or damaged"):
        list(read_fasta(write_bytes(damaged, "p.fasta.gz")))


def test_a_byte_order_mark_before_the_first_record_does_not_hide_it(write_bytes):
    path = write_bytes(b"\xef\xbb\xbf>P1 Nucleus-U\nMKT\n", "windows.fasta")
    assert [record.place.accession for record in read_fasta(path)] == ["P1"]
