"""Metrics by similarity to training proteins: a model that only remembers must show it."""

import numpy as np
import pytest

from protbert_classify.evaluation.by_identity import FEWEST, metrics_by_identity
from protbert_classify.evaluation.decision import Decision
from protbert_classify.evaluation.intervals import FEWEST_GROUPS, task_intervals
from protbert_classify.evaluation.metrics import BEST_METRIC, task_metrics
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from tests.evaluation.test_intervals import some_decision


def with_share_right(decision, references, right):
    """The predictions made right or wrong, as `right` (N,) says."""
    called = np.where(right, references, (references + 1) % decision.scores.shape[1])
    chosen = np.eye(decision.scores.shape[1], dtype=bool)[called]
    return Decision(decision.task, np.where(chosen, 0.8, 0.1), chosen)


def test_each_step_has_its_own_accuracy_and_few_proteins_have_none():
    decision, references = some_decision(SINGLE_LABEL, proteins=150)
    identity = np.repeat([np.nan, 0.299, 0.3, 0.5, 1.0], [60, 40, 29, 11, 10])
    right = np.zeros(150, dtype=bool)
    right[:30] = right[60:90] = True  # half, three quarters, none
    found = metrics_by_identity(with_share_right(decision, references, right), references, identity)
    assert [(step["nearest"], step["proteins"], step["accuracy"]) for step in found] == [
        ("no neighbour", 60, 0.5),
        ("below 30%", 40, 0.75),
        ("30% to 50%", 29, None),
        ("50% or more", 21, None),
    ]
    low, high = found[1]["accuracy_interval"]
    assert 0.55 < low < 0.7 and 0.8 < high < 0.92
    assert found[2]["accuracy_interval"] is found[2]["mcc"] is found[2]["macro_f1_interval"] is None
    assert FEWEST == 30


def test_proteins_without_a_known_answer_do_not_count():
    decision, references = some_decision(SINGLE_LABEL, proteins=150)
    references = np.where(np.arange(150) < 50, -100, references)
    found = metrics_by_identity(decision, references, np.full(150, 0.7))
    assert [step["proteins"] for step in found] == [0, 0, 0, 100]
    assert found[3]["mcc"] == task_metrics(decision[np.arange(50, 150)], references[50:])["mcc"]


@pytest.mark.parametrize("problem_type", [MULTI_LABEL, REGRESSION])
def test_several_labels_and_numbers_have_their_main_metric(problem_type):
    decision, references = some_decision(problem_type)
    identity = np.where(np.arange(150) < 100, 0.4, np.nan)
    groups = np.arange(150) // 2
    found = metrics_by_identity(decision, references, identity, groups)
    name, rows = BEST_METRIC[problem_type], np.arange(100)
    assert set(found[2]) == {"nearest", "proteins", name, f"{name}_interval"}
    assert found[2][name] == task_metrics(decision[rows], references[rows])[name]
    pair = task_intervals(decision[rows], references[rows], groups=groups[rows])[name]
    assert found[2][f"{name}_interval"] == list(pair)


@pytest.mark.parametrize("families, known", [(1, False), (FEWEST_GROUPS - 1, False), (FEWEST_GROUPS, True)])
def test_a_few_families_have_no_interval_because_it_would_be_far_too_narrow(families, known):
    decision, references = some_decision(SINGLE_LABEL, proteins=60)
    groups = np.arange(60) % families
    step = metrics_by_identity(decision, references, np.full(60, 0.6), groups)[-1]
    assert step["accuracy"] is not None
    assert (step["accuracy_interval"] is not None) == known


def test_a_step_of_one_class_has_an_accuracy_but_no_correlation():
    decision, references = some_decision(SINGLE_LABEL, proteins=60)
    references = np.zeros_like(references)
    right = np.arange(60) < 45
    step = metrics_by_identity(with_share_right(decision, references, right), references, np.full(60, 0.6))[-1]
    assert (step["accuracy"], step["mcc"], step["mcc_interval"]) == (0.75, None, None)
    assert step["accuracy_interval"] is not None
