import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from protbert_classify.evaluation.decision import decide_task
from protbert_classify.evaluation.thresholds import fit_thresholds
from protbert_classify.model.tasks import Task

NAN = float("nan")


def mcc(true, called):
    return 0.0 if len({*true}) == 1 or len({*called}) == 1 else matthews_corrcoef(true, called)


def five_times(values):
    """So that no label is too rare; neither MCC nor thresholds depend on it."""
    return np.repeat(np.array(values, dtype=float), 5, axis=0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=25), st.sampled_from([1, 5]))
def test_no_threshold_is_better_than_the_one_that_is_found(pairs, copies):
    scores = np.array([[score / 20] for score, _ in pairs for _ in range(copies)], dtype=np.float32)
    true = np.array([float(known) for _, known in pairs for _ in range(copies)])
    if true.sum() < 5:
        assert fit_thresholds(scores, true[:, None]) == [0.5]
        return
    (found,) = fit_thresholds(scores, true[:, None])
    every = [mcc(true, scores[:, 0] >= np.float32(threshold)) for threshold in np.arange(-1, 42) / 40]
    best = max(every)
    if best > 0:
        assert mcc(true, scores[:, 0] >= np.float32(found)) == pytest.approx(best)
    else:
        assert found == 0.5
    assert fit_thresholds(scores, true[:, None]) == [found]


def test_a_threshold_lies_in_the_middle_between_two_scores():
    scores = five_times([[0.9], [0.8], [0.3], [0.1]])
    assert fit_thresholds(scores, five_times([[1], [1], [0], [0]])) == [pytest.approx(0.55)]
    assert fit_thresholds(scores, five_times([[1], [1], [1], [0]])) == [pytest.approx(0.2)]
    assert fit_thresholds(scores, five_times([[1], [0], [0], [0]])) == [pytest.approx(0.85)]


def test_a_label_that_few_proteins_have_keeps_a_half():
    scores = np.array([[0.9]] * 4 + [[0.8]] * 8)
    assert fit_thresholds(scores, np.array([[1]] * 4 + [[0]] * 8)) == [0.5]
    assert fit_thresholds(scores, np.array([[1]] * 4 + [[1]] + [[0]] * 7)) == [pytest.approx(0.85)]


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    # between the first two, and between the last two: MCC 0.577 both
    scores = five_times([[0.9], [0.7], [0.6], [0.2]])
    assert fit_thresholds(scores, five_times([[1], [0], [1], [0]])) == [pytest.approx(0.4)]


@pytest.mark.parametrize(
    ("scores", "true"),
    [
        ([0.1, 0.2, 0.3], [0, 0, 0]),
        ([0.1, 0.2, 0.3], [1, 1, 1]),
        ([0.3, 0.3, 0.3], [1, 0, 1]),
        ([0.1, 0.2, 0.3], [1, 0, 0]),
        ([0.9, 0.2, 0.3], [NAN, NAN, NAN]),
    ],
    ids=["no positives", "no negatives", "equal scores", "scores the wrong way round", "unknown"],
)
def test_scores_that_cannot_say_more_leave_a_half(scores, true):
    assert fit_thresholds(five_times(scores)[:, None], five_times(true)[:, None]) == [0.5]


def test_unknown_answers_are_left_out():
    scores = five_times([[0.9], [0.8], [0.7], [0.2]])
    assert fit_thresholds(scores, five_times([[1.0], [NAN], [NAN], [0.0]])) == [pytest.approx(0.55)]


def test_the_decision_uses_the_threshold_as_it_was_fitted():
    """Between neighbouring float32 there is no middle; rounding must not let the lower one in."""
    low = np.float32(0.7)
    scores = np.array([[np.nextafter(low, np.float32(1))], [low]])
    (threshold,) = fit_thresholds(np.repeat(scores, 5, axis=0), five_times([[1], [0]]))
    assert (scores[:, 0] >= np.float32(threshold)).tolist() == [True, False]


def test_the_decision_with_fitted_thresholds_repeats_the_labels_that_they_were_fitted_on():
    logits = np.array([[2.0, -3.0], [1.0, 4.0], [-1.0, -2.0]], dtype=np.float32)
    true = np.array([[1, 0], [0, 1], [0, 1]])
    task = Task(name="location", problem_type="multi_label_classification", labels=["x", "y"])
    thresholds = fit_thresholds(np.repeat(decide_task(logits, task).scores, 5, axis=0), five_times(true))
    assert decide_task(logits, dataclasses.replace(task, thresholds=thresholds)).chosen.tolist() == (true == 1).tolist()


def test_each_label_has_its_own():
    scores = five_times([[0.9, 0.1], [0.4, 0.05]])
    assert fit_thresholds(scores, five_times([[1, 1], [0, 0]])) == pytest.approx([0.65, 0.075])


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"scores of shape \(2, 3\), references of shape \(2, 2\)"):
        fit_thresholds(np.zeros((2, 3)), np.zeros((2, 2)))
