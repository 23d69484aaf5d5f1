import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from protbert_classify.errors import DataError
from protbert_classify.evaluation.calibration import calibration
from protbert_classify.reporting.report import write_report
from protbert_classify.reporting.run_folder import read_run
from tests.reporting.runs import CAP, LABELS, write, write_calls, write_run

PICTURES = [
    "accuracy_by_length",
    "class_balance",
    "confusion_matrix",
    "confusion_matrix_shares",
    "curves",
    "lengths",
    "per_class",
    "reliability",
    "scores",
]


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
    values = [run.metrics[f"test_{name}"] for name in ("accuracy", "mcc", "macro_f1")] + [ece]
    html = Path(run.folder, "report.html").read_text()
    assert re.findall('class="value">(.*?)<', html) == [f"{value:.3f}" for value in values]
    intervals = re.findall(r"95%: (-?[\d.]+) to ([\d.]+)", html)
    assert len(intervals) == 3
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
    probabilities = np.array(
        [[0.98, 0.01, 0.01], [0.3, 0.6, 0.1], [0.1, 0.0, 0.9], [0.0, 0.95, 0.05], [0.2, 0.3, 0.5]]
    )
    write_calls(folder, ["RIGHT", "W60", "W90", "W95", "ALSO_RIGHT"], [0, 0, 1, 2, 2], probabilities, LABELS, [1] * 5)
    _, page = report(folder)
    header = page.rows.index(["accession", "residues", "true class", "called", "score", "score of the true class"])
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
    write_calls(folder, ids, run.predictions.references, np.eye(2)[wrong], run.labels, [9] * 8)
    record = {**run.record, "data_arguments": {"data": f"{evil}.fasta"}, "device": evil}
    write(folder, "run.json", record)
    _, page = report(folder)
    assert "script" not in [tag for tag, _ in page.tags]
    assert any(row[0] == f"{evil}0" for row in page.rows) and ["data", f"{evil}.fasta"] in page.rows
    assert "<script" not in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "missing", "words"),
    [
        ({"test": False}, {"reliability", "scores", "accuracy_by_length"}, "no test proteins; its weights may have"),
        (
            {"test": False, "validation": False},
            {"reliability", "scores", "accuracy_by_length", "confusion_matrix", "confusion_matrix_shares", "per_class"},
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
        "confusion_matrix", "confusion_matrix_shares", "per_class", "reliability", "scores",
    }  # fmt: skip
    assert "Left out: lengths and class balance. The run has no data.json" in page.text
    assert "Left out: loss and metric curves. The run has no trainer_state.json" in page.text
    assert "Left out: test_predictions.csv has no column length" in page.text


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
