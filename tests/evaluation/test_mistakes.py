import numpy as np
import pytest

from protbert_classify.evaluation.decision import Decision
from protbert_classify.evaluation.metrics import task_metrics
from protbert_classify.evaluation.mistakes import confident_mistakes, confusions, frequent_confusions, largest_errors
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task

PROBABILITIES = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.05, 0.0, 0.95], [0.7, 0.3, 0.0]])
IDS = ["A", "B", "C", "D"]


def decision(scores, problem_type=SINGLE_LABEL, labels="abc"):
    scores = np.asarray(scores)
    chosen = np.eye(scores.shape[1], dtype=bool)[scores.argmax(1)] if problem_type == SINGLE_LABEL else scores >= 0.5
    return Decision(Task(name="location", problem_type=problem_type, labels=list(labels)), scores, chosen)


def test_the_most_confidently_wrong_come_first_and_right_predictions_never():
    found = confident_mistakes(IDS, decision(PROBABILITIES), np.array([0, 0, 1, 2]))
    assert [mistake["id"] for mistake in found] == ["C", "B", "D"]  # B and D have the same score
    assert found[0] == {"index": 2, "id": "C", "true": [1], "predicted": 2, "score": 0.95}


def test_so_many_and_no_more():
    references, answers = np.array([1, 0, 1, 2]), decision(PROBABILITIES)
    assert len(confident_mistakes(IDS, answers, references, count=2)) == 2
    assert confident_mistakes(IDS, answers, answers.best) == []


def test_an_unknown_answer_is_no_mistake():
    assert confident_mistakes(IDS, decision(PROBABILITIES), np.array([-100, -100, -100, 0])) == []
    several = decision([[0.9, 0.8, 0.1]], MULTI_LABEL)
    assert [m["predicted"] for m in confident_mistakes(["A"], several, np.array([[np.nan, 0, 1]]))] == [1]


def test_each_wrong_label_of_several_is_a_mistake():
    several = decision([[0.9, 0.8, 0.1], [0.6, 0.2, 0.95]], MULTI_LABEL)
    found = confident_mistakes(["A", "B"], several, np.array([[1, 0, 1], [0, 0, 0]]))
    assert [(m["id"], m["predicted"], m["true"], m["score"]) for m in found] == [
        ("B", 2, [], 0.95),
        ("A", 1, [0, 2], 0.8),
        ("B", 0, [], 0.6),
    ]


def test_the_most_frequent_confusions_with_their_share_of_the_true_class():
    matrix = [[90, 10, 0], [1, 2, 7], [0, 0, 0]]
    found = frequent_confusions(matrix)
    assert found == [
        {"true": 0, "predicted": 1, "proteins": 10, "share": 0.1},
        {"true": 1, "predicted": 2, "proteins": 7, "share": 0.7},
        {"true": 1, "predicted": 0, "proteins": 1, "share": 0.1},
    ]
    assert frequent_confusions(matrix, count=1) == found[:1]
    assert matrix[0][0] == 90  # the caller's matrix is as it was
    (other,) = frequent_confusions([[5, 0], [2, 9]], [5, 20])
    assert other["share"] == 0.1  # of the proteins of the class, and not of the row


def test_the_confusions_of_a_single_label_are_the_confusion_matrix():
    generator = np.random.default_rng(0)
    answers, references = decision(generator.random((50, 3))), generator.integers(0, 3, 50)
    assert confusions(answers, references).tolist() == task_metrics(answers, references)["confusion_matrix"]


def test_a_second_true_label_is_not_confused_with_the_first():
    several = decision([[0.9, 0.9, 0.1], [0.9, 0.1, 0.9]], MULTI_LABEL)
    found = confusions(several, np.array([[1, 1, 0], [1, 1, 0]]))
    assert found.tolist() == [[2, 0, 1], [0, 1, 1], [0, 0, 0]]


def test_the_largest_errors_are_measured_by_the_spread_of_their_number():
    answers = decision([[10.0, 0.1], [20.0, 0.9], [31.0, 0.3]], REGRESSION, "ab")
    references = np.array([[10.0, 0.1], [20.0, 0.2], [30.0, np.nan]])
    found = largest_errors(["A", "B", "C"], answers, references)
    assert [(error["id"], error["target"]) for error in found][:2] == [("B", 1), ("C", 0)]
    assert found[0] == {
        **{"index": 1, "id": "B", "target": 1, "true": 0.2, "predicted": 0.9, "error": pytest.approx(0.7)}
    }
    assert len(found) == 5 and len(largest_errors(["A", "B", "C"], answers, references, count=1)) == 1
