import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify.homology import mmseqs, saved_search
from protbert_classify.homology.groups import GroupSearch, connected
from protbert_classify.homology.neighbours import find_neighbours
from tests.homology.mutants import mutants, random_proteins


@pytest.fixture
def without_mmseqs(monkeypatch):
    monkeypatch.setattr(mmseqs, "find_binary", lambda: None)


def chain(length, seed):
    """Proteins of which only the next ones are neighbours: each has half of the one before, and a half of its own."""
    halves = random_proteins(length + 1, 100, seed)
    return [first + second for first, second in zip(halves, halves[1:])]


pairs_of_ten = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12)


@given(pairs_of_ten)
def test_a_group_is_all_that_a_chain_of_neighbours_reaches(pairs):
    reached = [{row} for row in range(10)]
    for _ in range(10):
        for one, other in pairs:
            reached[one] = reached[other] = reached[one] | reached[other]
            for row in reached[one]:
                reached[row] = reached[one]
    numbers = connected(10, np.array(pairs, dtype=np.int64).reshape(-1, 2).T)
    for row in range(10):
        assert set(np.flatnonzero(numbers == numbers[row]).tolist()) == reached[row]
    first = np.unique(numbers, return_index=True)[1]
    assert (np.diff(first) > 0).all()


def test_the_search_follows_a_chain_to_its_end_and_no_further(without_mmseqs):
    family, others = chain(5, seed=0), random_proteins(7, 200, seed=1)
    search = GroupSearch([*others, *family], coverage=0)
    seeds = np.arange(12) == 9
    search.extend(seeds, np.roll(np.arange(12), -9))
    assert np.flatnonzero(search.searched).tolist() == [7, 8, 9, 10, 11]
    assert len(np.unique(search.group[7:])) == 1 and len(np.unique(search.group)) == 8
    assert search.complete.tolist() == [False] * 7 + [True] * 5


def test_a_group_that_is_too_large_is_left_incomplete(without_mmseqs):
    search = GroupSearch(chain(6, seed=0), coverage=0)
    search.extend(np.arange(6) == 0, np.arange(6), most=3)
    assert not search.complete.any() and 1 < search.searched.sum() < 6
    search.extend(np.arange(6) == 0, np.arange(6))
    assert search.complete.all() and search.group.tolist() == [0] * 6


def test_a_group_is_searched_only_if_a_seed_leads_it(without_mmseqs):
    """Otherwise large families, which have many proteins to begin with, would be found more often than others."""
    search = GroupSearch(chain(6, seed=0), coverage=0)
    seeds, order = np.arange(6) == 2, np.array([1, 2, 0, 3, 4, 5])
    search.extend(seeds, order)
    assert np.flatnonzero(search.searched).tolist() == [2]  # its neighbour 1 comes first in the order
    assert not search.led_by(seeds, order).any() and search.led_by(np.arange(6) == 1, order).sum() == 3


def test_proteins_with_a_neighbour_on_the_other_side_are_counted(without_mmseqs):
    search = GroupSearch(chain(4, seed=0), coverage=0)
    search.extend(np.ones(4, dtype=bool), np.arange(4))
    assert search.count_torn(np.array([True, True, False, False])) == 1
    assert search.count_torn(np.array([True, False, True, False])) == 2
    assert search.count_torn(np.ones(4, dtype=bool)) == 0


def test_with_mmseqs2_families_are_groups():
    parents = random_proteins(8, 250, seed=0)
    family = [*parents, *mutants(parents[:4], 0.4, seed=1), *mutants(parents[:2], 0.4, seed=2)]
    search = GroupSearch(family)
    search.extend(np.ones(len(family), dtype=bool), np.arange(len(family)))
    assert search.method == mmseqs.NAME
    assert search.group.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 0, 1]


def test_the_same_search_is_answered_from_disk(monkeypatch, without_mmseqs):
    proteins, limits = random_proteins(6, 120, seed=3), {"identity": 0.3, "coverage": 0.8}
    first = saved_search.find_saved_neighbours(proteins, proteins, **limits)
    calls = []

    def counted(*args, **options):
        calls.append(options)
        return find_neighbours(*args, **options)

    monkeypatch.setattr(saved_search, "find_neighbours", counted)
    again = saved_search.find_saved_neighbours(proteins, proteins, **limits)
    assert calls == [] and again.query.tolist() == first.query.tolist() == list(range(6))
    assert again.identity.tolist() == first.identity.tolist() and again.method == first.method
    for other in ((proteins[:5], proteins, limits), (proteins, proteins, {**limits, "identity": 0.4})):
        saved_search.find_saved_neighbours(*other[:2], **other[2])
    assert len(calls) == 2


def test_another_method_or_a_damaged_file_is_searched_again(monkeypatch):
    proteins, limits = random_proteins(6, 121, seed=4), {"identity": 0.3, "coverage": 0.8}
    with monkeypatch.context() as patch:
        patch.setattr(mmseqs, "find_binary", lambda: None)
        assert saved_search.find_saved_neighbours(proteins, proteins, **limits).method.startswith("shared 5-mers")
    assert saved_search.find_saved_neighbours(proteins, proteins, **limits).method == mmseqs.NAME
    (newest,) = sorted(saved_search._folder().glob("*.npz"), key=lambda path: path.stat().st_mtime)[-1:]
    whole = newest.read_bytes()
    for damaged in (b"PK half of a file", whole[: len(whole) // 2], b""):
        newest.write_bytes(damaged)
        assert len(saved_search.find_saved_neighbours(proteins, proteins, **limits)) == 6


def test_a_disk_without_room_costs_only_time(monkeypatch, without_mmseqs):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    proteins = random_proteins(4, 122, seed=5)
    before = set(saved_search._folder().glob("*"))
    assert len(saved_search.find_saved_neighbours(proteins, proteins, identity=0.3, coverage=0.8)) == 4
    assert set(saved_search._folder().glob("*")) == before
