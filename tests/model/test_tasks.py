import pytest

from protbert_classify.model.tasks import Task, auxiliary_tasks

LOCATION = {"name": "location", "problem_type": "multi_label_classification", "labels": ["A", "B", "C"]}


def test_a_task_survives_a_configuration_with_nothing_but_what_was_said():
    task = Task(**LOCATION, thresholds=[0.1, 0.2, 0.3])
    assert task.to_dict() == {**LOCATION, "thresholds": [0.1, 0.2, 0.3]}
    assert Task(**task.to_dict()) == task


@pytest.mark.parametrize(
    "problem_type, targets",
    [("single_label_classification", 1), ("multi_label_classification", 3), ("regression", 3)],
)
def test_a_class_is_one_target_and_labels_or_numbers_are_one_each(problem_type, targets):
    task = Task(**{**LOCATION, "problem_type": problem_type})
    assert (task.num_logits, task.num_targets) == (3, targets)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"problem_type": "ranking"}, "problem_type='ranking': expected one of single_label_classification"),
        ({"labels": []}, r"labels=\[\]: expected each label once, at least one"),
        ({"labels": ["A", "A"]}, "expected each label once"),
        ({"mean": [1.0]}, r"mean=\[1.0\]: expected 3 finite numbers"),
        ({"std": [1.0, float("inf"), 1.0]}, "expected 3 finite numbers"),
        ({"weight": -1.0}, "weight=-1.0: expected 0 or more"),
    ],
)
def test_a_task_that_cannot_be_is_refused_with_its_name(fields, message):
    with pytest.raises(ValueError, match=message):
        Task(**{**LOCATION, **fields})


def test_two_tasks_of_one_name_would_share_a_column_and_are_refused():
    with pytest.raises(ValueError, match="tasks location, location: expected each name once"):
        auxiliary_tasks([LOCATION], "location")
