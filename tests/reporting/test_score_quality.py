"""What a report, a card and a terminal say of calibrated scores."""

import json
import re

import pytest

from protbert_classify.reporting.model_card import model_card
from protbert_classify.reporting.report import write_report
from protbert_classify.reporting.terminal_summary import training_summary
from protbert_classify.runs.finished_run import read_run

from .runs import PLACES, write_run, write_tasks_run

TEMPERATURE = {"method": "temperature", "temperature": 1.6283, "proteins": 205, "held_out": True}
VECTOR = {"method": "vector", "temperature": [1.0] * 3, "bias": [0.0] * 3, "proteins": 80, "held_out": False}
NUMBERS = {"ece": 0.0312, "brier": 0.4321, "nll": 1.0203}
BEFORE = {"ece": 0.0987, "brier": 0.4545, "nll": 1.2345}


def calibrated(folder, task, record, before=BEFORE):
    """A run whose metrics say how scores were calibrated."""
    path = folder / "metrics.json"
    of_scores = {f"test_{name}": value for name, value in NUMBERS.items()}
    of_scores |= {f"test_uncalibrated_{name}": value for name, value in before.items()}
    path.write_text(json.dumps({**json.loads(path.read_text()), **of_scores, "calibration": {task: record}}))
    return read_run(folder)


def card_of(run, tiny_classifier, **fields):
    return model_card(tiny_classifier(labels=run.labels, **fields).config, "me/mine", run)


@pytest.fixture
def run(tmp_path):
    return calibrated(write_run(tmp_path / "run"), "location", TEMPERATURE)


def test_the_report_tells_how_scores_were_calibrated_and_what_that_changed(run):
    with open(write_report(run), encoding="utf-8") as file:
        page = file.read()
    assert (
        "Its scores are calibrated by temperature scaling (temperature 1.63), fitted to 205 validation proteins that "
        "did not choose the weights; without it, the expected calibration error would be 0.099."
    ) in page
    assert "0 is best; 0.099 before calibration" in page
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    place = cells.index("as they are")
    assert cells[place + 1 : place + 4] == ["0.031", "0.432", "1.020"]
    assert cells[place + 4 : place + 8] == ["without calibration", "0.099", "0.455", "1.234"]
    assert "over 15 bins of equal width" in page


def test_the_card_has_the_same(run, tiny_classifier):
    card = card_of(run, tiny_classifier)
    assert "calibrated by temperature scaling (temperature 1.63), fitted to 205 validation proteins that did" in card
    assert "| as they are | 0.031 | 0.432 | 1.020 |" in card
    assert "| without calibration | 0.099 | 0.455 | 1.234 |" in card
    assert "(15 bins; 0 is best)" in card


def test_scores_that_could_not_be_calibrated_are_said_to_be_so(tmp_path, tiny_classifier):
    record = {"method": "none", "reason": "all validation proteins have the same class"}
    run = calibrated(write_run(tmp_path / "run"), "location", record, before={})
    with open(write_report(run), encoding="utf-8") as file:
        page = file.read()
    assert "Its scores are not calibrated: all validation proteins have the same class." in page
    assert "before calibration" not in page and "without calibration" not in page
    assert "Its scores are not calibrated: all" in card_of(run, tiny_classifier)


def test_vector_scaling_that_shared_its_proteins_does_not_claim_others(tmp_path, tiny_classifier):
    run = calibrated(write_run(tmp_path / "run"), "location", VECTOR)
    card = card_of(run, tiny_classifier)
    assert "calibrated by vector scaling, fitted to 80 validation proteins; without it" in card


def test_several_labels_have_the_same(tmp_path, tiny_classifier):
    run = calibrated(write_tasks_run(tmp_path / "run", (PLACES,)), PLACES.name, TEMPERATURE)
    with open(write_report(run), encoding="utf-8") as file:
        page = file.read()
    assert "calibrated by temperature scaling (temperature 1.63)" in page and "without calibration" in page
    fields = {"problem_type": PLACES.problem_type, "thresholds": list(PLACES.thresholds), "task_name": PLACES.name}
    assert "| without calibration | 0.099 |" in card_of(run, tiny_classifier, **fields)


def test_a_run_of_an_earlier_version_has_nothing_of_it(tmp_path, tiny_classifier):
    run = read_run(write_run(tmp_path / "run"))
    with open(write_report(run), encoding="utf-8") as file:
        page = file.read()
    card = card_of(run, tiny_classifier)
    assert "scores are calibrated" not in page + card and "log-likelihood" not in page + card


def test_the_terminal_has_the_error_before_and_after(run):
    metrics = {**run.metrics, "train_runtime": 3.0}
    last = next(line for line in training_summary(metrics, "runs/mine").splitlines() if line.startswith("test"))
    assert last.endswith(", ECE 0.031 (0.099 before calibration)")
