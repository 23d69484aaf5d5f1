import csv
import os

import pytest

from protbert_classify.commands import main
from tests.training.runs import LABELS, complaints, easy_records, fasta


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a tiny saved classifier, as `output_dir/model`."""
    import torch

    from protbert_classify import ProteinClassifier, ProteinClassifierConfig
    from protbert_classify.data.tokenizer import protbert_tokenizer
    from protbert_classify.training.outputs import save_model
    from tests.training.runs import SHAPE

    torch.manual_seed(0)
    config = ProteinClassifierConfig(
        {**SHAPE, "vocab_size": 30, "pad_token_id": 0},
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        max_sequence_length=64,
    )
    classifier = ProteinClassifier(config).eval()
    folder = tmp_path_factory.mktemp("run")
    save_model(str(folder), classifier, protbert_tokenizer(), classifier.state_dict())
    return str(folder)


@pytest.fixture
def arguments(tmp_path, model):
    proteins = tmp_path / "proteins.fasta"
    proteins.write_text(fasta(easy_records(7)))
    return ["--model", model, "--input", str(proteins), "--output", str(tmp_path / "calls.csv")]


def test_every_protein_gets_its_line_in_the_order_of_the_file(arguments, tmp_path, capsys):
    assert main(["predict", *arguments]) == 0
    assert capsys.readouterr().out == f"7 proteins classified; calls in {tmp_path}/calls.csv\n"
    with open(tmp_path / "calls.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "description", "length", "location", "score", *LABELS, "truncated"]
    for row, (header, sequence) in zip(rows, easy_records(7), strict=True):
        assert (row["id"], row["description"]) == tuple(header.split(" ", 1))
        assert row["length"] == str(len(sequence))
        assert row["truncated"] == ("yes" if len(sequence) > 62 else "no")


def test_the_size_of_batches_changes_no_call(arguments, tmp_path):
    assert main(["predict", *arguments]) == 0
    first = (tmp_path / "calls.csv").read_text()
    assert main(["predict", *arguments, "--tokens_per_batch", "1", "--device", "cpu"]) == 0
    second = (tmp_path / "calls.csv").read_text()
    for one, other in zip(csv.reader(first.splitlines()), csv.reader(second.splitlines()), strict=True):
        assert one[:4] == other[:4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no records"),
        ("no fasta", "no FASTA file: it begins with 'no fasta'"),
        (">P1 a\nMKT\n>P2\n", "record 2 (P2): no residues"),
        (">P1 a\nMKT\n>P2\nMK7\n", "record 2 (P2): '7' at position 3 is no residue"),
    ],
)
def test_a_bad_record_is_one_line_and_leaves_no_output(arguments, tmp_path, capsys, text, words):
    (tmp_path / "proteins.fasta").write_text(text)
    assert main(["predict", *arguments]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify predict: proteins.fasta") and words in line
    assert os.listdir(tmp_path) == ["proteins.fasta"]


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--input", "nowhere.fasta", "nowhere.fasta: no such file"),
        ("--output", "calls.txt", "expected a name that ends in .csv"),
        ("--tokens_per_batch", "many", "--tokens_per_batch: found 'many', expected 1 or more"),
        ("--tokens_per_batch", "0", "--tokens_per_batch: found '0', expected 1 or more"),
        ("--device", "cuda", "device 'cuda' cannot be used here"),
        ("--device", "abacus", "device 'abacus' cannot be used here"),
        ("--colour", "red", "unrecognized arguments: --colour red"),
    ],
)
def test_a_bad_option_is_one_line(arguments, capsys, option, value, words):
    assert main(["predict", *arguments, option, value]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert words in line


def test_a_folder_without_a_model_is_one_line(arguments, tmp_path, capsys):
    assert main(["predict", *arguments, "--model", str(tmp_path)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "no model there (no config.json)" in line


def test_what_is_needed_is_named(capsys):
    assert main(["predict"]) == 2
    assert "required: --model, --input, --output; --help tells more" in capsys.readouterr().err
