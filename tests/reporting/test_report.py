import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from protbert_classify.errors import DataError
from protbert_classify.evaluation.calibration import calibration, scored
from protbert_classify.evaluation.intervals import task_intervals
from protbert_classify.reporting.report import write_report
from protbert_classify.runs.finished_run import read_run
from tests.reporting.runs import (
    CAP,
    LABELS,
    MELTING,
    MEMBRANE,
    PLACES,
    STABILITY,
    write,
    write_run,
    write_tasks_run,
    write_test_table,
)

PICTURES = [
    "accuracy_by_length",
    "class_balance",
    "confusion_matrix",
    "confusion_matrix_shares",
    "curves",
    "lengths",
    "per_class",
    "reliability",
    "risk_coverage",
    "scores",
]
OF_SCORES = {"reliability", "risk_coverage", "scores", "accuracy_by_length"}


class Page(HTMLParser):
    """What a browser makes of a page: its tags, its text, the cells of its tables."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.rows, self.text = [], [], ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.rows and self.rows[-1] and self.lasttag in ("td", "th"):
            self.rows[-1][-1] += data.strip()

    def images(self):
        return [attributes for tag, attributes in self.tags if tag == "img"]


def report(folder):
    run = read_run(folder)
    write_report(run)
    return run, Page(folder / "report.html")


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return report(write_run(tmp_path_factory.mktemp("usual") / "run"))


def test_every_picture_is_in_the_folder_and_in_the_page(usual):
    run, page = usual
    files = [Path(run.folder, "figures", f"{name}.png").read_bytes() for name in PICTURES]
    inlined = [base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in page.images()]
    assert sorted(inlined) == sorted(files)
    for image in page.images():
        assert len(image["alt"]) > 20 and int(image["width"]) < 1200
    captions = re.findall("<figcaption>(.*?)</figcaption>", Path(run.folder, "report.html").read_text())
    assert len(captions) == len(PICTURES) and all(caption.endswith((".", "?")) for caption in captions)


def test_the_page_says_how_many_proteins_a_minimum_score_would_answer(usual):
    run, page = usual
    scores, right = scored(run.predictions.decision, run.predictions.references)
    sure = scores >= 0.8
    (row,) = [row for row in page.rows if row[0] == "0.8"]
    assert row[1:3] == [f"{sure.sum()}", f"{sure.mean():.0%}"]
    assert row[3].startswith(f"{right[sure].mean():.3f} (")


def test_the_page_asks_nothing_of_a_network(usual):
    run, page = usual
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert attributes.get("href", "#").startswith("#") and attributes.get("src", "data:").startswith("data:")
    content = Path(run.folder, "report.html").read_text()
    assert "http://" not in content and "https://" not in content and "@import" not in content
    assert "default-src 'none'" in content


def test_a_table_scrolls_in_its_box_on_a_phone_and_stays_in_one_piece_on_paper(usual):
    run, page = usual
    for (_, before), (tag, attributes) in zip(page.tags, page.tags[1:]):
        assert tag != "table" or "table" in (before.get("class"), attributes.get("class", "").replace("pairs", "table"))
    content = Path(run.folder, "report.html").read_text()
    assert ".table { overflow-x: auto;" in content
    (unbroken,) = re.findall(r"\n  (.*) \{ break-inside: avoid; \}", content)
    assert {".table", "figure"} <= set(unbroken.split(", "))


def test_the_numbers_on_top_are_those_of_the_run(usual):
    run, page = usual
    ece = calibration(run.predictions.decision, run.predictions.references)["ece"]
    names = ("accuracy", "mcc", "macro_f1", "balanced_accuracy")
    values = [run.metrics[f"test_{name}"] for name in names] + [ece]
    html = Path(run.folder, "report.html").read_text()
    assert re.findall('class="value">(.*?)<', html) == [f"{value:.3f}" for value in values]
    intervals = re.findall(r"95%: (-?[\d.]+) to ([\d.]+)", html)
    assert len(intervals) == 4
    for (low, high), value in zip(intervals, values):
        assert float(low) < value < float(high)


def test_the_share_of_cut_proteins_is_the_one_counted_by_hand(usual):
    run, page = usual
    for name, split in run.data["splits"].items():
        longer = sum(length > CAP for length in split["lengths"]) / len(split["lengths"])
        (row,) = [row for row in page.rows if row[0] == name and len(row) == 6]
        assert row[1] == str(len(split["lengths"])) and row[5] == f"{longer:.1%}"
    every = [length > CAP for split in run.data["splits"].values() for length in split["lengths"]]
    share = f"{np.mean(every):.1%} of the proteins are longer than the cap of {CAP} residues and lose their middle."
    assert share in page.text


def test_the_most_confidently_wrong_proteins_are_the_right_ones(tmp_path):
    folder = write_run(tmp_path / "run", proteins=5)
    probabilities = np.array([[0.98, 0.01, 0.01], [0.3, 0.6, 0.1], [0.1, 0.0, 0.9], [0.0, 0.95, 0.05], [0.2, 0.3, 0.5]])
    write_test_table(
        folder, ["RIGHT", "W60", "W90", "W95", "ALSO_RIGHT"], [0, 0, 1, 2, 2], probabilities, LABELS, [1] * 5
    )
    _, page = report(folder)
    header = page.rows.index(["accession", "residues", "true class", "predicted", "score", "score of the true class"])
    assert page.rows[header + 1 : header + 4] == [
        ["W95", "1", "Nucleus", "Mitochondrion", "0.950", "0.050"],
        ["W90", "1", "Mitochondrion", "Nucleus", "0.900", "0.000"],
        ["W60", "1", "Cytoplasm", "Mitochondrion", "0.600", "0.300"],
    ]
    assert not {"RIGHT", "ALSO_RIGHT"} & {row[0] for row in page.rows}


def test_fingerprint_arguments_and_versions_are_there(usual):
    run, page = usual
    assert ["fingerprint of train", run.record["data_fingerprint"]["train"]] in page.rows
    assert ["learning_rate", "0.01"] in page.rows and ["adam_beta1", "0.9"] in page.rows
    assert ["pooling", "mean"] in page.rows and ["crop", "ends"] in page.rows
    assert ["versions", "protbert_classify 0.1.0, torch 2.13.0"] in page.rows


def test_what_users_wrote_is_text_and_never_markup(tmp_path):
    evil = "<script>alert('x')</script>"
    folder = write_run(tmp_path / "run", labels=["Nucleus & more", evil], proteins=8)
    run = read_run(folder)
    wrong = 1 - run.predictions.references
    ids = [f"{evil}{index}" for index in range(8)]
    write_test_table(folder, ids, run.predictions.references, np.eye(2)[wrong], run.labels, [9] * 8)
    record = {**run.record, "data_arguments": {"data": f"{evil}.fasta"}, "device": evil}
    write(folder, "run.json", record)
    _, page = report(folder)
    assert "script" not in [tag for tag, _ in page.tags]
    assert any(row[0] == f"{evil}0" for row in page.rows) and ["data", f"{evil}.fasta"] in page.rows
    assert "<script" not in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "missing", "words"),
    [
        ({"test": False}, OF_SCORES, "no test proteins; its weights may have"),
        (
            {"test": False, "validation": False},
            {*OF_SCORES, "confusion_matrix", "confusion_matrix_shares", "per_class"},
            "neither test nor validation proteins: nothing is known",
        ),
        ({"validation": False}, set(), "test proteins right"),
        ({"proteins": 5, "epochs": 1}, set(), "On 5 test proteins"),
        ({"labels": [f"A location with a long name and the number {i}" for i in range(40)]}, set(), "of 40 classes"),
    ],
    ids=["no test", "neither", "no validation", "five proteins, one epoch", "forty classes"],
)
def test_small_and_large_runs_have_a_report(tmp_path, recwarn, options, missing, words):
    folder = write_run(tmp_path / "run", **options)
    _, page = report(folder)
    assert {path.stem for path in (folder / "figures").iterdir()} == set(PICTURES) - missing
    assert words in page.text
    kinds = (UserWarning, RuntimeWarning)
    assert not [str(warning.message) for warning in recwarn if issubclass(warning.category, kinds)]


def test_an_older_run_has_a_report_that_says_what_is_left_out(tmp_path):
    folder = write_run(tmp_path / "run")
    table = [line.split(",") for line in (folder / "test_predictions.csv").read_text().splitlines()]
    (folder / "test_predictions.csv").write_text("\n".join(",".join([row[0], *row[2:]]) for row in table) + "\n")
    for name in ("data.json", "trainer_state.json"):
        (folder / name).unlink()
    _, page = report(folder)
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        "confusion_matrix", "confusion_matrix_shares", "per_class", "reliability", "risk_coverage", "scores",
    }  # fmt: skip
    assert "Left out: lengths and class balance. The run has no data.json" in page.text
    assert "Left out: loss and metric curves. The run has no trainer_state.json" in page.text
    assert "Left out: test_predictions.csv has no column length" in page.text


def test_the_report_of_an_ensemble_says_where_its_curves_are(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "trainer_state.json").unlink()
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "members": ["seed-0", "seed-1"]}))
    _, page = report(folder)
    line = f"Left out: loss and metric curves. Each member has its own: protbert-classify report --run {folder}/seed-0"
    assert line in page.text and "has no trainer_state.json" not in page.text


def test_metrics_that_lack_something_are_named(tmp_path):
    folder = write_run(tmp_path / "run")
    run = read_run(folder)
    write(folder, "metrics.json", {name: value for name, value in run.metrics.items() if name != "test_mcc"})
    with pytest.raises(DataError, match="metrics.json: damaged; found no test_mcc"):
        report(folder)


def test_a_page_that_cannot_be_written_leaves_the_former_one(tmp_path, monkeypatch):
    run = read_run(write_run(tmp_path / "run"))
    (tmp_path / "run" / "report.html").write_text("former")
    monkeypatch.setattr("pathlib.Path.write_text", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(run)
    monkeypatch.undo()
    assert (tmp_path / "run" / "report.html").read_text() == "former"


ALWAYS = {"curves", "lengths"}
SEVERAL_PICTURES = {
    *("accuracy_by_length", "class_balance", "confusions", "label_counts", "per_class", "reliability", "scores"),
}
NUMBER_PICTURES = {"predicted_and_true", "distribution", "errors_by_length"}


def pictures(folder):
    return {path.stem for path in (folder / "figures").iterdir()}


def header(page, *names):
    """The rows below a header of a table."""
    start = page.rows.index(list(names)) + 1
    return page.rows[start:]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return report(write_tasks_run(tmp_path_factory.mktemp("places") / "run", [PLACES, MEMBRANE]))


@pytest.fixture(scope="module")
def stability(tmp_path_factory):
    return report(write_tasks_run(tmp_path_factory.mktemp("stability") / "run", [STABILITY]))


def on_top(run):
    """Name, value and interval of each card."""
    html = Path(run.folder, "report.html").read_text()
    pattern = 'class="name">(.*?)<.*?class="value">(.*?)<.*?class="interval">(.*?)<'
    return [(name, value, interval) for name, value, interval in re.findall(pattern, html)]


def test_a_run_of_several_labels_shows_their_metrics_with_intervals(places):
    run, page = places
    assert pictures(Path(run.folder)) == ALWAYS | SEVERAL_PICTURES
    cards = on_top(run)[:5]
    assert [name for name, _, _ in cards] == ["Micro F1", "Macro F1", "Jaccard", "Subset accuracy", "MCC"]
    intervals = task_intervals(run.predictions.decision, run.predictions.references)
    for (_, value, interval), key in zip(cards, ("micro_f1", "macro_f1", "jaccard", "subset_accuracy", "mcc")):
        assert value == f"{run.metrics[f'test_{key}']:.3f}"
        assert interval == f"95%: {intervals[key][0]:.3f} to {intervals[key][1]:.3f}"
    columns = ["class", "proteins", "precision", "recall", "F1", "MCC", "average precision", "threshold"]
    row = header(page, *columns)[4]
    values = run.metrics["test_per_class"]["Peroxisome"]
    assert row[:2] == ["Peroxisome", str(values["support"])] and row[7] == "0.300"
    assert row[5].startswith(f"{values['mcc']:.2f} (") and row[6].startswith(f"{values['average_precision']:.2f} (")


def test_the_sentences_about_several_labels_are_counted(places):
    run, page = places
    references, chosen = run.predictions.references == 1, run.predictions.decision.chosen
    exact = int((references == chosen).all(1).sum())
    largest = references.sum(0).argmax()
    alone = int((references[:, largest] & (references.sum(1) == 1)).sum())
    words = f"exactly the true labels of {exact} of 80 test proteins; predicting only {PLACES.labels[largest]}"
    assert f"{words} for all of them would be exact for {alone}." in page.text
    means = f"A protein has {references.sum(1).mean():.2f} labels on average and is given {chosen.sum(1).mean():.2f}."
    assert means in page.text


def test_the_most_confidently_wrong_labels_are_listed(places):
    run, page = places
    decision = run.predictions.decision
    wrong = np.where(decision.chosen & (run.predictions.references == 0), decision.scores, 0)
    row, label = np.unravel_index(wrong.argmax(), wrong.shape)
    found = header(page, "accession", "residues", "true labels", "wrong label", "its score")[0]
    assert (found[0], found[3]) == (run.predictions.ids[row], PLACES.labels[label])
    assert found[4] == f"{wrong.max():.3f}"


def test_an_auxiliary_task_has_a_section_with_its_metrics(places):
    run, page = places
    known = int((run.predictions.auxiliary["membrane"] >= 0).sum())
    assert 0 < known < 80
    assert f"Learned beside compartment, and measured on the {known} test proteins whose answer is known." in page.text
    assert ("Accuracy", f"{run.metrics['test_membrane_accuracy']:.3f}") in [card[:2] for card in on_top(run)]
    rows = header(page, "class", "proteins", "precision", "recall", "F1", "MCC")
    assert [row[0] for row in rows[:2]] == ["M", "S"]
    assert [tag[1].get("href") for tag in page.tags if tag[0] == "a"][-2] == "#auxiliary-1"


def test_a_run_of_numbers_shows_how_far_they_are_off(stability):
    run, page = stability
    assert pictures(Path(run.folder)) == ALWAYS | NUMBER_PICTURES
    assert [card[0] for card in on_top(run)] == ["Mean Spearman", "Mean Pearson", "Mean R²", "Mean MAE"]
    found = header(page, "number", "proteins", "Spearman", "Pearson", "R²", "MAE")
    for row, (name, values) in zip(found, run.metrics["test_per_target"].items()):
        assert row[:2] == [name, "80"]
        assert row[2].startswith(f"{values['spearman']:.2f} (") and row[5].startswith(f"{values['mae']:.3g} (")
    mae = run.metrics["test_per_target"]["melting point"]["mae"]
    off = np.abs(run.predictions.references[:, 0] - 50).mean()
    words = f"Melting point is off by {mae:.3g} on average; the mean of the training proteins would be off by"
    assert f"{words} {off:.3g}." in page.text


def test_the_largest_errors_are_listed_by_the_spread_of_their_number(stability):
    run, page = stability
    error = run.predictions.decision.scores - run.predictions.references
    size = np.abs(error) / run.predictions.references.std(0)
    row, target = np.unravel_index(size.argmax(), size.shape)
    found = header(page, "accession", "residues", "number", "true", "predicted", "predicted - true")
    assert found[0][0] == run.predictions.ids[row] and found[0][2] == STABILITY.labels[target]
    assert found[0][5] == f"{error[row, target]:.4g}"


def test_the_errors_of_each_range_of_length_are_those_of_its_proteins(tmp_path):
    run, page = report(write_tasks_run(tmp_path / "run", [MELTING]))
    lengths = run.predictions.lengths
    error = np.abs(run.predictions.decision.scores - run.predictions.references)[:, 0]
    rows = header(page, "residues", "proteins", "MAE")
    inside = lengths <= CAP
    assert rows[0] == [f"1–{CAP}", str(inside.sum()), f"{error[inside].mean():.3g}"]
    assert [card[0] for card in on_top(run)] == ["Spearman", "Pearson", "R²", "MAE"]


@pytest.mark.parametrize("tasks", [[PLACES, MELTING], [STABILITY, MEMBRANE, PLACES]], ids=["labels", "numbers"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test": False}, "no test proteins; its weights may have"),
        ({"test": False, "validation": False}, "neither test nor validation proteins: nothing is known"),
        ({"validation": False}, "On 80 test proteins"),
        ({"proteins": 2, "epochs": 1}, "On 2 test proteins"),
    ],
    ids=["no test", "neither", "no validation", "two proteins"],
)
def test_small_runs_of_other_kinds_have_a_report(tmp_path, recwarn, tasks, options, words):
    folder = write_tasks_run(tmp_path / "run", tasks, **options)
    _, page = report(folder)
    assert words in page.text
    left = "test" in options and not options["test"]
    assert ("Left out" in page.text) == left
    assert not left or pictures(folder) & {"confusions", "predicted_and_true"} == set()
    kinds = (UserWarning, RuntimeWarning)
    assert not [str(warning.message) for warning in recwarn if issubclass(warning.category, kinds)]


def test_many_proteins_are_drawn_as_cells_with_their_counts(tmp_path):
    folder = write_tasks_run(tmp_path / "run", [MELTING], proteins=2000)
    report(folder)
    assert pictures(folder) == ALWAYS | NUMBER_PICTURES


def test_unknown_answers_of_the_main_task_are_left_out_of_the_page(tmp_path):
    folder = write_tasks_run(tmp_path / "run", [PLACES], proteins=30)
    table = (folder / "test_predictions.csv").read_text().splitlines()
    unknown = ";".join(f"{label}?" for label in PLACES.labels)
    cells = table[1].split(",")
    table[1] = ",".join([*cells[:2], unknown, *cells[3:]])
    (folder / "test_predictions.csv").write_text("\n".join(table) + "\n")
    run, page = report(folder)
    assert np.isnan(run.predictions.references[0]).all()
    assert "P00000" not in [row[0] for row in page.rows if row]
