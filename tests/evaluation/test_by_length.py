import pytest

from protbert_classify.evaluation.by_length import accuracy_by_length, wilson_interval


def test_proteins_are_counted_in_their_range_and_a_range_ends_at_the_cap():
    found = accuracy_by_length([True, False, True, True, False], [100, 101, 510, 511, 9000], 510)
    assert [(r["lower"], r["upper"], r["proteins"], r["accuracy"]) for r in found] == [
        (0, 100, 1, 1.0),
        (100, 200, 1, 0.0),
        (400, 510, 1, 1.0),
        (510, 600, 1, 1.0),
        (2000, None, 1, 0.0),
    ]


def test_without_a_cap_the_ranges_are_the_usual_ones():
    (found,) = accuracy_by_length([True, False], [401, 600])
    assert (found["lower"], found["upper"], found["accuracy"]) == (400, 600, 0.5)
    assert (found["low"], found["high"]) == wilson_interval(1, 2)


def test_no_proteins_have_no_ranges():
    assert accuracy_by_length([], []) == []


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # scipy.stats.binomtest(correct, total).proportion_ci(method="wilson")
    [(0, 10, 0.0, 0.277533), (5, 10, 0.236593, 0.763407), (10, 10, 0.722467, 1.0), (81, 263, 0.255289, 0.366211)],
)
def test_the_interval_is_wilsons(correct, total, low, high):
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=2e-6)
