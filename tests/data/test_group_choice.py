import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify.data.group_choice import choose_groups

# (group, label) of each protein
members = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=120)
fractions = st.floats(0.01, 0.6)
seeds = st.integers(0, 2**32 - 1)


def choose(groups, labels, fraction, seed, **options):
    groups, labels = np.array(groups), np.array(labels)
    stratum = np.unique(labels, return_inverse=True)[1]
    sizes = np.bincount(stratum)
    wanted = np.minimum(np.round(fraction * sizes), sizes - 1).astype(int)
    present = stratum[:, None] == np.arange(len(sizes))
    return choose_groups(groups, stratum, present, wanted, seed, **options), wanted


@given(members, fractions, seeds)
def test_no_group_is_ever_torn_and_every_label_keeps_a_protein(rows, fraction, seed):
    groups, labels = (np.array(column) for column in zip(*rows))
    chosen, _ = choose(groups, labels, fraction, seed)
    assert not set(groups[chosen]) & set(groups[~chosen])
    assert set(labels[~chosen]) == set(labels)


@given(members, fractions, seeds)
def test_the_same_seed_chooses_the_same_proteins_whatever_the_groups_are_called(rows, fraction, seed):
    groups, labels = (np.array(column) for column in zip(*rows))
    first, second = (choose(names, labels, fraction, seed)[0] for names in (groups, groups))
    assert (first == second).all()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), fractions, seeds)
def test_proteins_without_neighbours_are_stratified_exactly(labels, fraction, seed):
    chosen, wanted = choose(np.arange(len(labels)), labels, fraction, seed)
    stratum = np.unique(labels, return_inverse=True)[1]
    assert np.bincount(stratum[chosen], minlength=len(wanted)).tolist() == wanted.tolist()


@given(members, fractions, seeds)
def test_the_total_is_not_missed_by_more_than_a_group(rows, fraction, seed):
    """Whatever could bring a class nearer to its share, and is not too large, was taken."""
    groups, labels = (np.array(column) for column in zip(*rows))
    chosen, wanted = choose(groups, labels, fraction, seed)
    stratum = np.unique(labels, return_inverse=True)[1]
    lacking = wanted - np.bincount(stratum[chosen], minlength=len(wanted))
    for group in set(groups[~chosen].tolist()):
        own = np.bincount(stratum[groups == group], minlength=len(wanted))
        nearer = np.abs(lacking).sum() - np.abs(lacking - own).sum() > 0
        left = np.bincount(stratum[~chosen], minlength=len(wanted))
        assert not nearer or own.sum() > wanted.sum() or (own == left)[own > 0].any()


def test_a_giant_group_stays_in_training():
    groups = [0] * 400 + list(range(1, 601))
    chosen, wanted = choose(groups, [row % 2 for row in range(1000)], 0.1, 7)
    assert not chosen[:400].any() and chosen.sum() == wanted.sum() == 100


def test_large_families_are_as_likely_as_others():
    """A protein of a family of ten is chosen as often as one without a family."""
    groups = [row // 10 for row in range(200)] + list(range(20, 220))
    taken = np.mean([choose(groups, [0] * 400, 0.2, seed)[0] for seed in range(60)], axis=0)
    assert taken[:200].mean() == pytest.approx(0.2, abs=0.04) and taken[200:].mean() == pytest.approx(0.2, abs=0.04)


def test_a_label_gets_its_smallest_group_rather_than_none():
    groups = [0] * 4 + [1] * 5 + [2] * 5 + list(range(3, 89))
    labels = [0] * 14 + [1] * 86
    chosen, wanted = choose(groups, labels, 0.1, 3)
    assert wanted.tolist() == [1, 9] and np.flatnonzero(chosen[:14]).tolist() == [0, 1, 2, 3]


def test_a_label_in_one_group_or_mostly_in_one_gives_none():
    groups = [0] * 10 + [1] * 9 + [2] + list(range(3, 83))
    labels = [0] * 10 + [1] * 10 + [2] * 80
    chosen, wanted = choose(groups, labels, 0.1, 3)
    assert wanted.tolist() == [1, 1, 8]
    assert not chosen[:10].any() and not chosen[10:19].any() and chosen[19] and chosen[20:].sum() == 8


def test_only_what_is_allowed_is_chosen():
    allowed = np.arange(100) >= 50
    chosen, _ = choose(np.arange(100), [0] * 100, 0.3, 1, allowed=allowed)
    assert chosen.sum() == 30 and not chosen[:50].any()
