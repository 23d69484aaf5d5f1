import pytest
from datasets import ClassLabel, Value

from protbert_classify.data.records import Accessions, Place, protein_features
from protbert_classify.errors import DataError


def test_a_record_given_twice_is_dropped_and_counted():
    seen = Accessions()
    assert not seen.is_copy(Place("a", 1, "P1"), "Nucleus-U", "MKT")
    assert not seen.is_copy(Place("a", 2, "P2"), "Nucleus-U", "MKT")
    assert seen.is_copy(Place("a", 3, "P1"), "Nucleus-U", "MKT")
    assert seen.is_copy(Place("b", 1, "P1"), "Nucleus-U", "MKT")
    assert seen.copies == 2


@pytest.mark.parametrize("other", [("Nucleus-U", "MKTT"), ("Nucleus-S", "MKT"), ("Nucleus-U test", "MKT")])
def test_one_accession_for_two_proteins_is_an_error_that_names_both(other):
    seen = Accessions()
    seen.is_copy(Place("a.fa", 7, "P1"), "Nucleus-U", "MKT")
    with pytest.raises(DataError, match=r"b\.fa, record 9 \(P1\): the accession stands in a\.fa, record 7 too"):
        seen.is_copy(Place("b.fa", 9, "P1"), *other)


def test_the_columns_are_those_that_the_readme_promises():
    features = protein_features({"location": ClassLabel(names=["A", "B"]), "tm": Value("float64")})
    assert {name: getattr(feature, "names", feature.dtype) for name, feature in features.items()} == {
        "id": "string",
        "sequence": "string",
        "sequence_length": "int32",
        "location": ["A", "B"],
        "tm": "float64",
        "is_train": "bool",
    }
