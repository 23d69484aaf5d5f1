"""A precision of a class that is never predicted, and a recall of one without proteins, are unknown and not 0."""

import dataclasses
import json

import numpy as np
import pytest

from protbert_classify.commands.metrics_table import metrics_table
from protbert_classify.data.test_neighbours import NearestTraining
from protbert_classify.evaluation.comparison import compare
from protbert_classify.evaluation.decision import Decision
from protbert_classify.evaluation.metrics import task_metrics
from protbert_classify.model import ProteinClassifierConfig
from protbert_classify.model.tasks import MULTI_LABEL, SINGLE_LABEL, Task
from protbert_classify.reporting.comparison_table import label_rows
from protbert_classify.reporting.evaluated_split import evaluated_split
from protbert_classify.reporting.model_card import model_card
from protbert_classify.reporting.report_registry import report_of
from protbert_classify.runs.finished_run import read_run
from protbert_classify.runs.predictions import Predictions
from tests.reporting.runs import write_run

LABELS = ["found", "never predicted", "without proteins"]
TRUE = np.array([0, 0, 0, 0, 1, 1])
CALLED = np.array([0, 0, 0, 2, 0, 0])
METRICS = ("precision", "recall", "f1")


def answers(problem_type):
    task = Task(name="place", problem_type=problem_type, labels=LABELS)
    chosen = np.eye(3, dtype=bool)[CALLED]
    decision = Decision(task, np.where(chosen, 0.8, 0.1), chosen)
    return decision, TRUE if problem_type == SINGLE_LABEL else np.eye(3)[TRUE]


def run_of(folder, problem_type, grouped):
    """A run with these predictions, of which two are related if it is known which proteins are."""
    run, (decision, references) = read_run(write_run(folder)), answers(problem_type)
    metrics = {f"test_{name}": value for name, value in task_metrics(decision, references).items()}
    ids = [f"P{row}" for row in range(6)]
    nearest = NearestTraining(ids, [""] * 6, np.full(6, np.nan), np.array([0, 0, 1, 2, 3, 4])) if grouped else None
    return dataclasses.replace(
        run,
        tasks=(decision.task,),
        metrics=json.loads(json.dumps({"test_proteins": 6, **metrics})),
        predictions=Predictions(ids, None, decision, references),
        nearest=nearest,
    )


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("problem_type", [SINGLE_LABEL, MULTI_LABEL])
def test_what_is_not_defined_is_null_in_the_file_and_a_dash_for_people(tmp_path, problem_type, grouped):
    run = run_of(tmp_path / "run", problem_type, grouped)
    never, without = (run.metrics["test_per_class"][label] for label in LABELS[1:])
    assert [never[name] for name in METRICS] == [None, 0.0, 0.0]
    assert [without[name] for name in METRICS] == [None, None, None]

    found = evaluated_split(run)
    rows = {row[0]: row[1:] for row in report_of(run.task).table(found).rows}
    assert rows["never predicted"][:2] == ["2", "–"] and rows["never predicted"][2].startswith("0.00")
    assert rows["without proteins"][:4] == ["0", "–", "–", "–"]

    card = model_card(ProteinClassifierConfig(labels=LABELS), "me/mine", run)
    assert "| never predicted | – | 2 | – | 0.00" in card and "| without proteins | – | 0 | – | – | –" in card

    shown = {"proteins": 6, "tasks": [run.task.to_dict()], **task_metrics(*run.predictions.of(run.task))}
    lines = metrics_table(shown, "test").splitlines()
    cells = {label: line.removeprefix(label).split() for label in LABELS for line in lines if line.startswith(label)}
    assert cells["never predicted"][:2] == ["-", "0.000"] and cells["without proteins"][:3] == ["-", "-", "-"]


def test_a_comparison_has_dashes_too():
    decision, references = answers(SINGLE_LABEL)
    found = compare(decision, decision, references, resamples=50)
    undefined = {(part.name, part.label) for part in found.differences if part.first is None}
    assert {("precision", "never predicted"), ("precision", "without proteins"), ("recall", "without proteins")} <= (
        undefined
    )
    shown = {row[0]: row[1:4] for row in label_rows("a", "b", found)}
    assert shown["without proteins"] == ["–", "–", "–"]
