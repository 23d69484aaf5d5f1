import numpy as np
import pytest
import torch

from protbert_classify import ProteinClassifierConfig
from protbert_classify.evaluation.decision import decide, decide_task
from protbert_classify.model.tasks import Task

LABELS = ["Cytoplasm", "Nucleus", "Plastid"]
MEMBRANE = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}


def config(shape, **fields):
    return ProteinClassifierConfig(shape, id2label=dict(enumerate(LABELS)), **fields)


def task(problem_type, **fields):
    return Task(name="location", problem_type=problem_type, labels=LABELS, **fields)


def test_of_single_labels_the_most_probable_is_chosen(tiny_shape):
    logits = np.random.default_rng(0).normal(0, 5, (20, 3)).astype(np.float32)
    answers = decide(logits, config(tiny_shape))
    expected = torch.from_numpy(logits).softmax(-1).numpy()
    assert np.abs(answers.scores - expected).max() < 1e-6
    assert answers.best.tolist() == expected.argmax(-1).tolist()
    assert answers.chosen.sum(-1).tolist() == [1] * 20
    assert answers.labels(3) == [LABELS[expected[3].argmax()]]
    assert np.allclose(answers.score, expected.max(-1))


def test_logits_beyond_the_range_of_exp_stay_probabilities():
    scores = decide_task(np.array([[1000.0, 0.0, -1000.0]]), task("single_label_classification")).scores
    assert scores.tolist() == [[1.0, 0.0, 0.0]]
    scores = decide_task(np.array([[1000.0, 0.0, -1000.0]]), task("multi_label_classification")).scores
    assert scores[0] == pytest.approx([1.0, 0.5, 0.0])


def test_each_of_several_labels_has_its_own_threshold():
    logits = np.log(np.array([[0.3, 0.6, 0.9]]) / (1 - np.array([[0.3, 0.6, 0.9]])))
    answers = decide_task(logits, task("multi_label_classification", thresholds=[0.25, 0.7, 0.8]))
    assert answers.chosen.tolist() == [[True, False, True]]
    assert answers.labels(0) == ["Plastid", "Cytoplasm"]  # the highest score first
    assert decide_task(logits, task("multi_label_classification")).chosen.tolist() == [[False, True, True]]
    assert answers.best.tolist() == [2]


def test_where_no_label_reaches_its_threshold_the_nearest_to_it_is_chosen():
    logits = np.log(np.array([[0.2, 0.4, 0.1]]) / (1 - np.array([[0.2, 0.4, 0.1]])))
    answers = decide_task(logits, task("multi_label_classification", thresholds=[0.25, 0.9, 0.8]))
    assert answers.labels(0) == ["Cytoplasm"]
    assert answers.best.tolist() == [0]  # not the label of the highest score, which was not chosen


def test_numbers_come_back_in_the_units_of_the_data():
    answers = decide_task(
        np.array([[0.0, 1.0, -2.0]]), task("regression", mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 3.0])
    )
    assert answers.scores.tolist() == [[10.0, 22.0, 24.0]]
    assert answers.labels(0) == []


def test_auxiliary_tasks_get_their_own_answers(tiny_shape):
    both = decide(np.array([[0.0, 1, 2, 3, 4], [5, 4, 3, 2, 1]]), config(tiny_shape, auxiliary_tasks=[MEMBRANE]))
    assert both.scores.shape == (2, 3)
    assert both.auxiliary["membrane"].labels(0) == ["S"]
    assert both.auxiliary["membrane"].labels(1) == ["M"]
    assert both[1:].auxiliary["membrane"].labels(0) == ["M"]
    assert decide(np.zeros((1, 3)), config(tiny_shape, auxiliary_tasks=[MEMBRANE])).auxiliary == {}


def test_logits_of_another_model_are_refused(tiny_shape):
    with pytest.raises(ValueError, match=r"logits of shape \(2, 4\): expected 3 or 3 columns"):
        decide(np.zeros((2, 4)), config(tiny_shape))


def test_labels_are_joined_best_first():
    logits = np.log(np.array([[0.3, 0.6, 0.9], [0.9, 0.1, 0.1]]) / (1 - np.array([[0.3, 0.6, 0.9], [0.9, 0.1, 0.1]])))
    assert decide_task(logits, task("multi_label_classification")).joined_labels() == ["Plastid;Nucleus", "Cytoplasm"]
    assert decide_task(logits, task("single_label_classification")).joined_labels() == ["Plastid", "Cytoplasm"]
    assert decide_task(logits, task("regression")).joined_labels() == ["", ""]


def test_labels_below_a_minimum_score_are_left_out_and_the_scores_stay():
    scores = np.log([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1]])
    one = decide_task(scores, task("single_label_classification"))
    assert one.joined_labels(0.7) == [LABELS[0], "-"]  # 0.7 itself is high enough, in float32, too
    assert one.joined_labels(0.71) == ["-", "-"]
    assert one.score == pytest.approx([0.7, 0.5])
    several = decide_task(np.array([[2.0, 0.5, -3.0], [0.1, -3.0, -3.0]]), task("multi_label_classification"))
    assert several.joined_labels(0.6) == [";".join(LABELS[:2]), "-"]
    assert several.joined_labels(0.8) == [LABELS[0], "-"]
    assert decide_task(scores, task("regression")).joined_labels(0.7) == ["", ""]


def test_an_answer_is_what_pipelines_give():
    logits = np.array([[0.0, 3.0, 1.0]])
    single = decide_task(logits, task("single_label_classification"))
    assert single.answer(0) == {"label": "Nucleus", "score": float(single.scores[0, 1])} == single.answer(0, 1)
    assert [found["label"] for found in single.answer(0, 2)] == ["Nucleus", "Plastid"]
    assert [found["label"] for found in single.answer(0, None)] == ["Nucleus", "Plastid", "Cytoplasm"]
    several = decide_task(logits, task("multi_label_classification", thresholds=[0.9, 0.5, 0.5]))
    assert [found["label"] for found in several.answer(0)] == ["Nucleus", "Plastid"]
    assert several.answer(0, 1) == several.answer(0)[0]
    assert len(several.answer(0, None)) == 3
    numbers = decide_task(logits, task("regression"))
    assert (
        numbers.answer(0)
        == numbers.answer(0, 1)
        == [{"label": label, "score": score} for label, score in zip(LABELS, [0.0, 3.0, 1.0])]
    )
    one = decide_task(np.array([[2.5]]), Task(name="Tm", problem_type="regression", labels=["Tm"]))
    assert one.answer(0) == one.answer(0, None) == {"label": "Tm", "score": 2.5}
