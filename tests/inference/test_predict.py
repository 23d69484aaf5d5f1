import csv
import gzip
import os
from pathlib import Path

import pytest

from protbert_classify import ProteinClassificationPipeline
from protbert_classify.errors import DataError, ModelError, OptionError, SequenceError
from protbert_classify.inference import predict
from protbert_classify.inference.predict import predict_file

from .conftest import LABELS, LONG

RECORDS = [
    ("P1 Serum albumin, human", "MKTAYIAKQR"),
    ("P2", LONG),
    ("P3 the same again", "MKTAYIAKQR"),
    ("P1", "mktayiakqr*"),  # predicting needs no unique accession
    ("P5", "U"),
    ("P6 as long as it can be", LONG[:20]),
    ("P7", LONG[:21]),
]


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return str(tmp_path / "out" / "calls.csv")


@pytest.mark.parametrize("tokens_per_batch", [1, 60, 4096])
def test_scores_are_the_pipelines_in_the_files_order(
    run_folder, write_fasta, output, classifier, tokenizer, tokens_per_batch
):
    assert predict_file(str(run_folder), write_fasta(RECORDS), output, tokens_per_batch=tokens_per_batch) == len(
        RECORDS
    )
    pipe = ProteinClassificationPipeline(model=classifier, tokenizer=tokenizer)
    rows = read(output)
    assert [(row["id"], row["description"]) for row in rows] == [
        (header.partition(" ")[0], header.partition(" ")[2]) for header, _ in RECORDS
    ]
    for row, (_, sequence) in zip(rows, RECORDS, strict=True):
        calls = pipe(sequence, top_k=None)
        assert row["location"] == calls[0]["label"]
        assert float(row["score"]) == pytest.approx(calls[0]["score"], abs=1e-5)
        assert {label: float(row[label]) for label in LABELS} == pytest.approx(
            {call["label"]: call["score"] for call in calls}, abs=1e-5
        )


def test_columns_lengths_and_what_was_cropped(run_folder, write_fasta, output):
    predict_file(str(run_folder), write_fasta(RECORDS), output)
    rows = read(output)
    assert list(rows[0]) == ["id", "description", "length", "location", "score", *LABELS, "truncated"]
    assert [int(row["length"]) for row in rows] == [10, 33, 10, 10, 1, 20, 21]
    assert [row["truncated"] for row in rows] == ["no", "yes", "no", "no", "no", "no", "yes"]
    assert len({rows[index]["score"] for index in (0, 2, 3)}) == 1  # one protein, one score


def test_more_proteins_than_are_held_at_once_stay_in_order(run_folder, write_fasta, output, tmp_path, monkeypatch):
    source = write_fasta(RECORDS)
    predict_file(str(run_folder), source, output)
    monkeypatch.setattr(predict, "CHUNK", 2)
    chunked = str(tmp_path / "chunked.csv")
    assert predict_file(str(run_folder), source, chunked) == 7
    for row, whole in zip(read(chunked), read(output), strict=True):
        assert row["id"] == whole["id"] and row["location"] == whole["location"]
        assert float(row["score"]) == pytest.approx(float(whole["score"]), abs=1e-5)


def test_a_compressed_file_gives_the_same(run_folder, write_fasta, output, tmp_path):
    source = write_fasta(RECORDS)
    with open(source, "rb") as file, gzip.open(tmp_path / "proteins.fasta.gz", "wb") as compressed:
        compressed.write(file.read())
    predict_file(str(run_folder), source, output)
    predict_file(str(run_folder), str(tmp_path / "proteins.fasta.gz"), str(tmp_path / "from_gz.csv"))
    assert read(tmp_path / "from_gz.csv") == read(output)


def test_a_description_with_commas_and_quotes_survives(run_folder, write_fasta, output):
    predict_file(str(run_folder), write_fasta([('P1 a "b", c', "MKT")]), output)
    assert read(output)[0]["description"] == 'a "b", c'


def test_a_bad_record_at_the_end_is_found_before_anything_is_written(run_folder, write_fasta, output):
    with pytest.raises(SequenceError, match="proteins.fasta, record 8 .P8.: '1' at position 3 is no residue"):
        predict_file(str(run_folder), write_fasta([*RECORDS, ("P8", "MK1T")]), output)
    assert os.listdir(os.path.dirname(output)) == []


@pytest.mark.parametrize("failure", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_leaves_neither_a_part_nor_a_changed_output(
    run_folder, write_fasta, output, monkeypatch, failure
):
    calls = []

    def fail_second_time(*args):
        calls.append(args)
        if len(calls) == 2:
            raise failure
        return true_logits(*args)

    true_logits = predict.predict_logits
    monkeypatch.setattr(predict, "CHUNK", 2)
    monkeypatch.setattr(predict, "predict_logits", fail_second_time)
    source = write_fasta(RECORDS)
    with pytest.raises(type(failure)):
        predict_file(str(run_folder), source, output)
    assert os.listdir(os.path.dirname(output)) == []
    Path(output).write_text("of a former run")
    calls.clear()
    with pytest.raises(type(failure)):
        predict_file(str(run_folder), source, output)
    assert os.listdir(os.path.dirname(output)) == ["calls.csv"]
    assert Path(output).read_text() == "of a former run"


def test_an_output_of_another_kind_is_refused(run_folder, write_fasta, tmp_path):
    with pytest.raises(OptionError, match="calls.xlsx: expected a name that ends in .csv"):
        predict_file(str(run_folder), write_fasta(RECORDS), str(tmp_path / "calls.xlsx"))


def test_an_output_folder_that_is_not_there_is_made(run_folder, write_fasta, tmp_path):
    output = tmp_path / "new" / "folder" / "calls.csv"
    assert predict_file(str(run_folder), write_fasta(RECORDS), str(output)) == len(RECORDS)
    assert len(output.read_text().splitlines()) == 1 + len(RECORDS)


def test_an_input_that_is_not_there_is_refused(run_folder, tmp_path, output):
    with pytest.raises(OptionError, match="none.fasta: no such file"):
        predict_file(str(run_folder), str(tmp_path / "none.fasta"), output)


def test_an_input_that_is_no_fasta_is_refused(run_folder, tmp_path, output):
    (tmp_path / "table.csv").write_text("id,sequence\nP1,MKT\n")
    with pytest.raises(DataError, match="table.csv: no FASTA file"):
        predict_file(str(run_folder), str(tmp_path / "table.csv"), output)
    assert not os.path.exists(output)


def test_a_model_that_is_not_there_or_damaged_is_refused(write_fasta, tmp_path, own_folder, output):
    source = write_fasta(RECORDS)
    with pytest.raises(ModelError, match="no model there"):
        predict_file(str(tmp_path), source, output)
    path = own_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelError, match="its weights are damaged"):
        predict_file(str(own_folder), source, output)
    assert not os.path.exists(output)
