import os
import resource

import pytest

from protbert_classify.commands import main
from tests.reporting.runs import write_run
from tests.training.runs import LABELS, TINY, call, complaints


def test_it_prints_where_the_page_is(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert main(["report", "--run", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}/report.html\n"
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_page_may_go_elsewhere_the_pictures_stay_with_the_run(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    page = tmp_path / "new" / "page.html"
    assert main(["report", "--run", str(folder), "--output", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.is_file() and not (folder / "report.html").exists()
    assert (folder / "figures" / "confusion_matrix.png").is_file()


def test_a_real_run_has_its_report(tmp_path, easy, capsys):
    folder = tmp_path / "run"
    options = ["--data", easy, "--output_dir", str(folder), "--num_train_epochs", "2", "--logging_steps", "2"]
    assert main(["train", *options, "--disable_tqdm", "true", *TINY]) == 0
    assert main(["report", "--run", str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert "Left out" not in page
    assert "On 15 test proteins" in page and all(label in page for label in LABELS)
    assert len(os.listdir(folder / "figures")) == 10


@pytest.mark.parametrize(
    ("break_", "words"),
    [
        (lambda folder: (folder / "run.json").unlink(), "its training was interrupted"),
        (lambda folder: (folder / "metrics.json").write_text("{"), "metrics.json: damaged, no JSON"),
        (lambda folder: (folder / "test_predictions.csv").write_text("id\n"), "predictions.csv: found the columns"),
    ],
)
def test_a_broken_run_is_one_line_and_exit_code_2(tmp_path, capsys, break_, words):
    folder = write_run(tmp_path / "run")
    break_(folder)
    assert main(["report", "--run", str(folder)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify report: ") and words in line
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: --run"),
        (["--run", "nowhere"], "nowhere: no such folder"),
        (["--run", "x", "--colour", "red"], "unknown option --colour"),
    ],
)
def test_a_bad_option_is_one_line(capsys, arguments, words):
    assert main(["report", *arguments]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert words in line


def test_a_full_disk_is_one_line_and_leaves_no_half_page(tmp_path):
    folder = write_run(tmp_path / "run")

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # room for the pictures

    done = call("report", "--run", folder, preexec_fn=small_files_only)
    assert (done.returncode, len(complaints(done.stderr))) == (1, 1)
    assert "Traceback" not in done.stderr
    assert not [name for name in os.listdir(folder) if name.startswith("report")]
