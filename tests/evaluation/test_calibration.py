"""Calibration: by hand, and at both ends."""

import numpy as np
import pytest

from protbert_classify.evaluation.calibration import calibration, score_metrics
from protbert_classify.evaluation.decision import Decision
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task


def single(probabilities):
    """The decision of a classification into two classes."""
    probabilities = np.asarray(probabilities, dtype=float).reshape(-1, 2)
    chosen = np.stack([probabilities[:, 0] >= probabilities[:, 1], probabilities[:, 0] < probabilities[:, 1]], 1)
    return Decision(Task(name="location", problem_type=SINGLE_LABEL, labels=["a", "b"]), probabilities, chosen)


def test_bins_and_error_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.85, 0.15], [0.35, 0.65], [0.45, 0.55], [0.9, 0.1]])
    found = calibration(single(probabilities), [0, 1, 1, 0, 0], bins=10)
    assert [(b["lower"], b["count"], b["accuracy"]) for b in found["bins"]] == [
        (0.5, 1, 0.0),
        (0.6, 1, 1.0),
        (0.8, 2, 0.5),  # 0.85 and 0.9, which is still in this bin
        (0.9, 1, 1.0),
    ]
    assert found["bins"][2]["confidence"] == pytest.approx(0.875)
    assert found["ece"] == pytest.approx((0.55 + 0.35 + 2 * 0.375 + 0.05) / 5)


def test_scores_that_are_always_right_have_no_error():
    assert calibration(single([[1.0, 0.0], [0.0, 1.0]]), [0, 1])["ece"] == 0


def test_honest_scores_have_little_error_and_boastful_ones_much():
    generator = np.random.default_rng(0)
    score = generator.uniform(0.5, 1, 20_000)
    right = generator.random(20_000) < score
    honest = np.stack([score, 1 - score], 1)
    assert calibration(single(honest), (~right).astype(int))["ece"] < 0.02
    boastful = np.stack([np.full(20_000, 0.99), np.full(20_000, 0.01)], 1)
    assert calibration(single(boastful), (~right).astype(int))["ece"] == pytest.approx(0.24, abs=0.02)


def test_proteins_of_unknown_class_are_left_out():
    known, more = [[0.9, 0.1], [0.3, 0.7]], [[0.9, 0.1], [0.3, 0.7], [0.8, 0.2]]
    assert calibration(single(more), [0, 0, -100]) == calibration(single(known), [0, 0])


def test_of_several_labels_every_score_counts_whether_predicted_or_not():
    task = Task(name="location", problem_type=MULTI_LABEL, labels=["a", "b"])
    scores = np.array([[0.75, 0.25], [0.75, 0.15]])
    found = calibration(Decision(task, scores, scores >= 0.5), np.array([[1, 0], [0, np.nan]]), bins=10)
    assert [(b["lower"], b["count"], b["accuracy"]) for b in found["bins"]] == [(0.2, 1, 0.0), (0.7, 2, 0.5)]
    assert found["ece"] == pytest.approx((0.25 + 2 * 0.25) / 3)


def test_no_proteins_or_other_lengths_are_refused():
    with pytest.raises(ValueError, match="no known references"):
        calibration(single([]), [])
    with pytest.raises(ValueError, match=r"references of shape \(1,\) for task 'location': expected \(2,\)"):
        calibration(single([[0.5, 0.5]] * 2), [0])


def test_there_are_fifteen_bins_of_equal_width():
    found = calibration(single([[0.61, 0.39], [0.99, 0.01]]), [0, 0])
    assert [(b["lower"], b["upper"]) for b in found["bins"]] == [(9 / 15, 10 / 15), (14 / 15, 1.0)]


def test_brier_score_and_likelihood_by_hand():
    found = score_metrics(single([[0.75, 0.25], [0.4, 0.6], [0.5, 0.5]]), [0, 0, -100])
    assert found["brier"] == pytest.approx((2 * 0.25**2 + 2 * 0.6**2) / 2)
    assert found["nll"] == pytest.approx(-(np.log(0.75) + np.log(0.4)) / 2)
    assert found["ece"] == pytest.approx((0.25 + 0.6) / 2)


def test_of_several_labels_brier_score_and_likelihood_are_means_over_the_known_ones():
    task = Task(name="location", problem_type=MULTI_LABEL, labels=["a", "b"])
    scores = np.array([[0.75, 0.25], [0.75, 0.5]])
    found = score_metrics(Decision(task, scores, scores >= 0.5), np.array([[1, 0], [0, np.nan]]))
    assert found["brier"] == pytest.approx((0.25**2 + 0.25**2 + 0.75**2) / 3)
    assert found["nll"] == pytest.approx(-(2 * np.log(0.75) + np.log(0.25)) / 3)


def test_a_score_of_one_that_is_wrong_has_a_likelihood_that_is_finite():
    assert score_metrics(single([[1.0, 0.0]]), [1])["nll"] == pytest.approx(-np.log(1e-7))


def test_a_regression_and_a_network_that_diverged_have_no_such_numbers():
    task = Task(name="length", problem_type=REGRESSION, labels=["length"])
    assert score_metrics(Decision(task, np.zeros((2, 1)), np.zeros((2, 1), dtype=bool)), np.zeros((2, 1))) == {}
    found = score_metrics(single([[np.nan, np.nan]]), [0])
    assert set(found) == {"ece", "brier", "nll"} and all(np.isnan(value) for value in found.values())
