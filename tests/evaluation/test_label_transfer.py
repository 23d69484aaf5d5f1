"""The labels of the nearest training protein count as much as the two proteins are identical."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify.errors import OptionError
from protbert_classify.evaluation.decision import decide_task
from protbert_classify.evaluation.label_transfer import transfer_labels
from protbert_classify.model.tasks import MULTI_LABEL, SINGLE_LABEL, Task

LOCATION = Task(name="location", problem_type=SINGLE_LABEL, labels=["Cytoplasm", "Nucleus", "Plastid"])
SEVERAL = Task(name="location", problem_type=MULTI_LABEL, labels=LOCATION.labels, thresholds=[0.5, 0.3, 0.9])
MODEL = np.array([[0.7, 0.2, 0.1]] * 4)


def test_a_near_protein_decides_and_a_far_one_changes_little():
    decision = decide_task(np.log(MODEL), LOCATION)
    labels = np.array([[0, 1, 0]] * 4, dtype=np.float32)
    found = transfer_labels(decision, labels, np.array([0.5, 0.3, 1.0, np.nan]))
    expected = [[0.35, 0.6, 0.05], [0.49, 0.44, 0.07], [0, 1, 0], [0.7, 0.2, 0.1]]
    assert found.scores == pytest.approx(np.array(expected), abs=1e-6)
    assert found.joined_labels() == ["Nucleus", "Cytoplasm", "Nucleus", "Cytoplasm"]
    assert found.score == pytest.approx([0.6, 0.49, 1.0, 0.7], abs=1e-6)


def test_several_labels_keep_their_thresholds():
    decision = decide_task(np.log(MODEL / (1 - MODEL)), SEVERAL)
    assert decision.joined_labels() == ["Cytoplasm"] * 4
    labels = np.array([[0, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 0]], dtype=np.float32)
    found = transfer_labels(decision, labels, np.array([0.6, 0.1, 0.9, 0.5]))
    assert found.scores[0] == pytest.approx([0.28, 0.68, 0.64], abs=1e-6)
    # 0.28, 0.46 and 0.135 are below the thresholds 0.3, 0.5 and 0.9 of one label each
    assert found.joined_labels() == ["Nucleus", "Cytoplasm", "Cytoplasm;Plastid", "Cytoplasm"]


def test_labels_that_are_not_known_leave_the_answer_to_the_model():
    single, several = (decide_task(np.log(MODEL[:1]), task) for task in (LOCATION, SEVERAL))
    unknown = np.full((1, 3), np.nan)
    assert transfer_labels(single, unknown, np.array([1.0])).scores == pytest.approx(single.scores, abs=1e-7)
    partly = transfer_labels(several, np.array([[np.nan, 1.0, 0.0]]), np.array([1.0])).scores[0]
    assert partly.tolist() == pytest.approx([several.scores[0, 0], 1.0, 0.0])


def test_the_answers_of_auxiliary_tasks_stay_and_sets_are_refused():
    decision = decide_task(np.log(MODEL), Task(**{**LOCATION.to_dict(), "validation_scores": [[0.5]] * 3}))
    beside = decide_task(np.log(MODEL), LOCATION)
    decision.auxiliary["membrane"] = beside
    found = transfer_labels(decision, np.ones((4, 3)), np.ones(4))
    assert found.auxiliary == {"membrane": beside}
    assert decision.sets(0.5).shape == (4, 3)
    with pytest.raises(OptionError, match="sets"):
        found.sets(0.5)


@given(st.integers(0, 2), st.floats(0, 1), st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3))
def test_scores_stay_probabilities(label, identity, logits):
    decision = decide_task(np.array([logits], dtype=np.float32), LOCATION)
    labels = np.eye(3, dtype=np.float32)[[label]]
    found = transfer_labels(decision, labels, np.array([identity]))
    assert found.scores.sum() == pytest.approx(1, abs=1e-5) and (found.scores >= 0).all()
    assert found.scores[0, label] >= decision.scores[0, label] - 1e-6
    assert found.best[0] == label or identity <= 0.5 + 1e-6
