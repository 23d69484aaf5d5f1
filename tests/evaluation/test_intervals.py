"""Bootstrap intervals: the metrics are scikit-learn's, and the intervals cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.evaluation.intervals import bootstrap_intervals, matrix_metrics
from protbert_classify.evaluation.metrics import classification_metrics


def matrix_of(predictions, references, classes):
    matrix = np.zeros((classes, classes), dtype=int)
    np.add.at(matrix, (references, predictions), 1)
    return matrix


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 5), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_the_metrics_of_a_matrix_are_those_of_its_proteins(classes, pairs):
    references, predictions = np.array(pairs).T % classes
    expected = classification_metrics(predictions, references, [str(i) for i in range(classes)])
    found = matrix_metrics(matrix_of(predictions, references, classes)[None])
    for name in ("accuracy", "mcc", "macro_f1"):
        assert found[name][0] == pytest.approx(expected[name], abs=1e-12), name
    for index, name in enumerate(map(str, range(classes))):
        for metric in ("precision", "recall", "f1"):
            if expected["per_class"][name]["support"]:
                value = expected["per_class"][name][metric] or 0  # None: the precision of a class that is never called
                assert found[metric][0, index] == pytest.approx(value, abs=1e-12)


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
