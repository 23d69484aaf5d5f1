import csv
import json
import shutil

import numpy as np
import pytest

from protbert_classify.commands import main
from protbert_classify.data.test_neighbours import NearestTraining
from protbert_classify.evaluation.metrics import WATCHED
from protbert_classify.model.tasks import REGRESSION
from protbert_classify.runs.common_test_proteins import common_test_proteins
from protbert_classify.runs.finished_run import read_run
from protbert_classify.runs.test_neighbours import write_test_neighbours
from tests.reporting.runs import MEMBRANE, PLACES, STABILITY, write_run, write_tasks_run
from tests.training.runs import complaints


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def write_rows(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@pytest.fixture
def runs(tmp_path):
    """A run, and one with the same proteins in another order, of which some more are predicted right."""
    first, second = write_run(tmp_path / "first"), tmp_path / "second"
    shutil.copytree(first, second)
    header, *rows = rows_of(second / "test_predictions.csv")
    wrong = [row for row in rows if row[2] != row[3]]
    for row in wrong[:5]:
        place = header.index(row[2])
        row[3:] = [row[2], "1.000000", *("1.000000" if at == place else "0.000000" for at in range(5, len(row)))]
    write_rows(second / "test_predictions.csv", [header, *rows[::-1]])
    return str(first), str(second)


def test_the_table_says_by_how_much_the_runs_differ(runs, tmp_path, capsys):
    output, page = tmp_path / "new" / "comparison.csv", tmp_path / "new" / "comparison.html"
    assert main(["compare", "--runs", *runs, "--output", str(output), "--page", str(page)]) == 0
    out = capsys.readouterr().out
    accuracy = json.loads((tmp_path / "first" / "metrics.json").read_text())["test_accuracy"]
    assert out.startswith("60 test proteins, location\n")
    (line,) = [line.split() for line in out.splitlines() if line.startswith("accuracy")]
    assert line[1:4] == [f"{accuracy:.3f}", f"{accuracy + 5 / 60:.3f}", f"{5 / 60:+.3f}"]
    assert "Right only in first: 0; only in second: 5. McNemar's exact test: p = 0.062" in out
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["metric"] == "accuracy" and rows[0]["label"] == "" and rows[0]["only_run_right"] == "5"
    assert float(rows[0]["difference"]) == pytest.approx(5 / 60, rel=1e-5)
    assert float(rows[0]["low"]) > 0
    assert out.endswith(f"written: {output}, {page}\n")
    tested = {row["metric"] for row in rows if row["p"]}
    assert tested == {"accuracy", "recall"}  # the test is about right answers, not about F1
    labels = [row["label"] for row in rows if row["metric"] == "f1"]
    assert labels == ["Cytoplasm", "Mitochondrion", "Nucleus"]
    text = page.read_text()
    assert "second against first" in text and "Nucleus" in text and "data:image/png;base64" in text
    assert "http" not in text.replace("http-equiv", "")  # it needs no network


def test_related_proteins_are_drawn_together_if_a_run_knows_them(runs, tmp_path, capsys):
    page = tmp_path / "comparison.html"
    assert main(["compare", "--runs", *runs]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("intervals: proteins drawn one by one")
    ids = [row[0] for row in rows_of(tmp_path / "second" / "test_predictions.csv")[1:]]
    neighbours = NearestTraining(ids, [""] * 60, np.full(60, np.nan), np.repeat(np.arange(6), 10))
    write_test_neighbours(str(tmp_path / "second" / "test_neighbours.csv"), neighbours)
    assert main(["compare", "--runs", *runs, "--page", str(page)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "intervals: 6 groups of related proteins, drawn whole"
    assert "Intervals: 6 groups of related proteins, drawn whole." in page.read_text()
    # the second run has the proteins in another order: its groups follow the proteins
    found = common_test_proteins([read_run(folder) for folder in runs])
    of_protein = dict(zip(ids, neighbours.group))
    first = read_run(runs[0]).predictions.ids
    assert len(set(first)) == 60 and found.groups.tolist() == [of_protein[name] for name in first]


def test_three_runs_are_each_compared_with_the_first(runs, tmp_path, capsys):
    shutil.copytree(runs[0], tmp_path / "third")
    assert main(["compare", "--runs", *runs, str(tmp_path / "third")]) == 0
    heads = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.endswith("interval)")]
    assert heads == [["first", "second"], ["first", "third"]]


@pytest.mark.parametrize("tasks", [[PLACES], [STABILITY], [PLACES, MEMBRANE]], ids=["several", "numbers", "auxiliary"])
def test_other_tasks_are_compared_by_their_metrics(tasks, tmp_path, capsys):
    write_tasks_run(tmp_path / "a", tasks)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    page = tmp_path / "page.html"
    assert main(["compare", "--runs", str(tmp_path / "a"), str(tmp_path / "b"), "--page", str(page)]) == 0
    out = capsys.readouterr().out
    assert ("McNemar" in out) == (tasks[0].problem_type != REGRESSION) == ("McNemar" in page.read_text())
    count = len(WATCHED[tasks[0].problem_type])
    assert out.count("+0.000 (+0.000 to +0.000)") == count + len(tasks[0].labels)


def spoiled(folder, change):
    header, *rows = rows_of(f"{folder}/test_predictions.csv")
    change(header, rows)
    write_rows(f"{folder}/test_predictions.csv", [header, *rows])


def rename(header, rows):
    rows[3][0] = "Q1"


def relabel(header, rows):
    rows[3][2] = next(name for name in header[5:] if name != rows[3][2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename, "has 60 test proteins, and not those of"),
        (relabel, "1 of its test proteins have another true answer than in"),
    ],
)
def test_other_test_proteins_are_refused_in_one_line(runs, change, words, capsys):
    spoiled(runs[1], change)
    assert main(["compare", "--runs", *runs]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith(f"protbert-classify compare: {runs[1]}: ") and words in line
    assert "expected runs with the same test proteins" in line.lower()


def test_a_page_in_place_of_the_table_is_refused_with_the_option_that_writes_it(runs, tmp_path, capsys):
    path = tmp_path / "comparison.html"
    assert main(["compare", "--runs", *runs, "--output", str(path)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert f"output {path}: is a CSV table; --page {path} writes an HTML page" in line and not path.exists()


def test_a_run_is_not_compared_with_itself(runs, capsys):
    assert main(["compare", "--runs", runs[0], runs[0] + "/"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "one is given twice; expected different runs" in line


def test_what_is_no_comparison_is_refused_in_one_line(runs, tmp_path, capsys):
    write_tasks_run(tmp_path / "other", [PLACES])
    write_run(tmp_path / "untested", test=False)
    write_run(tmp_path / "classes", labels=["Nucleus", "Cytoplasm"])
    cases = [
        ([runs[0], str(tmp_path / "classes")], "classes: found a task whose labels are Nucleus, Cytoplasm; "),
        ([runs[0]], f"runs={runs[0]}: found 1; expected two or more"),
        ([runs[0], str(tmp_path / "nowhere")], "nowhere: no such folder"),
        ([runs[0], str(tmp_path / "other")], "other: found a task whose name is compartment"),
        ([runs[0], str(tmp_path / "untested")], "test_predictions.csv: no such file; expected a training whose data"),
    ]
    for folders, words in cases:
        assert main(["compare", "--runs", *folders]) == 2
        (line,) = complaints(capsys.readouterr().err)
        assert words in line
