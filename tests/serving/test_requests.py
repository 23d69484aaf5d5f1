import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.errors import DataError, InputError, SequenceError
from protbert_classify.serving.http_errors import TooLarge, Unprocessable, UnsupportedContent
from protbert_classify.serving.limits import Limits
from protbert_classify.serving.openapi import REQUEST
from protbert_classify.serving.requests import read_query


def read(body, content_type="application/json", limits=Limits()):
    body = json.dumps(body) if isinstance(body, (dict, list)) else body
    return read_query(body.encode() if isinstance(body, str) else body, content_type, limits)


def residues(query):
    return [record.residues for record in query.records]


def names(query):
    return [(record.place.accession, record.description) for record in query.records]


def test_json_is_one_protein_or_many_raw_or_spaced():
    one, many = read({"inputs": "m k t*"}), read({"inputs": ["MKT", "M K V"], "parameters": {"top_k": 2}})
    assert (residues(one), one.form.single, one.form.named) == (["MKT"], True, False)
    assert (residues(many), many.form.single, many.form.parameters) == (["MKT", "MKV"], False, {"top_k": 2})
    assert names(many) == [("row_1", ""), ("row_2", "")]
    (top_k,) = read('{"inputs": "M", "parameters": {"top_k": 2.0}}').form.parameters.values()
    assert (top_k, type(top_k)) == (2, int)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/x-fasta", ">P1 first, one\nMK\nT\n>P2\nMKV"),
        ("application/x-fasta", b"\xef\xbb\xbf>P1 first, one\r\nMKT\r\n\r\n>P2\r\nMKV\r\n"),
        ("text/csv", 'id,description,sequence\nP1,"first, one",MKT\nP2,,M K V\n'),
        ("Text/CSV; charset=UTF-8; header=present", 'sequence,id,description\r\nMKT,P1,"first, one"\r\nMKV,P2,\r\n'),
        (
            "application/jsonlines",
            '{"id": "P1", "description": "first, one", "sequence": "MKT"}\n\n{"id": "P2", "inputs": "MKV"}',
        ),
    ],
)
def test_every_format_of_records_gives_the_same_proteins_with_their_names(content_type, body):
    query = read(body, content_type)
    assert (residues(query), names(query)) == (["MKT", "MKV"], [("P1", "first, one"), ("P2", "")])
    assert query.form.named


def test_a_table_without_ids_counts_its_rows():
    assert names(read("sequence\nMKT\nMKV\n", "text/csv")) == [("row_1", ""), ("row_2", "")]
    assert names(read('{"sequence": "MKT"}\n', "application/jsonlines")) == [("row_1", "")]


def test_without_a_content_type_it_is_json():
    assert residues(read({"inputs": "MKT"}, None)) == ["MKT"]


def test_a_cell_of_a_table_may_be_as_long_as_a_body():
    assert residues(read("id,sequence\nP1," + "M " * 100_000 + "\n", "text/csv")) == ["M" * 100_000]


@pytest.mark.parametrize(
    ("content_type", "body", "error", "words"),
    [
        (None, {"inputs": ["MKT", "MK1T"]}, SequenceError, "request, record 2 (row_2): '1' at position 3 is not a"),
        ("text/x-fasta", ">P1\nMKT\n>P2\nMK-T\n", SequenceError, "request, record 2 (P2): '-' at position 3"),
        ("text/csv", "id,sequence\nP1,\n", SequenceError, "request, record 1 (P1): no residues"),
        ("application/jsonlines", '{"sequence": "M\\ud800"}', SequenceError, r"'\ud800' at position 2 is not a resid"),
        (
            "application/jsonlines",
            '{"id": "\\ud800", "sequence": "M"}',
            DataError,
            "the id or description is not valid text",
        ),
        ("text/x-fasta", ">\nMKT\n", DataError, "the header is empty"),
        ("text/x-fasta", "MKT\n", DataError, "no FASTA file"),
        ("text/x-fasta", "", DataError, "no records"),
        ("text/x-fasta", b">P1\n\xff\xfe", SequenceError, "request, record 1 (P1): '\ufffd' at position 1 is no"),
        ("text/x-fasta", b"\xff\xfe>P1\nM", DataError, "not a text file"),
        ("text/x-fasta", ">P1 oneMKT>P2MKV", DataError, "no line breaks; send it with curl --data-binary"),
        ("text/csv", "", DataError, "no column 'sequence'"),
        ("text/csv", "seq\nMKT\n", DataError, "no column 'sequence'"),
        ("text/csv", "sequence\n", DataError, "no proteins"),
        ("text/csv", "id,sequence\nP1,MKT,1\n", DataError, "row 1: expected 2 cells"),
        ("text/csv", "id,sequence\nP1\n", DataError, "row 1: expected 2 cells"),
        ("text/csv", 'id,sequence\n"P"1,MKT\n', DataError, "line 2: not valid CSV"),
        (None, "{", DataError, "request: not valid JSON"),
        (None, "[" * 100_000, DataError, "request: not valid JSON (nested too deep)"),
        (None, "1" * 10_000, DataError, "request: not valid JSON"),
        (None, b"\xff", DataError, "byte 1 is not valid UTF-8"),
        ("application/jsonlines", "{}\n{", Unprocessable, "request, line 1: expected"),
        ("application/jsonlines", '{"sequence": "M"}\n{', DataError, "request, line 2: not valid JSON"),
        ("application/jsonlines", '{"sequence": 1}', Unprocessable, "line 1: sequence: found a number, expected text"),
        ("application/jsonlines", '"MKT"', Unprocessable, "line 1: expected"),
        (None, "[]", Unprocessable, "expected {"),
        (None, {"inputs": "M", "options": {}}, Unprocessable, "'options' is unknown; expected inputs and parameters"),
        (None, {"inputs": []}, Unprocessable, "a list of one or more"),
        (None, {"inputs": ["M", None]}, Unprocessable, "inputs, record 2: found null, expected a sequence"),
        (None, {"inputs": "M", "parameters": 1}, Unprocessable, "parameters: found a number, expected an object"),
        (None, {"inputs": "M", "parameters": {"top_k": 0}}, Unprocessable, "top_k: expected a whole number from 1"),
        (None, {"inputs": "M", "parameters": {"top_k": True}}, Unprocessable, "top_k: expected a whole number from 1"),
        (
            None,
            '{"inputs": "M", "parameters": {"top_k": 1e999}}',
            Unprocessable,
            "top_k: expected a whole number from 1",
        ),
        (None, {"inputs": "M", "parameters": {"topk": 1}}, Unprocessable, "'topk' is unknown"),
        (None, {"inputs": "M", "parameters": {"truncation_report": 1}}, Unprocessable, "expected true or false"),
        (None, {"inputs": "M", "parameters": {"sets_by_class": 1}}, Unprocessable, "expected true or false"),
        (None, {"inputs": "M", "parameters": {"sets": 1}}, Unprocessable, "sets: expected a number between 0 and 1"),
        (None, {"inputs": "M", "parameters": {"sets": True}}, Unprocessable, "sets: expected a number between 0 and 1"),
        (None, '{"inputs": "M", "parameters": {"sets": NaN}}', Unprocessable, "sets: expected a number between 0"),
        ("image/png", "x", UnsupportedContent, "'image/png'; expected one of application/json, application/jsonlines"),
        ("text/csv; charset=latin-1", "x", UnsupportedContent, "charset 'latin-1'; expected utf-8"),
    ],
)
def test_what_cannot_be_read_is_named(content_type, body, error, words):
    with pytest.raises(error) as caught:
        read(body, content_type)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "error", "words"),
    [
        (Limits(body=25), TooLarge, "26 bytes; expected at most 25"),
        (Limits(proteins=1), TooLarge, "more than 1 proteins"),
        (Limits(residues=2), Unprocessable, "request, record 1 (row_1): 3 residues; expected at most 2"),
    ],
)
def test_limits_are_kept_to_the_last_one(limits, error, words):
    body = {"inputs": ["MKT", "MKV"]}
    assert residues(read(body, limits=Limits(26, 2, 3))) == ["MKT", "MKV"]
    with pytest.raises(error) as caught:
        read(body, limits=limits)
    assert words in str(caught.value)


sequences = st.sampled_from(["MKT", "m k t", " M*", "MKT * ", "", "*", "M*K", "M1", "ÄK", "M\n", "ſ"])
numbers = st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.sampled_from([1.5, 2.0, -1.0, 0.25]))
parameters = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from(["top_k", "truncation_report", "sets", "sets_by_class", "k"]), numbers, max_size=2),
    st.text(max_size=2),
)
inputs = st.one_of(sequences, st.lists(st.one_of(sequences, numbers), max_size=3), numbers)
requests = st.one_of(
    st.fixed_dictionaries({"inputs": inputs}, optional={"parameters": parameters}),
    st.dictionaries(st.sampled_from(["inputs", "parameters", "x"]), inputs, max_size=3),
    inputs,
)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(requests)
def test_what_openapi_admits_is_read_and_nothing_else(request):
    try:
        read(json.dumps(request))
        accepted = True
    except InputError:
        accepted = False
    assert accepted == jsonschema.Draft202012Validator(REQUEST).is_valid(request)
