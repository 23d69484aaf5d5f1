"""Two models on the same proteins: values, intervals that pairing makes narrow, and McNemar's test."""

import numpy as np
import pytest
from scipy.stats import binom

from protbert_classify.evaluation.comparison import McNemar, compare
from protbert_classify.evaluation.decision import decide_task
from protbert_classify.evaluation.intervals import task_intervals
from protbert_classify.evaluation.metrics import WATCHED, task_metrics
from protbert_classify.evaluation.resampling import draw_counts, matrix_metrics, resampled_metrics
from protbert_classify.model.losses import IGNORED
from protbert_classify.model.tasks import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL, Task
from tests.reporting.runs import one_answered

LABELS = ["Cytoplasm", "Nucleus", "Membrane"]
LOCATION = Task(name="location", problem_type=SINGLE_LABEL, labels=LABELS)


def task_of(problem_type):
    more = {"mean": [0.0] * 3, "std": [1.0] * 3} if problem_type == REGRESSION else {}
    return Task(name="answer", problem_type=problem_type, labels=LABELS, **more)


def called(classes):
    return decide_task(4.0 * np.eye(3)[np.asarray(classes)], LOCATION)


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_the_values_are_those_of_the_metrics_and_the_difference_is_the_second_minus_the_first(problem_type):
    task = task_of(problem_type)
    first, references = one_answered(np.random.default_rng(1), task, 80)
    second = decide_task(np.random.default_rng(2).normal(size=(80, 3)), task)
    found = compare(first, second, references, resamples=200)
    whole = {one.name: one for one in found.differences if one.label is None}
    more = ["balanced_accuracy"] if problem_type == SINGLE_LABEL else []
    assert list(whole) == [*WATCHED[problem_type], *more]
    for name, one in whole.items():
        values = [task_metrics(decision, references)[name] for decision in (first, second)]
        assert (one.first, one.second) == pytest.approx(tuple(values)), name
        assert one.value == pytest.approx(values[1] - values[0])
        assert one.interval[0] <= one.value <= one.interval[1]
    table = task_metrics(first, references)["per_target" if problem_type == REGRESSION else "per_class"]
    for one in found.differences:
        if one.label is not None:
            assert one.first == pytest.approx(table[one.label][one.name])


def test_a_model_compared_with_itself_does_not_differ():
    references = np.array([0, 1, 2] * 20)
    answers = called(np.roll(references, 1))
    found = compare(answers, answers, references)
    assert {(one.value, one.interval) for one in found.differences if one.value is not None} == {(0.0, (0.0, 0.0))}
    assert all((test.first, test.second, test.p_value) == (0, 0, 1.0) for test in found.tests)


def test_pairing_makes_the_interval_narrower_than_that_of_either_model():
    generator = np.random.default_rng(0)
    references = generator.integers(0, 3, 400)
    wrong = generator.random(400) < 0.4
    first = np.where(wrong, (references + 1) % 3, references)
    second = np.where(
        wrong & (generator.random(400) < 0.9), (references + 1) % 3, references
    )  # right where the first is
    found = compare(called(first), called(second), references).differences[0]
    low, high = task_intervals(called(first), references)["accuracy"]
    assert found.interval[0] > 0
    assert found.interval[1] - found.interval[0] < 0.5 * (high - low)


def test_the_interval_covers_the_true_difference_as_often_as_it_says():
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(200):
        shared = generator.random(150) < 0.5  # both right; of the others the second is right more often by 0.1
        first = np.where(shared, 0, np.where(generator.random(150) < 0.4, 0, 1))
        second = np.where(shared, 0, np.where(generator.random(150) < 0.6, 0, 1))
        low, high = compare(called(first), called(second), np.zeros(150), resamples=400).differences[0].interval
        covered += low <= 0.1 <= high
    assert binom.ppf(0.001, 200, 0.95) <= covered <= binom.ppf(0.999, 200, 0.95)


def test_copies_of_a_protein_are_drawn_together_and_make_the_interval_no_narrower():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 3, 60)
    first, second = (called(generator.integers(0, 3, 60)) for _ in range(2))
    once = compare(first, second, true, groups=np.arange(60))
    rows = np.repeat(np.arange(60), 10)
    copied = compare(first[rows], second[rows], true[rows], groups=rows)
    alone = compare(first[rows], second[rows], true[rows])
    widths = [found.differences[0].interval[1] - found.differences[0].interval[0] for found in (once, copied, alone)]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    assert widths[2] == pytest.approx(widths[0] / np.sqrt(10), rel=0.1)


def test_mcnemar_counts_where_one_is_right_and_is_the_exact_test():
    references = np.array([0] * 10 + [1] * 10)
    first = np.array([0] * 9 + [1] + [1] * 2 + [2] * 8)
    second = np.array([1] * 3 + [0] * 7 + [1] * 10)
    whole, *each = compare(called(first), called(second), references).tests
    assert (whole.proteins, whole.first, whole.second) == (20, 3, 9)
    assert whole.p_value == pytest.approx(2 * binom.cdf(3, 12, 0.5))
    assert [(t.label, t.proteins, t.first, t.second) for t in each] == [
        ("Cytoplasm", 10, 3, 1),
        ("Nucleus", 10, 0, 8),
        ("Membrane", 0, 0, 0),
    ]


def test_of_several_labels_a_protein_is_right_if_every_known_label_is():
    task = task_of(MULTI_LABEL)
    references = np.array([[1, 0, np.nan], [1, 1, 0], [np.nan, np.nan, np.nan]])
    first = decide_task(np.array([[5.0, -5, 5], [5, -5, -5], [5, 5, 5]]), task)
    second = decide_task(np.array([[-5.0, 5, 5], [5, 5, -5], [5, 5, 5]]), task)
    whole, *each = compare(first, second, references).tests
    assert whole == McNemar(None, 2, 1, 1)  # a protein of which nothing is known is left out
    assert each == [McNemar("Cytoplasm", 2, 1, 0), McNemar("Nucleus", 2, 1, 1), McNemar("Membrane", 1, 0, 0)]


def test_a_regression_has_no_test_and_unknown_answers_are_left_out():
    task = task_of(REGRESSION)
    first, references = one_answered(np.random.default_rng(3), task, 40)
    references[:10] = np.nan
    found = compare(first, first, references, resamples=50)
    assert found.tests == []
    known = task_metrics(first, references)["spearman"]
    assert found.differences[0].first == pytest.approx(known)
    single = called([0, 1, 2])
    assert compare(single, single, np.array([0, IGNORED, 2])).tests[0].proteins == 2


def test_a_class_without_proteins_has_no_difference():
    references = np.array([0, 1] * 10)
    found = compare(called(references), called(references[::-1]), references)
    missing = [one for one in found.differences if one.label == "Membrane"]
    assert {(one.first, one.value, one.interval) for one in missing} == {(None, None, None)}


def test_what_cannot_be_compared_is_refused():
    answers = called([0, 1, 2])
    with pytest.raises(ValueError, match="different tasks"):
        compare(
            answers,
            decide_task(np.eye(3), Task(name="location", problem_type=SINGLE_LABEL, labels=list("ABC"))),
            np.zeros(3),
        )
    with pytest.raises(ValueError, match="3 and 2 answers for 3 references"):
        compare(answers, answers[:2], np.zeros(3))
    with pytest.raises(ValueError, match="no known references"):
        compare(answers, answers, np.full(3, IGNORED))


def test_resamples_of_a_single_label_are_those_of_its_confusion_matrices():
    generator = np.random.default_rng(6)
    references, predictions = generator.integers(0, 3, (2, 50))
    (counts,) = draw_counts(50, 20, seed=1)
    matrices = np.zeros((20, 3, 3))
    for row, drawn in enumerate(counts):
        np.add.at(matrices[row], (references, predictions), drawn)
    found, expected = resampled_metrics(called(predictions), references, counts), matrix_metrics(matrices)
    for name, values in expected.items():
        key = name if values.ndim == 1 else f"per_class_{name.removeprefix('class_')}"
        np.testing.assert_allclose(found[key], values)
    (counts.sum(1) == 50).all()
