import csv
import os

import pyarrow.parquet as pq
import pytest

from protbert_classify.commands import main
from tests.training.runs import LABELS, call, complaints, easy_records, fasta


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a tiny saved classifier, as `output_dir/model`."""
    import torch

    from protbert_classify import ProteinClassifier, ProteinClassifierConfig
    from protbert_classify.data.tokenizer import protbert_tokenizer
    from protbert_classify.runs.writer import save_model
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
    return ["--model", model, "--input", str(proteins), "--output", str(tmp_path / "predictions.csv")]


def test_every_protein_gets_its_line_in_the_order_of_the_file(arguments, tmp_path, capsys):
    assert main(["predict", *arguments]) == 0
    assert capsys.readouterr().out == f"7 proteins classified; predictions in {tmp_path}/predictions.csv\n"
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "description", "length", "location", "score", *LABELS, "truncated"]
    for row, (header, sequence) in zip(rows, easy_records(7), strict=True):
        assert (row["id"], row["description"]) == tuple(header.split(" ", 1))
        assert row["length"] == str(len(sequence))
        assert row["truncated"] == ("yes" if len(sequence) > 62 else "no")


def test_an_unsure_prediction_is_a_dash_and_its_scores_stay(arguments, tmp_path):
    assert main(["predict", *arguments]) == 0
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    middle = sorted(float(row["score"]) for row in rows)[3]
    sure = ["predict", *arguments, "--min_score", str(middle - 1e-5)]
    assert main(sure) == 0
    with open(tmp_path / "predictions.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["location"] == "-" for row in found] == [float(row["score"]) < middle for row in rows]
    assert sum(row["location"] == "-" for row in found) == 3
    for row, before in zip(found, rows, strict=True):
        assert {**row, "location": ""} == {**before, "location": ""}
        assert row["location"] in ("-", before["location"])


@pytest.mark.parametrize("score", ["1.5", "-0.1", "nan", "high"])
def test_a_minimum_score_is_a_probability(arguments, capsys, score):
    assert main(["predict", *arguments, f"--min_score={score}"]) == 2
    assert f"argument --min_score: found '{score}', expected 0 to 1" in capsys.readouterr().err


def test_the_size_of_batches_changes_no_call(arguments, tmp_path):
    assert main(["predict", *arguments]) == 0
    first = (tmp_path / "predictions.csv").read_text()
    assert main(["predict", *arguments, "--tokens_per_batch", "1", "--device", "cpu"]) == 0
    second = (tmp_path / "predictions.csv").read_text()
    for one, other in zip(csv.reader(first.splitlines()), csv.reader(second.splitlines()), strict=True):
        assert one[:4] == other[:4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no records"),
        ("no fasta", "no FASTA file: it begins with 'no fasta'"),
    ],
)
def test_an_unreadable_input_is_one_line_and_leaves_no_output(arguments, tmp_path, capsys, text, words):
    (tmp_path / "proteins.fasta").write_text(text)
    assert main(["predict", *arguments]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify predict: proteins.fasta") and words in line
    assert os.listdir(tmp_path) == ["proteins.fasta"]


BAD = ">P1 a\nMKT\n>P2\n\n>P3 b c\nMK7\n"


def test_the_rest_is_predicted_and_the_exit_code_tells_of_rejected_records(arguments, tmp_path, capsys):
    (tmp_path / "proteins.fasta").write_text(BAD)
    assert main(["predict", *arguments]) == 3
    assert capsys.readouterr().out == (
        f"1 protein classified; predictions in {tmp_path}/predictions.csv\n"
        f"2 records rejected; they and the reasons in {tmp_path}/predictions.csv.rejected.csv\n"
    )
    assert (tmp_path / "predictions.csv.rejected.csv").read_text() == (
        "record,id,description,reason\n2,P2,,no residues\n"
        "3,P3,b c,'7' at position 3 is not a residue; expected letters A-Z\n"
    )
    assert main(["predict", *arguments, "--resume"]) == 3  # whole, and still with rejected records


def test_strict_stops_at_the_first_in_one_line(arguments, tmp_path, capsys):
    (tmp_path / "proteins.fasta").write_text(BAD)
    assert main(["predict", *arguments, "--strict"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line == "protbert-classify predict: proteins.fasta, record 2 (P2): no residues"
    assert os.listdir(tmp_path) == ["proteins.fasta"]


def test_a_table_in_and_parquet_out(arguments, tmp_path):
    (tmp_path / "t.tsv").write_text("acc\tseq\nA\tmkt\nB\tM K T\n")
    columns = ["--id_column", "acc", "--sequence_column", "seq"]
    output = str(tmp_path / "predictions.parquet")
    assert main(["predict", *arguments, "--input", str(tmp_path / "t.tsv"), "--output", output, *columns]) == 0
    found = pq.read_table(output).to_pylist()
    assert [row["id"] for row in found] == ["A", "B"]
    assert found[0] | {"id": ""} == found[1] | {"id": ""}  # one protein


def test_standard_input_can_be_classified(arguments, tmp_path):
    with open(tmp_path / "proteins.fasta", "rb") as proteins:
        done = call("predict", *arguments, "--input", "-", stdin=proteins)
    assert done.returncode == 0, done.stderr
    from_input = (tmp_path / "predictions.csv").read_text()
    assert main(["predict", *arguments]) == 0
    assert (tmp_path / "predictions.csv").read_text() == from_input


def test_command_and_pipeline_give_the_same_scores_spaced_or_raw_alone_or_in_a_batch(arguments, tmp_path, model):
    import transformers

    import protbert_classify.inference.pipeline  # noqa: F401  registers the task

    pipe = transformers.pipeline("protein-classification", model=f"{model}/model", device="cpu", top_k=None)
    assert main(["predict", *arguments, "--device", "cpu"]) == 0
    sequences = [sequence for _, sequence in easy_records(7)]
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    together = pipe(sequences, batch_size=7)
    for row, sequence, batched in zip(rows, sequences, together, strict=True):
        for answer in (pipe(sequence), pipe(" ".join(sequence)), batched):
            for call_of_class in answer:
                assert abs(float(row[call_of_class["label"]]) - call_of_class["score"]) < 1e-5


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--input", "nowhere.fasta", "nowhere.fasta: no such file"),
        ("--output", "predictions.txt", "expected a name that ends in .csv, .tsv, .jsonl, .parquet"),
        ("--tokens_per_batch", "many", "--tokens_per_batch: found 'many', expected 1 or more"),
        ("--tokens_per_batch", "0", "--tokens_per_batch: found '0', expected 1 or more"),
        ("--device", "cuda", "device 'cuda' cannot be used here"),
        ("--device", "abacus", "device 'abacus' cannot be used here"),
        ("--colour", "red", "unknown option --colour"),
        ("--min_scores", "0.4", "unknown option --min_scores; did you mean --min_score?"),
    ],
)
def test_a_bad_option_is_one_line(arguments, capsys, option, value, words):
    assert main(["predict", *arguments, option, value]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert words in line


def test_a_misspelt_required_option_is_named_before_the_missing_one(capsys):
    assert main(["predict", "--model", "m", "--imput", "i.fasta", "--output", "o.csv"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "unknown option --imput; did you mean --input?" in line


def test_a_folder_without_a_model_is_one_line(arguments, tmp_path, capsys):
    assert main(["predict", *arguments, "--model", str(tmp_path)]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "no model there (no config.json)" in line


def test_what_is_needed_is_named(capsys):
    assert main(["predict"]) == 2
    assert "required: --model, --input, --output; --help tells more" in capsys.readouterr().err


def test_the_progress_bar_counts_rejected_records_and_ends_at_the_last_one(model, tmp_path, capsys):
    source = tmp_path / "some.fasta"
    source.write_text(">P1\nMKTAYI\n>P2\nMK1\n>P3\nMKTAYIAK\n>P4\nM-K\n")
    assert main(["predict", "--model", model, "--input", str(source), "--output", str(tmp_path / "p.csv")]) == 3
    bar = capsys.readouterr().err.split("\r")[-1]
    assert "100%" in bar and "4/4" in bar
