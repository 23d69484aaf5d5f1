"""What a report and a card say of prediction sets."""

import json
import re

import pytest

from protbert_classify.evaluation.prediction_sets import SET_METRICS, set_quality
from protbert_classify.model.tasks import SINGLE_LABEL, Task
from protbert_classify.reporting.model_card import model_card
from protbert_classify.reporting.report import write_report
from protbert_classify.runs.finished_run import read_run

from .runs import LABELS, MELTING, MEMBRANE, PLACES, write_run, write_tasks_run

KEPT = [[0.05 * place for place in range(1, 20)], [0.2, 0.3, 0.6, 0.9], [0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]]
LOCATION = Task(name="location", problem_type=SINGLE_LABEL, labels=LABELS, validation_scores=KEPT)


def page_of(run):
    with open(write_report(run), encoding="utf-8") as file:
        return file.read()


def with_sets(folder, made=None):
    """A run of a model with validation scores, and what its training says about them."""
    write_tasks_run(folder, (LOCATION, MEMBRANE), proteins=90)
    path = folder / "metrics.json"
    made = made or {"proteins": 32, "held_out": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_sets": {"location": made}}))
    return read_run(folder)


def rows_by_hand(run):
    qualities = [set_quality(*run.predictions.of(run.task), by_class=by_class) for by_class in (False, True)]
    rows = {"all": qualities, **{name: [q["per_class"][name] for q in qualities] for name in LABELS}}
    for name, kept in {"all": 32, **dict(zip(LABELS, (19, 4, 9), strict=True))}.items():
        cells = [name, str(rows[name][0]["proteins"]), str(kept)]
        for found in rows[name]:
            interval = f"{found['low']:.2f} to {found['high']:.2f}"
            cells += [f"{found['coverage']:.2f} ({interval})", f"{found['size']:.2f}"]
        yield cells


def test_the_report_has_coverage_and_size_of_all_proteins_and_of_each_class_side_by_side(tmp_path):
    run = with_sets(tmp_path / "run")
    page = page_of(run)
    assert '<h2 id="sets">Prediction sets at 10% error</h2>' in page and '<a href="#sets">Sets</a>' in page
    section = page[page.index('<h2 id="sets">') :]
    section = section[: section.index("<h2", 1)]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", section)
    assert cells == [cell for row in rows_by_hand(run) for cell in row]
    assert "made from the scores of 32 validation proteins that did not choose the weights." in section
    assert "With fewer than 9 of a class, all sets by class contain it" in section


def test_the_card_has_the_same(tmp_path, tiny_classifier):
    run = with_sets(tmp_path / "run", {"proteins": 32, "held_out": False})
    card = model_card(tiny_classifier(labels=LABELS).config, "me/mine", run)
    assert "## Prediction sets at 10% error" in card
    for row in rows_by_hand(run):
        assert f"| {' | '.join(row)} |" in card
    assert "made from the scores of 32 validation proteins that may also have chosen the weights." in card
    assert "--output sets.csv --sets 0.1" in card


def test_its_overall_numbers_are_those_of_the_metrics(tmp_path):
    run = with_sets(tmp_path / "run")
    _, by_class = (set_quality(*run.predictions.of(run.task), by_class=by_class) for by_class in (False, True))
    assert run.metrics["test_sets_by_class_coverage"] == by_class["coverage"]
    assert run.metrics["test_sets_by_class_size"] == by_class["size"]
    assert {f"test_{name}" for name in SET_METRICS} <= run.metrics.keys()


def test_a_class_without_test_proteins_has_dashes(tmp_path):
    labels = [*LABELS, "Peroxisome"]
    task = Task(name="location", problem_type=SINGLE_LABEL, labels=labels, validation_scores=[*KEPT, []])
    folder = write_tasks_run(tmp_path / "run", (task,), proteins=90)
    path = folder / "test_predictions.csv"
    lines = [line for line in path.read_text().splitlines() if line.split(",")[2] != "Peroxisome"]
    path.write_text("\n".join(lines) + "\n")
    metrics = folder / "metrics.json"
    metrics.write_text(json.dumps({**json.loads(metrics.read_text()), "test_proteins": len(lines) - 1}))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page_of(read_run(folder)).split('<h2 id="sets">')[1])
    place = cells.index("Peroxisome")
    assert cells[place : place + 7] == ["Peroxisome", "0", "0", "–", "–", "–", "–"]


def test_a_run_of_an_earlier_version_says_what_is_left_out(tmp_path, tiny_classifier):
    run = read_run(write_run(tmp_path / "run"))
    assert "Left out: coverage and size of prediction sets. The model has no validation scores" in page_of(run)
    assert "Prediction sets" not in model_card(tiny_classifier(labels=run.labels).config, "me/mine", run)
    run = read_run(write_run(tmp_path / "untested", test=False))
    assert "Left out: coverage and size of prediction sets. The run has no test_predictions.csv." in page_of(run)


@pytest.mark.parametrize("task", [PLACES, MELTING], ids=["several labels", "numbers"])
def test_other_problem_types_have_no_such_section(tmp_path, task):
    page = page_of(read_run(write_tasks_run(tmp_path / "run", (task,))))
    assert "Prediction sets" not in page and "prediction sets" not in page
