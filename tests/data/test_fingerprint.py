"""The same proteins have the same fingerprint, whatever order their classes have."""

import hashlib

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import List as ListOf

from protbert_classify.data.fingerprint import fingerprint


def proteins(answers, feature, **others):
    columns = {"id": ["P1", "P2"], "sequence": ["M K", "M"], "where": answers}
    table = Dataset.from_dict({**columns, **others})
    return table.cast_column("where", feature)


def test_a_fingerprint_is_that_of_accession_sequence_and_the_name_of_the_class():
    found = fingerprint(proteins([1, 0], ClassLabel(names=["a", "b"])))
    assert found == hashlib.sha256(b"P1\tM K\tb\nP2\tM\ta\n").hexdigest()


def test_the_order_of_the_classes_and_columns_that_do_not_count_change_nothing():
    one = fingerprint(proteins([[0, 1], [0]], ListOf(ClassLabel(names=["a", "b"]))))
    turned = proteins([[0, 1], [1]], ListOf(ClassLabel(names=["b", "a"])), is_train=[True, False])
    assert fingerprint(turned) == one
    assert fingerprint(turned.add_column("tm", [1.5, None]), ["where"]) == one


@pytest.mark.parametrize("change", [{"tm": [1.5, 2.5]}, {"tm": [1.5, None]}, {"id": ["P1", "P3"]}])
def test_other_answers_or_accessions_have_another_fingerprint(change):
    table = {"id": ["P1", "P2"], "sequence": ["M K", "M"], "tm": [1.5, 2.0]}
    features = Features({"id": Value("string"), "sequence": Value("string"), "tm": Value("float64")})
    first, other = (Dataset.from_dict(columns, features=features) for columns in (table, {**table, **change}))
    assert fingerprint(first) != fingerprint(other)
    assert fingerprint(first) == fingerprint(first, ["tm"]) != fingerprint(first, [])
