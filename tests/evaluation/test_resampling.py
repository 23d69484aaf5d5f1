"""The metrics of resamples are those of the proteins that were drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.evaluation.decision import Decision
from protbert_classify.evaluation.metrics import WATCHED, classification_metrics, task_metrics
from protbert_classify.evaluation.resampling import matrix_metrics, resampled_metrics
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, Task

PER_CLASS = ("precision", "recall", "f1", "mcc", "average_precision")
draws = st.lists(st.integers(0, 3), min_size=1, max_size=12).filter(any)


def close(found, expected):
    """NaN stands for None."""
    if expected is None:
        return np.isnan(found)
    return found == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 5), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_the_metrics_of_a_matrix_are_those_of_its_proteins(classes, pairs):
    references, predictions = np.array(pairs).T % classes
    matrix = np.zeros((1, classes, classes), dtype=int)
    np.add.at(matrix[0], (references, predictions), 1)
    expected = classification_metrics(predictions, references, [str(i) for i in range(classes)])
    found = matrix_metrics(matrix)
    assert all(close(found[name][0], expected[name]) for name in ("accuracy", "mcc", "macro_f1", "balanced_accuracy"))
    for index, values in enumerate(expected["per_class"].values()):
        assert all(close(found[name][0, index], values[name]) for name in ("precision", "recall", "f1"))
        assert close(found["class_mcc"][0, index], values["mcc"])


def drawn_again(decision, references, counts):
    rows = np.repeat(np.arange(len(counts)), counts)
    return decision[rows], references[rows]


@settings(max_examples=100, deadline=None)
@given(draws, st.integers(0, 10_000), st.booleans())
def test_several_labels_of_a_resample_are_those_of_the_proteins_that_were_drawn(counts, seed, unknown):
    generator = np.random.default_rng(seed)
    shape = (len(counts), 3)
    scores = (generator.integers(0, 6, shape) / 6).astype(np.float32)  # with ties
    references = generator.integers(0, 2, shape).astype(float)
    if unknown:
        references[generator.random(shape) < 0.2] = np.nan
        references[:, 0] = np.where(np.isnan(references[:, 0]), 0, references[:, 0])
    task = Task(name="location", problem_type=MULTI_LABEL, labels=["a", "b", "c"])
    decision = Decision(task, scores, scores >= 0.5)
    found = resampled_metrics(decision, references, np.array([counts]))
    expected = task_metrics(*drawn_again(decision, references, counts))
    assert [name for name in WATCHED[MULTI_LABEL] if not close(found[name][0], expected[name])] == []
    for index, values in enumerate(expected["per_class"].values()):
        assert [m for m in PER_CLASS if not close(found[f"per_class_{m}"][0, index], values[m])] == []


@settings(max_examples=100, deadline=None)
@given(draws, st.integers(0, 10_000), st.booleans())
def test_numbers_of_a_resample_are_those_of_the_proteins_that_were_drawn(counts, seed, unknown):
    generator = np.random.default_rng(seed)
    shape = (len(counts), 2)
    references = generator.integers(0, 5, shape).astype(float) + [0, 1000]
    predictions = (references + generator.integers(-2, 3, shape)).astype(np.float32)
    if unknown:
        references[generator.random(len(counts)) < 0.3, 1] = np.nan
    task = Task(name="values", problem_type=REGRESSION, labels=["a", "b"])
    decision = Decision(task, predictions, np.zeros(shape, dtype=bool))
    found = resampled_metrics(decision, references, np.array([counts]))
    expected = task_metrics(*drawn_again(decision, references, counts))
    assert [name for name in WATCHED[REGRESSION] if not close(found[name][0], expected[name])] == []
    for index, values in enumerate(expected["per_target"].values()):
        wrong = [m for m in WATCHED[REGRESSION] if not close(found[f"per_target_{m}"][0, index], values[m])]
        assert wrong == []
