"""Calibrated logits: what the model gives, in which mode, and what survives a save."""

import pytest
import torch
from torch.nn import functional

from protbert_classify import ProteinClassifier
from protbert_classify.model.calibration import calibrate
from protbert_classify.model.tasks import Task

IDS = torch.tensor([[2, 21, 12, 15, 3], [2, 5, 6, 7, 3]])
MEMBRANE = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}
VECTOR = {"calibration_temperature": [2.0, 0.5, 4.0], "calibration_bias": [1.0, 0.0, -1.0]}


def test_a_temperature_divides_and_a_bias_is_added():
    logits = torch.tensor([[1.0, -2.0]])
    assert calibrate(logits, 2.0).tolist() == [[0.5, -1.0]]
    assert calibrate(logits, [2.0, 0.5], [1.0, 0.25]).tolist() == [[1.5, -3.75]]
    assert calibrate(logits, 1.0) is logits


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"calibration_temperature": 2.5}, lambda raw: raw / 2.5),
        (VECTOR, lambda raw: raw / torch.tensor([2.0, 0.5, 4.0]) + torch.tensor([1.0, 0.0, -1.0])),
    ],
    ids=["temperature", "vector"],
)
def test_logits_are_calibrated_at_evaluation_and_not_while_training(tiny_classifier, fields, expected):
    raw = tiny_classifier(classifier_dropout=0.0).eval()(input_ids=IDS).logits
    model = tiny_classifier(classifier_dropout=0.0, **fields)
    assert torch.equal(model.train()(input_ids=IDS).logits, raw)
    torch.testing.assert_close(model.eval()(input_ids=IDS).logits, expected(raw), atol=1e-6, rtol=0)


def test_the_loss_is_that_of_the_logits_that_are_returned(tiny_classifier):
    model = tiny_classifier(calibration_temperature=3.0, classifier_dropout=0.0)
    labels = torch.tensor([0, 2])
    for mode in (True, False):
        output = model.train(mode)(input_ids=IDS, labels=labels)
        assert output.loss.item() == pytest.approx(functional.cross_entropy(output.logits, labels).item(), abs=1e-6)


def test_an_auxiliary_task_has_a_temperature_of_its_own(tiny_classifier):
    plain = tiny_classifier(auxiliary_tasks=[MEMBRANE, {**MEMBRANE, "name": "other"}]).eval()(input_ids=IDS)
    tasks = [{**MEMBRANE, "temperature": 2.0}, {**MEMBRANE, "name": "other"}]
    found = tiny_classifier(auxiliary_tasks=tasks).eval()(input_ids=IDS)
    assert torch.equal(found.logits, plain.logits)
    torch.testing.assert_close(found.auxiliary_logits[:, :2], plain.auxiliary_logits[:, :2] / 2)
    assert torch.equal(found.auxiliary_logits[:, 2:], plain.auxiliary_logits[:, 2:])


@pytest.mark.parametrize("fields", [{"calibration_temperature": 1.75}, VECTOR], ids=["temperature", "vector"])
def test_a_calibration_survives_a_save_and_goes_with_a_fresh_head(tiny_classifier, tmp_path, fields):
    tasks = [{**MEMBRANE, "temperature": 2.0}]
    model = tiny_classifier(auxiliary_tasks=tasks, **fields).eval()
    model.save_pretrained(tmp_path)
    again = ProteinClassifier.from_pretrained(tmp_path)
    assert {name: getattr(again.config, name) for name in fields} == fields
    assert torch.equal(again(input_ids=IDS).logits, model(input_ids=IDS).logits)
    assert torch.equal(again(input_ids=IDS).auxiliary_logits, model(input_ids=IDS).auxiliary_logits)
    fresh = ProteinClassifier.from_pretrained(tmp_path, labels=["a", "b", "c"])
    assert not any(task.is_calibrated for task in fresh.config.tasks)
    smaller = ProteinClassifier.from_pretrained(tmp_path, num_labels=2, ignore_mismatched_sizes=True)
    assert not smaller.config.task.is_calibrated
    other = ProteinClassifier.from_pretrained(tmp_path, problem_type="multi_label_classification")
    assert not other.config.task.is_calibrated


def test_its_own_tasks_keep_the_heads_of_a_calibrated_classifier(tiny_classifier, tmp_path):
    """As training it further asks for it: with tasks that the data tell, which have no calibration."""
    model = tiny_classifier(auxiliary_tasks=[{**MEMBRANE, "temperature": 2.0}])
    model.save_pretrained(tmp_path)
    again = ProteinClassifier.from_pretrained(tmp_path, labels=model.config.labels, auxiliary_tasks=[MEMBRANE])
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0.0}, "temperature=0.0: expected more than 0"),
        ({"temperature": [1.0, -1.0]}, r"temperature=\(1.0, -1.0\): expected more than 0"),
        ({"temperature": [1.0]}, r"temperature=\[1.0\]: expected 2 finite numbers"),
        ({"bias": [1.0]}, r"bias=\[1.0\]: expected 2 finite numbers"),
        ({"temperature": 2.0, "problem_type": "regression"}, "a regression has no scores to calibrate"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=f"task 'membrane': {message}"):
        Task(**{**MEMBRANE, **fields})
