import numpy as np

from protbert_classify.evaluation.mistakes import confident_mistakes, frequent_confusions

PROBABILITIES = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.05, 0.0, 0.95], [0.7, 0.3, 0.0]])


def test_the_most_confidently_wrong_come_first_and_right_calls_never():
    found = confident_mistakes(["A", "B", "C", "D"], np.array([0, 0, 1, 2]), PROBABILITIES.argmax(1), PROBABILITIES)
    assert [mistake["id"] for mistake in found] == ["C", "B", "D"]  # B and D have the same score
    assert found[0] == {"index": 2, "id": "C", "true": 1, "called": 2, "score": 0.95, "score_of_true": 0.0}


def test_so_many_and_no_more():
    references, calls = np.array([1, 0, 1, 2]), PROBABILITIES.argmax(1)
    assert len(confident_mistakes(list("ABCD"), references, calls, PROBABILITIES, count=2)) == 2
    assert confident_mistakes(list("ABCD"), calls, calls, PROBABILITIES) == []


def test_the_most_frequent_confusions_with_their_share_of_the_true_class():
    matrix = [[90, 10, 0], [1, 2, 7], [0, 0, 0]]
    found = frequent_confusions(matrix)
    assert found == [
        {"true": 0, "called": 1, "proteins": 10, "share": 0.1},
        {"true": 1, "called": 2, "proteins": 7, "share": 0.7},
        {"true": 1, "called": 0, "proteins": 1, "share": 0.1},
    ]
    assert frequent_confusions(matrix, count=1) == found[:1]
    assert matrix[0][0] == 90  # the caller's matrix is as it was
