"""The command that probes layers: its table, its page, and what it refuses."""

import csv
import tempfile

import pytest
from transformers import AlbertConfig, AlbertModel

from protbert_classify.commands import main
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.layers import probe
from tests.layers.encoders import save_planted
from tests.training.runs import complaints, easy_records, fasta


@pytest.fixture
def command(tmp_path):
    data = tmp_path / "proteins.fasta"
    data.write_text(fasta(easy_records(150, 30)))
    model = save_planted(tmp_path / "encoder")
    output = str(tmp_path / "out")
    return ["layers", "--data", str(data), "--model", model, "--split", "identical", "--output", output]


def test_it_prints_a_table_and_writes_it_and_a_page(command, tmp_path, capsys):
    assert main(command) == 0
    told = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "layers.csv").read_text().splitlines()))
    assert [row["layer"] for row in rows] == ["1", "2", "3", "4"]
    assert list(rows[0]) == ["layer", "accuracy", "mcc", "macro_f1"]
    best = float(rows[0]["mcc"])
    assert best > 0.5 and [float(row["mcc"]) for row in rows[1:]] == [0, 0, 0]
    header, first, *_ = told.splitlines()
    assert header.split() == ["layer", "MCC", "accuracy", "macro", "F1"]
    assert first.split() == ["1", f"{best:.3f}", f"{float(rows[0]['accuracy']):.3f}", first.split()[3], "best"]
    assert f"layer 1 of 4 is the best: MCC {best:.3f} on validation proteins" in told
    trains = (
        f"protbert-classify train --data {command[2]} --split identical --max_length 128 "  # the encoder's positions
        f"--model_name_or_path {command[4]} --layer 1 --recipe frozen"
    )
    assert trains in told.splitlines()
    page = (tmp_path / "out" / "layers.html").read_text()
    assert f"<code>{trains}</code>" in page
    assert "data:image/png;base64" in page and f"<h1>The layers of {tmp_path / 'encoder'}</h1>" in page
    assert f"Layer 1 of 4 is the best: MCC {best:.3f}" in page
    assert "120 training proteins" not in page  # of 120, some are for validation
    assert f">{best:.3f}<" in page and "http://" not in page and "https://" not in page


def test_a_fine_tuned_model_is_probed_as_well(command, tmp_path, capsys, tiny_classifier):
    model = tiny_classifier(pooling="light_attention", max_sequence_length=64)
    model.save_pretrained(tmp_path / "tuned")
    protbert_tokenizer().save_pretrained(tmp_path / "tuned")
    assert main([*command, "--model", str(tmp_path / "tuned")]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:3]] == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--validation", "0"],
            "no validation proteins to compare the layers on; expected some, or validation above 0",
        ),
        (["--max_length", "200"], "max_length=200: the backbone has 128 positions; expected no more"),
        (["--precision", "int8"], "argument --precision: invalid choice: 'int8'"),
        (["--most_proteins", "0"], "argument --most_proteins: found '0', expected 1 or more; --help tells more"),
        (
            ["--model", "/nowhere"],
            "/nowhere: no such folder; expected the output_dir of a training, a model folder, or",
        ),
        (["--data", "/nowhere.fasta"], "/nowhere.fasta: no such file"),
        (["--layer", "3"], "unknown option --layer"),
        (["--model_name_or_path", "x"], "unknown option --model_name_or_path; did you mean --model?"),
    ],
)
def test_what_it_cannot_use_is_one_line(command, options, message, capsys):
    assert main([*command, *options]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith(f"protbert-classify layers: {message}")


def test_shared_layers_are_refused_in_a_line(command, tmp_path, capsys):
    config = AlbertConfig(
        vocab_size=30,
        embedding_size=16,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=32,
        num_hidden_layers=3,
    )
    AlbertModel(config).save_pretrained(tmp_path / "albert")
    protbert_tokenizer().save_pretrained(tmp_path / "albert")
    assert main([*command, "--model", str(tmp_path / "albert")]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.endswith("albert: the layers of a model of type albert share their weights: none can be left out")


def test_ctrl_c_leaves_nothing_behind(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "scratch").mkdir()
    calls = []

    def interrupted(*_):
        calls.append(list((tmp_path / "scratch").glob("layers-*/means")))
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "linear_scores", interrupted)
    assert main(command) == 130
    assert len(calls) == 1 and len(calls[0]) == 1  # the means were there
    assert not list((tmp_path / "scratch").glob("layers-*")) and not (tmp_path / "out").exists()
    assert complaints(capsys.readouterr().err) == ["protbert-classify layers: interrupted"]


@pytest.mark.parametrize("below", ["", "/deeper/still"])
def test_a_file_in_the_place_of_the_folder_is_refused_before_the_work(command, tmp_path, capsys, monkeypatch, below):
    monkeypatch.setattr(probe, "linear_scores", None)
    (tmp_path / "out").write_text("mine")
    command[-1] += below
    assert main(command) == 2
    assert "out is a file; expected a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"
