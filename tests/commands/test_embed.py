import os

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from protbert_classify.commands import main
from tests.docs.conftest import save_esm
from tests.training.runs import complaints, easy_records, fasta

from .test_predict import model  # noqa: F401  fixture


@pytest.fixture
def arguments(tmp_path, model):  # noqa: F811
    proteins = tmp_path / "proteins.fasta"
    proteins.write_text(fasta(easy_records(7)))
    return ["embed", "--model", model, "--input", str(proteins), "--output", str(tmp_path / "e.parquet")]


def test_every_protein_gets_its_vector_in_the_order_of_the_file(arguments, tmp_path, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"7 proteins embedded; embeddings in {tmp_path}/e.parquet\n"
    table = pq.read_table(tmp_path / "e.parquet")
    assert table["id"].to_pylist() == [header.split()[0] for header, _ in easy_records(7)]
    assert {len(vector) for vector in table["embedding"].to_pylist()} == {16}
    assert main([*arguments, "--resume"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{tmp_path}/e.parquet was already complete, so nothing was done")
    assert told.endswith("; --overwrite embeds again\n")


def test_options_reach_the_embeddings_of_a_bare_encoder(arguments, tmp_path):
    save_esm(tmp_path / "esm")
    (tmp_path / "t.tsv").write_text("acc\tseq\nA\tmkt\nB\tM K T A\n")
    more = ["--id_column", "acc", "--sequence_column", "seq", "--dtype", "float16", "--device", "cpu"]
    source = ["--model", str(tmp_path / "esm"), "--input", str(tmp_path / "t.tsv")]
    assert main([*arguments, *source, *more, "--per", "residue", "--max_length", "5", "--tokens_per_batch", "1"]) == 0
    (a, b) = pq.read_table(tmp_path / "e.parquet").to_pylist()
    assert (a["id"], len(a["embedding"]), a["truncated"]) == ("A", 3, False)
    assert (b["id"], len(b["embedding"]), b["truncated"], b["length"]) == ("B", 3, True, 4)
    found = {}
    for option, value in (("--pooling", "mean"), ("--pooling", "cls"), ("--layer", "1")):
        output = str(tmp_path / f"{value}.safetensors")
        assert main([*arguments, *source, *more, "--output", output, option, value]) == 0
        found[value] = load_file(output)["embeddings"]
        assert found[value].shape == (2, 32) and found[value].dtype == "float16"
    assert (found["mean"] != found["cls"]).any() and (found["mean"] != found["1"]).any()


def test_the_rest_is_embedded_and_the_exit_code_tells_of_rejected_records(arguments, tmp_path, capsys):
    (tmp_path / "proteins.fasta").write_text(">P1 a\nMKT\n>P2\n\n>P3 b c\nMK7\n")
    assert main(arguments) == 3
    assert capsys.readouterr().out == (
        f"1 protein embedded; embeddings in {tmp_path}/e.parquet\n"
        f"2 records rejected; they and the reasons in {tmp_path}/e.parquet.rejected.csv\n"
    )
    assert main([*arguments, "--strict"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line == "protbert-classify embed: proteins.fasta, record 2 (P2): no residues"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--input", "nowhere.fasta"], "nowhere.fasta: no such file"),
        (["--output", "e.csv"], "expected a name that ends in .parquet or .safetensors"),
        (["--model", "runs/none/at/all"], "runs/none/at/all: no such folder"),
        (["--pooling", "max"], "pooling='max': expected one of mean, cls, pooler, light_attention"),
        (["--pooling", "light_attention"], "its weights come from training"),
        (["--per", "residue", "--pooling", "cls"], "vectors of residues are not pooled"),
        (["--per", "domain"], "argument --per: invalid choice: 'domain'"),
        (["--dtype", "int8"], "argument --dtype: invalid choice: 'int8'"),
        (["--max_length", "1000"], "max_length=1000: the backbone has 128 positions; expected no more"),
        (["--layer", "3"], "layer=3: the backbone has 1 layer; expected 1"),
        (["--max_length", "0"], "--max_length: found '0', expected 1 or more"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
        (["--resume", "--overwrite"], "resume and overwrite exclude each other"),
    ],
)
def test_a_bad_option_is_one_line_and_leaves_no_output(arguments, tmp_path, capsys, options, words):
    assert main([*arguments, *options]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith("protbert-classify embed: ") and words in line
    assert os.listdir(tmp_path) == ["proteins.fasta"]
