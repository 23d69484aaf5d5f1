"""`test_neighbours.csv` comes back as it was written, and a damaged one is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify.data.test_neighbours import NearestTraining
from protbert_classify.errors import DataError
from protbert_classify.runs.test_neighbours import read_test_neighbours, write_test_neighbours

# the text of an accession: whatever a table may have, quotes and commas among it
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
PROTEINS = st.lists(st.tuples(NAMES, st.none() | st.tuples(NAMES, st.integers(0, 1000)), st.integers(0, 9)), min_size=1)


def neighbours(proteins):
    ids, found, groups = zip(*proteins, strict=True)
    return NearestTraining(
        list(ids),
        ["" if pair is None else pair[0] for pair in found],
        np.array([np.nan if pair is None else pair[1] / 1000 for pair in found]),
        np.array(groups),
    )


@given(proteins=PROTEINS)
def test_what_is_written_is_read(tmp_path_factory, proteins):
    path, wrote = str(tmp_path_factory.mktemp("run") / "test_neighbours.csv"), neighbours(proteins)
    write_test_neighbours(path, wrote)
    found = read_test_neighbours(path, wrote.ids)
    assert (found.ids, found.nearest) == (wrote.ids, wrote.nearest)
    np.testing.assert_array_equal(found.identity, wrote.identity)
    np.testing.assert_array_equal(found.group, wrote.group)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,nearest\nP1,Q1\n", "found the columns id, nearest; expected id, nearest, nearest_identity, group"),
        ("id,nearest,nearest_identity,group\nP1,Q1,0.5\n", "expected 4 columns in every row"),
        ("id,nearest,nearest_identity,group\nP1,Q1,half,0\n", "damaged: could not convert"),
        ("id,nearest,nearest_identity,group\nP2,Q1,0.5,0\n", "its proteins are not those of the predictions"),
        ("", "damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, text, reason):
    path = tmp_path / "test_neighbours.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=reason) as caught:
        read_test_neighbours(str(path), ["P1"])
    assert str(path) in str(caught.value)
