import json

import pytest

from protbert_classify.commands import main
from protbert_classify.reporting.terminal_summary import training_summary
from protbert_classify.runs.best_baseline import BestBaseline
from tests.training.runs import TINY, complaints


def test_each_is_a_run_that_report_and_compare_read(easy, tmp_path, capsys):
    folder = tmp_path / "baselines"
    assert main(["baselines", "--data", easy, "--output_dir", str(folder)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    names = ["majority", "composition", "random_network", "nearest_neighbour"]
    assert sorted(words[0] for words in lines if words and words[0] in names) == sorted(names)
    for name in names:
        metrics = json.loads((folder / name / "metrics.json").read_text())
        (shown,) = [words for words in lines if words and words[0] == name]
        assert shown[4] == f"{metrics['test_accuracy']:.3f}"
        assert main(["report", "--run", str(folder / name)]) == 0
        page = (folder / name / "report.html").read_text()
        assert f"The baseline {name}, trained on 39 proteins of 3 classes" in page
        assert (
            sum(step["proteins"] for step in metrics["test_by_identity"]) == 15
        )  # by default, neighbours are searched
        assert len((folder / name / "test_neighbours.csv").read_text().splitlines()) == 16
        assert "Of 15 test proteins, " in page
    capsys.readouterr()
    assert main(["compare", "--runs", *(str(folder / name) for name in names[:2])]) == 0
    assert capsys.readouterr().out.startswith("15 test proteins, location")


def test_a_training_is_compared_with_its_baselines(easy, tmp_path, capsys):
    folder = str(tmp_path / "baselines")
    assert main(["baselines", "--data", easy, "--output_dir", folder, "--baselines", "majority"]) == 0
    options = ["--data", easy, "--output_dir", str(tmp_path / "run"), "--num_train_epochs", "1", *TINY]
    capsys.readouterr()
    assert main(["train", *options]) == 0
    assert "best baseline: majority, test MCC 0.000" in capsys.readouterr().out
    assert main(["compare", "--runs", f"{folder}/majority", str(tmp_path / "run")]) == 0


def test_a_baseline_of_other_training_proteins_is_told_as_such(easy, tmp_path, capsys):
    folder = str(tmp_path / "baselines")
    fewer = ["--data", easy, "--max_train_samples", "12"]
    train = ["train", *fewer, "--max_steps", "1", *TINY, "--output_dir"]
    assert main(["baselines", "--data", easy, "--output_dir", folder, "--baselines", "composition"]) == 0
    assert main([*train, str(tmp_path / "first")]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best baseline: ")]
    assert ", trained on a different set of 39 proteins" in line
    assert main(["baselines", *fewer, "--output_dir", folder, "--baselines", "majority"]) == 0
    assert main([*train, str(tmp_path / "second")]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best baseline: ")]
    assert line.startswith("best baseline: majority, test MCC 0.000") and "different set" not in line


def test_the_summary_says_that_a_baseline_is_at_least_as_good():
    metrics = {"train_runtime": 1.0, "test_proteins": 9, "test_mcc": 0.4, "test_mae": 0.4}
    lines = {
        (metric, value): training_summary(metrics, "run", BestBaseline("majority", metric, value)).splitlines()[-2]
        for metric in ("mcc", "mae")
        for value in (0.3, 0.5)
    }
    assert lines["mcc", 0.3] == "best baseline: majority, test MCC 0.300"
    assert lines["mcc", 0.5] == "best baseline: majority, test MCC 0.500: the model is not better"
    assert lines["mae", 0.3].endswith("0.300: the model is not better")  # lower is better
    assert lines["mae", 0.5].endswith("0.500")


def test_baselines_of_other_proteins_are_not_named(easy, tmp_path, capsys, write_fasta):
    other = write_fasta(
        [(f"P{row} Nucleus-U{' test' * (row % 2)}", "MKTAYIAK" * (row + 3)) for row in range(4)]
        + [(f"Q{row} Cytoplasm-U{' test' * (row % 2)}", "GGSPWYLL" * (row + 3)) for row in range(4)]
    )
    options = ["--output_dir", str(tmp_path / "baselines"), "--baselines", "majority", "--validation", "0"]
    assert main(["baselines", "--data", other, *options]) == 0
    assert main(["train", "--data", easy, "--output_dir", str(tmp_path / "run"), "--max_steps", "1", *TINY]) == 0
    assert "best baseline" not in capsys.readouterr().out


def test_a_baseline_that_is_there_is_replaced_only_if_asked(easy, tmp_path, capsys):
    folder = tmp_path / "b"
    command = ["baselines", "--data", easy, "--baselines", "majority", "--output_dir"]
    assert main([*command, str(folder)]) == 0
    (folder / "majority" / "metrics.json").write_text("{}")
    assert main([*command, str(folder)]) == 2
    assert f"{folder / 'majority'} holds a baseline; set another output_dir, or overwrite" in capsys.readouterr().err
    assert (folder / "majority" / "metrics.json").read_text() == "{}"
    assert main([*command, str(folder), "--overwrite"]) == 0
    assert "test_accuracy" in (folder / "majority" / "metrics.json").read_text()
    assert main([*command, str(folder / "majority"), "--overwrite"]) == 2
    assert "holds a finished run; set another output_dir" in capsys.readouterr().err


def test_a_training_that_has_the_name_of_a_baseline_is_never_replaced(easy, tmp_path, capsys):
    run = tmp_path / "majority"
    assert main(["train", "--data", easy, "--output_dir", str(run), "--max_steps", "1", *TINY]) == 0
    command = ["baselines", "--data", easy, "--baselines", "majority", "--output_dir", str(tmp_path), "--overwrite"]
    assert main(command) == 2
    assert f"{run} holds a training; set another output_dir" in capsys.readouterr().err
    assert (run / "model" / "model.safetensors").exists()


def test_a_baseline_is_not_said_to_crop_and_cannot_predict(easy, tmp_path, capsys):
    assert main(["baselines", "--data", easy, "--baselines", "majority", "--output_dir", str(tmp_path)]) == 0
    folder = str(tmp_path / "majority")
    assert main(["report", "--run", folder]) == 0
    page = (tmp_path / "majority" / "report.html").read_text()
    assert "training took" in page and "longer than the cap" not in page.lower() and "a second" not in page
    capsys.readouterr()
    assert main(["predict", "--model", folder, "--input", easy, "--output", str(tmp_path / "calls.csv")]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert f"{folder}: a baseline, for comparisons only; it has no model that can predict" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--baselines", "blast"], "baselines='blast': expected one of"),
        (["--validation", "1.5"], "validation=1.5: expected"),
        (["--data", "nowhere.fasta"], "nowhere.fasta: no such file"),
    ],
)
def test_a_bad_option_is_one_line(easy, options, words, capsys, tmp_path):
    assert main(["baselines", "--data", easy, "--output_dir", str(tmp_path / "b"), *options]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify baselines: ") and words in line
    assert not (tmp_path / "b").exists()


def test_proteins_to_learn_from_alone_are_not_enough(write_fasta, tmp_path, capsys):
    path = write_fasta([(f"P{row} {('Nucleus', 'Cytoplasm')[row % 2]}-U", "MKTAYIAK" * (row + 3)) for row in range(6)])
    assert main(["baselines", "--data", path, "--validation", "0", "--output_dir", str(tmp_path / "b")]) == 2
    assert "no validation and no test proteins" in capsys.readouterr().err
