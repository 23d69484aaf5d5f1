import dataclasses

import pytest

from protbert_classify.evaluation.metrics import classification_metrics
from protbert_classify.model.tasks import Task
from protbert_classify.reporting import run_description, single_label_report
from protbert_classify.reporting.evaluated_split import evaluated_split
from protbert_classify.reporting.report_registry import report_of
from protbert_classify.runs.finished_run import read_run
from tests.reporting.runs import write_run


@pytest.fixture
def run(tmp_path):
    return read_run(write_run(tmp_path / "run"))


def location(labels):
    return (Task(name="location", problem_type="single_label_classification", labels=labels),)


def summary(run):
    """The sentences on top of the page."""
    found, report = evaluated_split(run), report_of(run.task)
    return run_description.summary(run, report.asked(run.task), report.sentences(run, found) if found else None)


def measured(run, matrix, split="test"):
    """The run with other predictions, as far as `evaluated_split` reads them."""
    names = ["a", "b"]
    rows = [sum(row) for row in matrix]
    recall = [matrix[index][index] / rows[index] if rows[index] else None for index in range(2)]
    per_class = {
        name: {**dict.fromkeys(("precision", "recall", "f1", "mcc"), recall[index]), "support": rows[index]}
        for index, name in enumerate(names)
    }
    values = {"proteins": sum(rows), "accuracy": (matrix[0][0] + matrix[1][1]) / sum(rows), "mcc": 0.5, "macro_f1": 0.6}
    metrics = {"train_proteins": 1200, "epoch": 5.0, "train_runtime": 500.0}
    metrics.update({f"{split}_{name}": value for name, value in values.items()})
    metrics.update({f"{split}_per_class": per_class, f"{split}_confusion_matrix": matrix})
    return dataclasses.replace(run, tasks=location(names), metrics=metrics, predictions=None, data=None)


def test_the_summary_says_how_good_it_is_and_against_what(run):
    changed = measured(run, [[70, 10], [15, 5]])
    assert summary(changed) == [
        "A network from scratch (bert), trained on 1,200 proteins of 2 classes for 5 epochs in 8 min.",
        "It predicts 75 of 100 test proteins right; predicting a for all would be right for 80.",
        "Best predicted is a (F1 0.88, 80 proteins), worst b (F1 0.25, 20 proteins).",
    ]


def test_the_summary_says_that_options_were_searched(run):
    record = {**run.record, "search": {"metric": "mcc", "trials": 20, "best": {"trial": 3}}}
    changed = measured(dataclasses.replace(run, record=record), [[70, 10], [15, 5]])
    assert summary(changed)[1] == (
        "Its options are those of the best of 20 trials, chosen by MCC on the validation proteins."
    )


def test_classes_that_are_never_predicted_are_named_rather_than_one_of_them_the_worst(run):
    labels = ["a", "b", "c", "d"]
    references, predictions = [0] * 8 + [1] * 4 + [2] * 2, [0] * 8 + [0, 1, 1, 1] + [0] * 2  # no protein of d
    metrics = {f"test_{name}": value for name, value in classification_metrics(predictions, references, labels).items()}
    metrics = {**run.metrics, **metrics, "test_proteins": 14}
    changed = dataclasses.replace(run, tasks=location(labels), predictions=None, metrics=metrics)
    found = evaluated_split(changed)
    sentences = summary(changed)
    best_and_worst = (
        "Best predicted is b (F1 0.86, 4 proteins), worst of the predicted classes a (F1 0.84, 8 proteins)."
    )
    assert best_and_worst in sentences
    assert "1 of 4 classes is never predicted: c." in sentences
    table = single_label_report.class_table(found)
    assert table[2] == ["c", "2", "–", "0.00 (–)", "0.00 (–)", "–"]
    assert table[3] == ["d", "0", "–", "–", "–", "–"]
    assert not [sentence for sentence in summary(run) if "never predicted" in sentence]


def test_validation_proteins_stand_in_for_test_proteins_and_it_says_so(run):
    changed = measured(run, [[1, 0], [0, 1]], "validation")
    found = evaluated_split(changed)
    assert found.split == "validation"
    assert "There were no test proteins; its weights may have been chosen by those of validation." in summary(changed)


def test_predictions_that_are_all_right_have_no_interval_rather_than_one_of_no_width(run):
    found = evaluated_split(measured(run, [[3, 0], [0, 2]]))
    assert report_of(run.task).headline(found)[0].interval == "no interval"
    assert single_label_report.class_table(found)[0] == ["a", "3", *["1.00 (–)"] * 4]


def test_a_class_without_proteins_has_dashes(run):
    found = evaluated_split(measured(run, [[3, 1], [0, 0]]))
    assert single_label_report.class_table(found)[1] == ["b", "0", *"––––"]


def test_the_most_frequent_confusions_are_named(run):
    assert single_label_report.confusion_table(evaluated_split(measured(run, [[70, 10], [15, 5]]))) == [
        ["b", "a", "15", "75%"],
        ["a", "b", "10", "12%"],
    ]


def test_the_mean_score_is_held_against_the_accuracy(run):
    predictions = run.predictions
    score = predictions.decision.scores.max(1).mean()
    accuracy = (predictions.decision.best == predictions.references).mean()
    (sentence,) = [s for s in summary(run) if s.startswith("The mean score")]
    direction = "high" if score > accuracy else "low"
    assert f"{score:.2f}, is {abs(score - accuracy):.2f} too {direction} for an accuracy of {accuracy:.2f}" in sentence


def test_a_pretrained_backbone_is_named(run):
    record = {**run.record, "model_arguments": {"model_name_or_path": "Rostlab/prot_bert_bfd", "backbone_config": None}}
    assert run_description.backbone(dataclasses.replace(run, record=record)) == "Rostlab/prot_bert_bfd"


@pytest.mark.parametrize(("tuning", "shown"), [("full", []), ("lora", [["lora_rank", "4"]])])
def test_the_options_of_an_adapter_are_shown_where_there_is_one(run, tuning, shown):
    record = {**run.record, "model_arguments": {"pooling": "mean", "tuning": tuning, "lora_rank": 4}}
    rows = run_description.arguments(dataclasses.replace(run, record=record))["Model"]
    assert rows == [["pooling", "mean"], ["tuning", tuning], *shown]


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations(seconds, text):
    assert run_description.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "protein", "1 protein"), (1234567, "protein", "1,234,567 proteins"), (2.5, "epoch", "2.5 epochs")],
)
def test_counts(number, noun, text):
    assert run_description.count(number, noun) == text
    assert run_description.count(2, "process") == "2 processes"
