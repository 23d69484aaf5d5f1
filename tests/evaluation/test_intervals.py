"""Bootstrap intervals: they cover, and resamples that say nothing count for nothing."""

import tracemalloc

import numpy as np
import pytest

from protbert_classify.evaluation.decision import Decision
from protbert_classify.evaluation.intervals import FEWEST_GROUPS, bootstrap_intervals, task_intervals
from protbert_classify.evaluation.metrics import WATCHED, classification_metrics, task_metrics
from protbert_classify.evaluation.resampling import draw_group_counts
from protbert_classify.model.tasks import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL, Task


def matrix_of(predictions, references, classes):
    matrix = np.zeros((classes, classes), dtype=int)
    np.add.at(matrix, (references, predictions), 1)
    return matrix


@pytest.mark.slow
def test_intervals_are_those_of_drawing_proteins_again():
    generator = np.random.default_rng(3)
    references = generator.integers(0, 3, 300)
    predictions = np.where(generator.random(300) < 0.7, references, generator.integers(0, 3, 300))
    found = bootstrap_intervals(matrix_of(predictions, references, 3))
    drawn = []
    for _ in range(1000):
        rows = generator.integers(0, 300, 300)
        drawn.append(classification_metrics(predictions[rows], references[rows], list("abc")))
    for name in ("accuracy", "mcc", "macro_f1"):
        low, high = np.quantile([metrics[name] for metrics in drawn], [0.025, 0.975])
        assert found[name] == pytest.approx((low, high), abs=0.012), name


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_of_hundreds_of_classes_need_little_memory(grouped):
    generator = np.random.default_rng(0)
    classes = [f"fold {number}" for number in range(400)]
    references = generator.integers(0, 400, 500)
    scores = generator.random((500, 400))
    scores /= scores.sum(1, keepdims=True)
    task = Task(name="fold", problem_type=SINGLE_LABEL, labels=classes)
    decision = Decision(task, scores, scores > 2)
    groups = np.arange(500) // 2 if grouped else None
    tracemalloc.start()
    found = task_intervals(decision, references, groups=groups)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6  # all matrices at once: 625 of 400 x 400 numbers, three times
    assert found["accuracy"][0] <= found["accuracy"][1] < 0.05


def test_a_class_without_proteins_has_no_interval_and_a_perfect_one_has_no_width():
    found = bootstrap_intervals([[50, 0, 0], [0, 0, 0], [5, 0, 45]])
    assert found["recall"][1] is None and found["f1"][1] is None
    assert found["recall"][0] == (1.0, 1.0)
    assert found["recall"][2][0] < 0.9 < found["recall"][2][1]


def test_the_same_seed_gives_the_same_interval():
    matrix = [[30, 4], [9, 20]]
    assert bootstrap_intervals(matrix) == bootstrap_intervals(matrix)
    assert bootstrap_intervals(matrix, seed=1) != bootstrap_intervals(matrix)


def test_no_proteins_are_refused():
    with pytest.raises(ValueError, match="without proteins"):
        bootstrap_intervals([[0, 0], [0, 0]])


def test_a_class_that_a_resample_has_no_protein_of_does_not_count_as_wrong():
    # the only protein of the second class is predicted: a third of the resamples lack it, and say nothing about it
    found = bootstrap_intervals([[40, 0], [0, 1]])
    for name in ("recall", "f1", "precision"):
        assert found[name] == [(1.0, 1.0), (1.0, 1.0)], name
    assert found["macro_f1"] == (1.0, 1.0)


def test_a_class_that_is_never_predicted_has_no_interval_of_its_precision():
    found = bootstrap_intervals([[40, 0], [5, 0]])
    assert found["precision"][1] is None
    assert found["recall"][1] == found["f1"][1] == (0.0, 0.0)


def some_decision(problem_type, proteins=150, labels=3, seed=0):
    """Predictions that are mostly right, and the references."""
    generator = np.random.default_rng(seed)
    task = Task(name="location", problem_type=problem_type, labels=[f"l{index}" for index in range(labels)])
    if problem_type == SINGLE_LABEL:
        references = generator.integers(0, labels, proteins)
        scores = generator.dirichlet(np.ones(labels), proteins) + 0.5 * np.eye(labels)[references]
        return Decision(task, scores / 1.5, np.eye(labels, dtype=bool)[scores.argmax(1)]), references
    if problem_type == MULTI_LABEL:
        references = (generator.random((proteins, labels)) < 0.4).astype(float)
        scores = np.clip(0.4 * references + 0.6 * generator.random((proteins, labels)), 0, 1)
        return Decision(task, scores.astype(np.float32), scores >= 0.5), references
    references = generator.normal(size=(proteins, labels))
    scores = references + generator.normal(size=(proteins, labels))
    return Decision(task, scores, np.zeros(scores.shape, dtype=bool)), references


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_every_watched_metric_has_an_interval_around_its_value(problem_type):
    decision, references = some_decision(problem_type)
    found, metrics = task_intervals(decision, references), task_metrics(decision, references)
    for name in WATCHED[problem_type]:
        low, high = found[name]
        assert low < metrics[name] < high < low + 0.5, name
    assert task_intervals(decision, references) == found


def test_intervals_of_a_single_label_are_those_of_its_matrix_without_unknown_proteins():
    decision, references = some_decision(SINGLE_LABEL)
    matrix = task_metrics(decision, references)["confusion_matrix"]
    assert task_intervals(decision, references) == bootstrap_intervals(matrix)
    rows = np.append(np.arange(150), [0, 1, 2])
    longer = np.append(references, [-100, -100, -100])
    assert task_intervals(decision[rows], longer) == bootstrap_intervals(matrix)


@pytest.mark.parametrize("problem_type", [MULTI_LABEL, REGRESSION])
def test_proteins_without_an_answer_are_not_drawn(problem_type):
    decision, references = some_decision(problem_type, proteins=40)
    with_unknown = np.vstack([references, np.full((10, 3), np.nan)])
    rows = np.append(np.arange(40), np.arange(10))
    assert task_intervals(decision[rows], with_unknown) == task_intervals(decision, references)


def test_labels_and_numbers_that_are_not_known_have_no_interval():
    decision, references = some_decision(MULTI_LABEL)
    references[:, 1] = 0
    found = task_intervals(decision, references, resamples=50)
    assert found["per_class_recall"][1] is None and found["per_class_mcc"][1] is None
    decision, references = some_decision(REGRESSION)
    references[:, 2] = np.nan
    assert task_intervals(decision, references, resamples=50)["per_target_mae"][2] is None


@pytest.mark.slow
@pytest.mark.parametrize("problem_type", [MULTI_LABEL, REGRESSION])
def test_row_intervals_are_those_of_drawing_proteins_again(problem_type):
    decision, references = some_decision(problem_type)
    generator = np.random.default_rng(3)
    drawn = []
    for _ in range(500):
        rows = generator.integers(0, 150, 150)
        drawn.append(task_metrics(decision[rows], references[rows]))
    found = task_intervals(decision, references)
    for name in WATCHED[problem_type]:
        low, high = np.quantile([metrics[name] for metrics in drawn], [0.025, 0.975])
        assert found[name] == pytest.approx((low, high), abs=0.03), name


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_no_known_answer_is_refused(problem_type):
    decision, references = some_decision(problem_type)
    with pytest.raises(ValueError, match="without a known reference"):
        task_intervals(decision, np.full(references.shape, np.nan))


# --- groups of related proteins


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_copies_of_proteins_make_intervals_narrower_unless_they_are_drawn_together(problem_type):
    decision, references = some_decision(problem_type)
    rows = np.repeat(np.arange(150), 4)
    alone = task_intervals(decision, references)
    copied = task_intervals(decision[rows], references[rows])
    grouped = task_intervals(decision[rows], references[rows], groups=rows)
    for name in WATCHED[problem_type]:
        widths = [high - low for low, high in (found[name] for found in (alone, copied, grouped))]
        assert widths[1] == pytest.approx(widths[0] / 2, rel=0.15), name  # as if they were four times as many
        assert widths[2] == pytest.approx(widths[0], rel=0.15), name


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_a_few_groups_have_no_intervals_whatever_groups_the_proteins_without_a_reference_are_of(problem_type):
    decision, references = some_decision(problem_type)
    groups = np.arange(150) % (FEWEST_GROUPS - 1)
    hidden = np.arange(150) >= 140
    groups[hidden] = np.arange(100, 110)
    references = np.array(references, dtype=float)
    references[hidden] = -100 if problem_type == SINGLE_LABEL else np.nan
    few = task_intervals(decision, references, groups=groups)
    assert [few[name] for name in WATCHED[problem_type]] == [None] * len(WATCHED[problem_type])
    for pairs in few.values():
        assert pairs is None or set(pairs) == {None}
    groups[0] = 99
    enough = task_intervals(decision, references, groups=groups)
    assert enough.keys() == few.keys() and all(enough[name] is not None for name in WATCHED[problem_type])


def test_groups_are_drawn_whole():
    groups = np.array([5, 5, 7, 9, 9, 9])
    (counts,) = draw_group_counts(groups, 500, seed=0)
    assert counts.shape == (500, 6)
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 3:] == counts[:, 3:4]).all()
    assert (counts[:, [0, 2, 3]].sum(1) == 3).all()  # three groups each time


def test_a_single_label_has_the_same_intervals_with_and_without_groups():
    decision, references = some_decision(SINGLE_LABEL)
    known = np.append(references[:-10], np.full(10, -100))
    found, expected = task_intervals(decision, known, groups=np.arange(150)), task_intervals(decision, known)
    assert found.keys() == expected.keys()
    for name in (*WATCHED[SINGLE_LABEL], "balanced_accuracy"):
        assert found[name] == pytest.approx(expected[name], abs=0.02), name
    for name in ("precision", "recall", "f1", "class_mcc"):
        assert np.array(found[name]) == pytest.approx(np.array(expected[name]), abs=0.03), name
