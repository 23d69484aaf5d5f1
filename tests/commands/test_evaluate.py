import json
import shutil

import pytest

from protbert_classify.commands import main
from tests.commands.test_predict import model  # noqa: F401  a fixture
from tests.training.runs import LABELS, TINY, complaints, easy_records, fasta, run


@pytest.fixture
def arguments(model, easy):  # noqa: F811
    return ["evaluate", "--model", model, "--data", easy]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The arguments that evaluate a model whose training data is known."""
    folder = tmp_path_factory.mktemp("trained")
    data = folder / "easy.fasta"
    data.write_text(fasta(easy_records()))
    run(folder / "run", data)
    return ["evaluate", "--model", str(folder / "run")]


def measured(arguments, tmp_path, *more):
    path = tmp_path / "metrics.json"
    assert main([*arguments, "--output", str(path), *more]) == 0
    return json.loads(path.read_text())


def test_it_measures_the_test_split_where_there_is_one(arguments, tmp_path, capsys):
    metrics = measured(arguments, tmp_path)
    assert metrics["proteins"] == 15
    assert sum(map(sum, metrics["confusion_matrix"])) == 15
    correct = sum(metrics["confusion_matrix"][index][index] for index in range(3))
    assert metrics["accuracy"] == pytest.approx(correct / 15)
    assert [row["support"] for row in metrics["per_class"].values()] == [5, 5, 5]
    assert capsys.readouterr().out.startswith(f"test: 15 proteins, accuracy {metrics['accuracy']:.3f}, MCC ")


@pytest.mark.parametrize(("split", "count"), [("train", 45), ("test", 15), ("all", 60)])
def test_a_split_can_be_chosen(arguments, tmp_path, split, count):
    assert measured(arguments, tmp_path, "--split", split)["proteins"] == count


@pytest.mark.parametrize("other", ["location", "note"])
def test_labels_may_have_another_name_than_in_the_training(arguments, tmp_path, other):
    rows = [(header.split(), residues) for header, residues in easy_records()]
    lines = [f"{words[0]},{residues},{words[1].split('-')[0]},Nucleus" for words, residues in rows]
    named = tmp_path / "named.csv"
    named.write_text("\n".join([f"id,sequence,compartment,{other}", *lines]) + "\n")
    expected = measured(arguments, tmp_path, "--split", "all")
    found = measured([*arguments, "--data", str(named)], tmp_path, "--label_column", "compartment")
    assert found == expected


def test_an_output_folder_that_is_not_there_is_made(arguments, tmp_path):
    path = tmp_path / "new" / "folder" / "metrics.json"
    assert main([*arguments, "--output", str(path)]) == 0
    assert json.loads(path.read_text())["proteins"] == 15


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_computed(arguments, tmp_path, capsys):
    assert main([*arguments, "--model", "/nowhere", "--output", str(tmp_path)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line == f"protbert-classify evaluate: output {tmp_path} is a folder; expected the name of a file"


def test_the_metrics_are_printed_although_writing_fails(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("protbert_classify.runs.files.write_json", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main([*arguments, "--output", str(tmp_path / "metrics.json")])
    assert capsys.readouterr().out.startswith("test: 15 proteins")


def test_a_folder_is_called_one(arguments, tmp_path, capsys):
    (tmp_path / "proteins").mkdir()
    assert main([*arguments, "--data", str(tmp_path / "proteins")]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert f"{tmp_path}/proteins: is a folder; expected a file of proteins" in line


def test_it_agrees_with_predict(arguments, model, easy, tmp_path):  # noqa: F811
    import csv

    metrics = measured(arguments, tmp_path, "--split", "all")
    assert main(["predict", "--model", model, "--input", easy, "--output", str(tmp_path / "predictions.csv")]) == 0
    with open(tmp_path / "predictions.csv", newline="") as file:
        right = [row["description"].startswith(row["location"]) for row in csv.DictReader(file)]
    assert metrics["accuracy"] == pytest.approx(sum(right) / len(right))


@pytest.mark.parametrize("split", ["test", "all"])
def test_a_location_that_the_model_does_not_know_is_one_line(trained, tmp_path, capsys, split):
    data = tmp_path / "other.fasta"
    data.write_text(">P0 Nucleus-U\nMKKRKK\n>P1 Plastid-U test\nMKTAYIAKQR\n")
    assert main([*trained, "--data", str(data), "--split", split]) == 2
    (line,) = complaints(capsys.readouterr().err)
    words = f"location 'Plastid' is not a class of the model; expected one of {', '.join(LABELS)}"
    assert line == f"protbert-classify evaluate: {data}: P1: {words}"


def test_a_location_that_the_model_does_not_know_is_no_matter_in_a_split_that_is_not_measured(trained, tmp_path):
    data = tmp_path / "other.fasta"
    data.write_text(">P0 Nucleus-U\nMKKRKK\n>P1 Plastid-U test\nMKTAYIAKQR\n")
    assert measured([*trained, "--data", str(data)], tmp_path, "--split", "train")["proteins"] == 1


def test_a_file_too_small_to_train_on_can_be_measured_without_a_word_about_training(trained, tmp_path, capsys):
    data = tmp_path / "small.fasta"
    data.write_text(">P0 Nucleus-U\nMKKRKK\n>P1 Cytoplasm-U\nMDDEDE\n")
    assert measured([*trained, "--data", str(data)], tmp_path)["proteins"] == 2
    assert "training proteins" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--split", "validation"], "has no validation split; found train, test"),
        (["--split", "best"], "invalid choice: 'best'"),
        (["--data", "nowhere.fasta"], "nowhere.fasta: no such file"),
        (["--model", "/nowhere"], "/nowhere: no such folder"),
    ],
)
def test_a_bad_option_is_one_line(arguments, capsys, more, words):
    assert main([*arguments, *more]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify evaluate: ") and words in line


@pytest.mark.parametrize("more", [[], ["--validation", "0"], ["--max_train_samples", "20"]])
def test_proteins_that_the_model_was_trained_on_are_warned_of(easy, tmp_path, capsys, more):
    folder = str(tmp_path / "run")
    train = ["train", "--data", easy, "--output_dir", folder, *TINY, "--num_train_epochs", "1", *more]
    assert main(train) == 0
    seen = json.loads((tmp_path / "run" / "metrics.json").read_text())["train_proteins"]
    moved = tmp_path / "moved.fasta"
    shutil.copy(easy, moved)

    def warnings(*options):
        capsys.readouterr()
        assert main(["evaluate", *options]) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "was trained on" in line]

    line = (
        f"warning: {moved}: the model was trained on {seen} of these %d proteins, so the metrics are too good; evaluate"
    )
    (found,) = warnings("--model", folder, "--data", str(moved), "--split", "all")
    assert found.startswith(line % 60)
    (found,) = warnings("--model", f"{folder}/model", "--data", str(moved), "--split", "train")
    assert found.startswith(line % 45)
    assert not warnings("--model", folder, "--data", str(moved))  # its test split
    moved.write_text(fasta(easy_records(seed=1)))
    assert not warnings("--model", folder, "--data", str(moved), "--split", "all")
