import json
import math

import numpy as np
import pytest

from protbert_classify.errors import DataError, ModelError, OptionError
from protbert_classify.runs.finished_run import finished_run, read_run
from tests.reporting.runs import CAP, LABELS, write_run


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", proteins=6)


def lines(folder):
    return (folder / "test_predictions.csv").read_text().splitlines()


def rewrite(folder, row, change):
    """Change a line of the table; row 1 is the header."""
    table = lines(folder)
    table[row - 1] = change(table[row - 1])
    (folder / "test_predictions.csv").write_text("\n".join(table) + "\n")


def test_a_finished_run_is_read(folder):
    run = read_run(folder)
    assert (run.folder, run.labels) == (str(folder), LABELS)
    assert run.metrics["test_proteins"] == 6
    assert run.record["device"] == "x86_64"
    assert run.log[0] == {"epoch": 0.5, "loss": 2.0, "step": 5}
    assert run.data["max_residues"] == CAP
    first = lines(folder)[1].split(",")
    predictions = run.predictions
    assert (predictions.ids[0], predictions.lengths[0]) == (first[0], int(first[1]))
    assert [LABELS[predictions.references[0]], LABELS[predictions.decision.best[0]]] == first[2:4]
    assert predictions.decision.scores[0].tolist() == [float(value) for value in first[5:]]
    assert predictions.decision.scores.shape == (6, 3)
    assert (predictions.decision.best == predictions.references).mean() == pytest.approx(run.metrics["test_accuracy"])


def test_a_run_with_a_nan_in_its_log_is_the_one_of_its_trainer(folder):
    state = json.loads((folder / "trainer_state.json").read_text())
    state["log_history"][0]["grad_norm"] = math.nan  # as float16 logs a step that overflowed
    (folder / "trainer_state.json").write_text(json.dumps(state))
    log = [dict(reversed(entry.items())) for entry in state["log_history"]]
    assert finished_run(str(folder), [*log, {"later": 1}]) is not None
    assert finished_run(str(folder), [{**log[0], "loss": 7.0}, *log[1:]]) is None


def test_an_older_run_has_neither_lengths_nor_log_nor_data(folder):
    table = [",".join([*line.split(",")[:1], *line.split(",")[2:]]) for line in lines(folder)]
    (folder / "test_predictions.csv").write_text("\n".join(table) + "\n")
    expected = read_run(write_run(folder.parent / "new", proteins=6)).predictions
    for name in ("data.json", "trainer_state.json"):
        (folder / name).unlink()
    run = read_run(folder)
    assert (run.data, run.log, run.predictions.lengths) == (None, [], None)
    assert np.array_equal(run.predictions.decision.scores, expected.decision.scores)


def test_a_class_called_length_is_a_class(tmp_path):
    run = read_run(write_run(tmp_path / "run", labels=["length", "score, of a kind"], proteins=4))
    assert run.labels == ["length", "score, of a kind"]
    assert run.predictions.decision.scores.shape == (4, 2)


def test_without_test_proteins_there_are_no_predictions(tmp_path):
    run = read_run(write_run(tmp_path / "run", test=False))
    assert (run.predictions, run.labels) == (None, LABELS)


def test_without_any_metrics_the_labels_are_those_of_the_model(tmp_path):
    assert read_run(write_run(tmp_path / "run", test=False, validation=False)).labels == LABELS


@pytest.mark.parametrize(
    ("leftovers", "words"),
    [
        ([], "holds no run (no run.json); expected the output_dir of a finished training"),
        (
            ["settings.json"],
            "its training was interrupted, and resume finishes it; or it ran in Python with Protein",
        ),
        (["checkpoint-5"], "has no run.json: its training was interrupted"),
    ],
)
def test_a_folder_that_is_no_finished_run_says_what_it_is(tmp_path, leftovers, words):
    for name in leftovers:
        (tmp_path / name).write_text("{}")
    with pytest.raises(OptionError) as caught:
        read_run(tmp_path)
    assert words in str(caught.value) and str(tmp_path) in str(caught.value)


def test_no_such_folder(tmp_path):
    with pytest.raises(OptionError, match="nowhere: no such folder; expected the output_dir"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["run.json", "metrics.json", "data.json", "trainer_state.json"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"half": ', "damaged, no JSON"),
        (b"[1]", "found list, expected an object"),
        (b"\xff\xfe", "damaged, no JSON"),
    ],
    ids=["cut off", "no object", "no text"],
)
def test_a_damaged_file_is_named(folder, name, content, words):
    (folder / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_run(folder)
    assert f"{folder / name}: " in str(caught.value) and words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("data.json", {"splits": {"train": {"classes": {}}}}, "expected max_residues, and splits, each with classes"),
        ("data.json", {"splits": {}}, "expected max_residues"),
        ("trainer_state.json", {"log_history": 3}, "expected log_history, a list"),
    ],
)
def test_json_of_another_kind_is_named(folder, name, value, words):
    (folder / name).write_text(json.dumps(value))
    with pytest.raises(DataError, match=words):
        read_run(folder)


def test_a_run_without_metrics_says_so(folder):
    (folder / "metrics.json").unlink()
    with pytest.raises(DataError, match="metrics.json: no such file, though the run is finished"):
        read_run(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line.rsplit(",", 1)[0], "row 3 (P00001): damaged: found 7 columns, expected 8"),
        (lambda line: line + ",0.1", "row 3 (P00001): damaged: found 9 columns, expected 8"),
        (lambda line: "", "row 3 (empty): damaged: found 0 columns"),
        (lambda line: line.rsplit(",", 1)[0] + ",x", "row 3 (P00001): damaged: could not convert string to float: 'x'"),
        (lambda line: line.rsplit(",", 1)[0] + ",5", "its probabilities do not add up to 1"),
        (lambda line: line.replace(line.split(",")[2], "Golgi"), "'Golgi' is not a class of the run"),
        (lambda line: line.replace(line.split(",")[1], "long", 1), "'long'"),
    ],
)
def test_a_damaged_row_is_named(folder, change, words):
    rewrite(folder, 3, change)
    with pytest.raises(DataError) as caught:
        read_run(folder)
    assert "test_predictions.csv, row 3" in str(caught.value) and words in str(caught.value)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_scores_that_are_no_numbers_are_the_trainings_fault_and_not_the_files(folder, value):
    rewrite(folder, 3, lambda line: f"{line.rsplit(',', 1)[0]},{value}")
    words = f"^the model in {folder}/model gives scores that are not numbers: its training diverged; train it again"
    with pytest.raises(ModelError, match=words):
        read_run(folder)


def test_a_table_that_is_cut_off_says_so(folder):
    (folder / "test_predictions.csv").write_text("\n".join(lines(folder)[:4]) + "\n")
    with pytest.raises(DataError, match="found 3 proteins, expected 6; is it cut off?"):
        read_run(folder)


@pytest.mark.parametrize("content", [b"", b"id,location\n", b"\xff\xff\n", b"a\0b\n"])
def test_a_table_of_another_kind_is_named(folder, content):
    (folder / "test_predictions.csv").write_bytes(content)
    with pytest.raises(DataError, match="test_predictions.csv: "):
        read_run(folder)
