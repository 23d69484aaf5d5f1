import warnings

import pytest
from datasets import ClassLabel, Dataset, DatasetDict

from protbert_classify.model.tasks import Task
from protbert_classify.training.load_data import report_splits


def splits(**columns):
    table = {"id": ["P1", "P2", "P3"], "sequence": ["M K", "M R", "M T"], **columns}
    return DatasetDict(train=Dataset.from_dict(table), test=Dataset.from_dict(table))


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (["tm"], "proteins: train 3, test 3; tm in train: minimum 37, median 42.5, maximum 1200"),
        (
            ["tm", "ph"],
            "proteins: train 3, test 3; values in train: tm minimum 37, median 42.5, maximum 1200; "
            "ph minimum 5, median 6, maximum 7",
        ),
        (
            ["tm", "kd"],
            "proteins: train 3, test 3; values in train: tm minimum 37, median 42.5, maximum 1200; kd no known number",
        ),
    ],
)
def test_numbers_are_introduced_by_their_range(log, labels, line):
    task = Task(name=labels[0] if len(labels) == 1 else "values", problem_type="regression", labels=labels)
    numbers = {"tm": [1200.0, 37.0, 42.5], "ph": [7.0, None, 5.0], "kd": [float("nan")] * 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns of quantiles of nothing
        report_splits(splits(**numbers), task)
    assert log.messages == [line]


def test_classes_are_introduced_by_their_counts(log):
    proteins = splits(fold=[0, 1, 1]).cast_column("fold", ClassLabel(names=["alpha", "beta"]))
    report_splits(proteins, Task(name="fold", problem_type="single_label_classification", labels=["alpha", "beta"]))
    assert log.messages == ["proteins: train 3, test 3; fold in train: alpha 1, beta 2"]
