import csv
import gzip
import os
from pathlib import Path

import pytest
import torch

from protbert_classify import ProteinClassificationPipeline
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import DataError, ModelError, OptionError, ProteinClassifierError, SequenceError
from protbert_classify.inference import parts_settings, predict
from protbert_classify.inference.predict import predict_file

from .conftest import LABELS, LONG, build_classifier

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
    return str(tmp_path / "out" / "predictions.csv")


@pytest.mark.parametrize("tokens_per_batch", [1, 60, 4096])
def test_scores_are_the_pipelines_in_the_files_order(
    run_folder, write_fasta, output, classifier, tokenizer, tokens_per_batch
):
    assert predict_file(str(run_folder), write_fasta(RECORDS), output, tokens_per_batch=tokens_per_batch)[:2] == (7, 0)
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


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_parts_of_any_size_make_one_table_in_order(run_folder, write_fasta, output, tmp_path, monkeypatch, size):
    source = write_fasta(RECORDS)
    predict_file(str(run_folder), source, output)
    monkeypatch.setattr(predict, "part_size", lambda classifier: size)
    parted = str(tmp_path / "parted.csv")
    assert predict_file(str(run_folder), source, parted).classified == 7
    for row, whole in zip(read(parted), read(output), strict=True):
        assert row["id"] == whole["id"] and row["location"] == whole["location"]
        assert float(row["score"]) == pytest.approx(float(whole["score"]), abs=1e-5)


def test_a_large_model_has_small_parts_on_a_cpu(classifier, monkeypatch):
    assert parts_settings.part_size(classifier) == 1024
    parameters = sum(p.numel() for p in classifier.parameters())
    monkeypatch.setattr(parts_settings, "PART_PARAMETERS", parameters / 2)
    assert parts_settings.part_size(classifier) == 512
    monkeypatch.setattr(parts_settings, "PART_PARAMETERS", 1)
    assert parts_settings.part_size(classifier) == 128


def test_numbers_have_no_minimum_score(write_fasta, output, tmp_path, tokenizer):
    build_classifier(problem_type="regression").save_pretrained(tmp_path / "numbers")
    tokenizer.save_pretrained(tmp_path / "numbers")
    with pytest.raises(OptionError, match="min_score=0.5: .* predicts numbers, which have no scores; leave it out"):
        predict_file(str(tmp_path / "numbers"), write_fasta(RECORDS), output, min_score=0.5)
    assert not os.path.exists(output)


def test_a_column_that_is_not_named_as_its_task_is_counted(write_fasta, output, tmp_path, tokenizer):
    # the table has a column `length` already, so the answers stand in `length (predicted)`
    build_classifier(task_name="length").save_pretrained(tmp_path / "renamed")
    tokenizer.save_pretrained(tmp_path / "renamed")
    done = predict_file(str(tmp_path / "renamed"), write_fasta(RECORDS), output, min_score=1.0)
    assert [row["length (predicted)"] for row in read(output)] == ["-"] * 7 and done.unanswered == 7


def test_a_minimum_score_leaves_numbers_alone_and_is_for_the_classes_beside_them(
    write_fasta, output, tmp_path, tokenizer
):
    beside = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}
    build_classifier(problem_type="regression", auxiliary_tasks=[beside]).save_pretrained(tmp_path / "numbers")
    tokenizer.save_pretrained(tmp_path / "numbers")
    done = predict_file(str(tmp_path / "numbers"), write_fasta(RECORDS), output, min_score=1.0)
    rows = read(output)
    assert [row["membrane"] for row in rows] == ["-"] * 7 and done.unanswered is None
    assert len({row["Nucleus"] for row in rows}) > 1


def test_identical_proteins_are_computed_once(run_folder, write_fasta, output, monkeypatch):
    counts = []
    true_logits = predict.predict_logits

    def counted(model, some, *rest):
        counts.append(len(some))
        return true_logits(model, some, *rest)

    monkeypatch.setattr(predict, "predict_logits", counted)
    predict_file(str(run_folder), write_fasta(RECORDS), output)
    assert counts == [5]  # three of the seven are one protein
    assert len({row["score"] for row in read(output) if row["length"] == "10"}) == 1


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


BAD = [("P8 what is this", "MK1T"), ("P9", ""), ("", "MKT")]


def test_what_cannot_be_classified_is_set_aside_with_the_reason(run_folder, write_fasta, output):
    done = predict_file(str(run_folder), write_fasta([BAD[0], *RECORDS, *BAD[1:]]), output)
    assert (done.classified, done.rejected, done.rejected_file) == (7, 3, output + ".rejected.csv")
    assert [row["id"] for row in read(output)] == [header.partition(" ")[0] for header, _ in RECORDS]
    assert [tuple(row.values()) for row in read(done.rejected_file)] == [
        ("1", "P8", "what is this", "'1' at position 3 is not a residue; expected letters A-Z"),
        ("9", "P9", "", "no residues"),
        ("10", "", "", "the header is empty; expected '>ACCESSION ...'"),
    ]


def test_if_all_are_rejected_the_table_is_empty_and_whole(run_folder, write_fasta, output):
    assert predict_file(str(run_folder), write_fasta(BAD), output)[:2] == (0, 3)
    assert read(output) == [] and os.path.exists(output)


def test_the_rejected_of_a_former_input_do_not_stay(run_folder, write_fasta, output):
    predict_file(str(run_folder), write_fasta(BAD), output)
    predict_file(str(run_folder), write_fasta(RECORDS), output)
    assert os.listdir(os.path.dirname(output)) == ["predictions.csv"]


def test_strict_stops_at_a_bad_record_before_anything_is_written(run_folder, write_fasta, output):
    with pytest.raises(SequenceError, match="proteins.fasta, record 8 .P8.: '1' at position 3 is not a residue"):
        predict_file(str(run_folder), write_fasta([*RECORDS, *BAD]), output, strict=True)
    assert os.listdir(os.path.dirname(output)) == []


class Cut(Exception):
    pass


@pytest.fixture
def cut(monkeypatch):
    """Let a prediction fail in its n-th part, of two proteins each."""
    true_logits = predict.predict_logits
    monkeypatch.setattr(predict, "part_size", lambda classifier: 2)

    def cut(number, failure):
        calls = []

        def fail(*args):
            calls.append(args)
            if len(calls) == number:
                raise failure
            return true_logits(*args)

        monkeypatch.setattr(predict, "predict_logits", fail)
        return calls

    return cut


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("failure", [Cut(), KeyboardInterrupt()], ids=["failure", "Ctrl-C"])
def test_what_was_done_before_a_failure_is_gone_on_with(run_folder, write_fasta, output, cut, failure, ending):
    output = output.removesuffix(".csv") + ending
    source = write_fasta([*RECORDS, BAD[0]])
    cut(0, None)
    predict_file(str(run_folder), source, output)
    undisturbed = Path(output).read_bytes()
    Path(output).write_text("of a former run")
    cut(3, failure)
    with pytest.raises(type(failure)) as raised:
        predict_file(str(run_folder), source, output)
    if isinstance(failure, KeyboardInterrupt):
        assert str(raised.value) == "run it again with resume to continue after part 2"
    assert Path(output).read_text() == "of a former run"
    with pytest.raises(OptionError, match="set resume to continue, or overwrite to start again"):
        predict_file(str(run_folder), source, output)
    again = cut(0, None)
    done = predict_file(str(run_folder), source, output, resume=True)
    assert (done.classified, done.rejected) == (7, 1)
    assert len(again) == 2  # of four parts two were there
    assert Path(output).read_bytes() == undisturbed
    assert sorted(os.listdir(os.path.dirname(output))) == [f"predictions{ending}", f"predictions{ending}.rejected.csv"]


def test_a_failure_before_the_first_part_leaves_nothing(run_folder, write_fasta, output, cut):
    cut(1, Cut())
    with pytest.raises(Cut):
        predict_file(str(run_folder), write_fasta(RECORDS), output)
    assert os.listdir(os.path.dirname(output)) == []


def test_going_on_with_another_input_or_model_is_refused(run_folder, write_fasta, output, cut, tmp_path):
    cut(3, Cut())
    with pytest.raises(Cut):
        predict_file(str(run_folder), write_fasta(RECORDS), output)
    cut(0, None)
    with pytest.raises(OptionError, match=r"the input is not the one .*part 1 differs"):
        predict_file(str(run_folder), write_fasta(RECORDS[1:]), output, resume=True)
    other = build_classifier()
    torch.nn.init.normal_(other.head[1].weight)
    other.save_pretrained(tmp_path / "other")
    protbert_tokenizer().save_pretrained(tmp_path / "other")
    with pytest.raises(OptionError, match=f"resume: the model was {run_folder}/model and is now {tmp_path}/other, "):
        predict_file(str(tmp_path / "other"), write_fasta(RECORDS), output, resume=True)
    with pytest.raises(
        OptionError, match="resume: precision was float32 and is now bfloat16, since .*predictions.csv was"
    ):
        predict_file(str(run_folder), write_fasta(RECORDS), output, resume=True, precision="bfloat16")
    assert len(os.listdir(output + ".parts")) == 4  # two parts, settings, rejected
    assert predict_file(str(run_folder), write_fasta(RECORDS), output, resume=True).classified == 7


def test_resuming_what_is_whole_says_so_and_resuming_nothing_begins(run_folder, write_fasta, output):
    source = write_fasta([*RECORDS, BAD[0]])
    assert predict_file(str(run_folder), source, output, resume=True)[:2] == (7, 1)
    before = os.stat(output).st_mtime_ns
    assert predict_file(str(run_folder), source, output, resume=True)[:2] == (None, 1)
    assert os.stat(output).st_mtime_ns == before


def test_the_output_is_not_written_over_the_input(run_folder, tmp_path):
    (tmp_path / "p.csv").write_text("id,sequence\nP1,MKT\n")
    with pytest.raises(OptionError, match="p.csv is the input"):
        predict_file(str(run_folder), str(tmp_path / "p.csv"), str(tmp_path / "p.csv"))


def test_an_output_of_another_kind_is_refused(run_folder, write_fasta, tmp_path):
    with pytest.raises(OptionError, match="predictions.xlsx: expected a name that ends in .csv"):
        predict_file(str(run_folder), write_fasta(RECORDS), str(tmp_path / "predictions.xlsx"))


@pytest.mark.parametrize("where", ["a file/predictions.csv", "a file/new/predictions.csv"])
def test_an_output_that_cannot_be_written_is_refused_before_the_model_is_loaded(write_fasta, tmp_path, where):
    (tmp_path / "a file").touch()
    with pytest.raises(ProteinClassifierError, match="a file is not a folder that can be written to") as raised:
        predict_file("no model", write_fasta(RECORDS), str(tmp_path / where))
    assert raised.value.exit_code == 1


def test_an_output_folder_that_is_not_there_is_made(run_folder, write_fasta, tmp_path):
    output = tmp_path / "new" / "folder" / "predictions.csv"
    assert predict_file(str(run_folder), write_fasta(RECORDS), str(output)).classified == len(RECORDS)
    assert len(output.read_text().splitlines()) == 1 + len(RECORDS)


def test_an_input_that_is_not_there_is_refused(run_folder, tmp_path, output):
    with pytest.raises(DataError, match="none.fasta: no such file"):
        predict_file(str(run_folder), str(tmp_path / "none.fasta"), output)


def test_an_input_that_is_no_fasta_is_refused(run_folder, tmp_path, output):
    (tmp_path / "table.txt").write_text("id,sequence\nP1,MKT\n")
    with pytest.raises(DataError, match="table.txt: no FASTA file"):
        predict_file(str(run_folder), str(tmp_path / "table.txt"), output)
    assert os.listdir(os.path.dirname(output)) == []


def test_a_model_that_is_not_there_or_damaged_is_refused(write_fasta, tmp_path, own_folder, output):
    source = write_fasta(RECORDS)
    with pytest.raises(ModelError, match="no model there"):
        predict_file(str(tmp_path), source, output)
    path = own_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelError, match="its weights are damaged"):
        predict_file(str(own_folder), source, output)
    assert not os.path.exists(output)
