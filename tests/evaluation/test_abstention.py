"""Answering only the sure ones: by hand."""

import numpy as np
import pytest

from protbert_classify.evaluation.abstention import accuracy_at, risk_coverage

SCORE = np.array([0.5, 0.9, 0.7, 0.9, 0.3])
RIGHT = np.array([False, True, True, False, True])


def test_the_curve_has_a_point_for_each_distinct_score():
    curve = risk_coverage(SCORE, RIGHT)
    assert curve.min_score == pytest.approx([0.9, 0.7, 0.5, 0.3])
    assert curve.share == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert curve.accuracy == pytest.approx([1 / 2, 2 / 3, 2 / 4, 3 / 5])


def test_of_equal_scores_all_are_answered_or_none_whatever_their_order():
    for right in ([True, False], [False, True]):
        curve = risk_coverage(np.array([0.8, 0.8]), np.array(right))
        assert (curve.share.tolist(), curve.accuracy.tolist()) == ([1.0], [0.5])


def test_a_minimum_score_keeps_those_that_reach_it():
    found = accuracy_at(SCORE, RIGHT, (0.0, 0.7, 0.95))
    assert [(part["min_score"], part["proteins"], part["share"]) for part in found] == [(0.0, 5, 1.0), (0.7, 3, 0.6)]
    assert found[0]["accuracy"] == pytest.approx(3 / 5)
    assert found[0]["low"] < 3 / 5 < found[0]["high"]
