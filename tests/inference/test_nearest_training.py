"""Which proteins are unlike those that a model was trained on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from protbert_classify.commands import main
from protbert_classify.errors import OptionError
from protbert_classify.inference import predict
from protbert_classify.inference.nearest_training import read_labelled_training_proteins, read_training_proteins
from protbert_classify.inference.predict import predict_file
from tests.training.runs import complaints

from .conftest import LABELS, build_classifier
from .test_predict import read

RESIDUES = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
DRAWN = np.random.default_rng(0).choice(RESIDUES, (3, 120))
# every fifth residue is another one: 80% identity
MUTATED = DRAWN[1].copy()
MUTATED[::5] = np.where(MUTATED[::5] == "W", "A", "W")
ONE, TWO, OTHER = ("".join(row) for row in DRAWN)
RECORDS = [("Q1", ONE), ("Q2 mutated", "".join(MUTATED)), ("Q3", OTHER), ("Q4", "MKT")]
TRAINING = [("T1", TWO), ("T2", ONE), ("T3", "MK1T"), ("T4", "MKT")]
EXPECTED = [("T2", 1.0), ("T1", 0.8), ("", None), ("T4", 1.0)]
COLUMNS = ["id", "description", "length", "location", "score", "nearest", "identity", *LABELS, "truncated"]


@pytest.fixture
def files(write_fasta, tmp_path):
    """The proteins to predict, and those of training."""
    training = tmp_path / "training.fasta"
    training.write_text("".join(f">{name}\n{residues}\n" for name, residues in TRAINING))
    return write_fasta(RECORDS), str(training)


def test_the_nearest_training_protein_and_its_identity_are_found(files):
    known = read_training_proteins(files[1])
    assert known.ids == ["T1", "T2", "T4"]  # T3 is no protein
    found = known.nearest([residues for _, residues in RECORDS])
    assert found.ids == [name for name, _ in EXPECTED]
    assert np.isnan(found.identity[2])
    assert found.identity[[0, 1, 3]].tolist() == pytest.approx([1, 0.8, 1], abs=0.03)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_table_has_them_and_counts_what_is_unlike(run_folder, files, tmp_path, ending):
    output = str(tmp_path / f"predictions{ending}")
    done = predict_file(str(run_folder), files[0], output, training_proteins=files[1])
    assert done[:2] == (4, 0) and done.unlike == 1 and done.unanswered is None
    if ending == ".parquet":
        rows = pq.read_table(output).to_pylist()
    elif ending == ".jsonl":
        rows = [json.loads(line) for line in Path(output).read_text().splitlines()]
    else:
        text = Path(output).read_text().replace("\t", ",")
        rows = [dict(zip(COLUMNS, line.split(","))) for line in text.splitlines()[1:]]
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert [row["nearest"] for row in rows] == [name for name, _ in EXPECTED]
    assert rows[2]["identity"] == ("" if ending in (".csv", ".tsv") else None)
    assert float(rows[1]["identity"]) == pytest.approx(0.8, abs=0.03) and float(rows[0]["identity"]) == 1


def test_below_the_least_identity_there_is_no_answer_and_the_scores_stay(run_folder, files, output_of):
    plain, strict = output_of(files[0]), output_of(files[0], training_proteins=files[1], min_identity=0.9)
    assert [row["location"] for row in strict] == [plain[0]["location"], "-", "-", plain[3]["location"]]
    assert [row["score"] for row in strict] == [row["score"] for row in plain]


@pytest.fixture
def output_of(run_folder, tmp_path):
    def rows(source, **options):
        output = str(tmp_path / f"{len(options)}.csv")
        predict_file(str(run_folder), source, output, **options)
        return read(output)

    return rows


def test_parts_change_nothing(run_folder, files, output_of, tmp_path, monkeypatch):
    whole = output_of(files[0], training_proteins=files[1])
    monkeypatch.setattr(predict, "part_size", lambda classifier: 1)
    output = str(tmp_path / "parted.csv")
    predict_file(str(run_folder), files[0], output, training_proteins=files[1])
    assert [(row["nearest"], row["identity"]) for row in read(output)] == [
        (row["nearest"], row["identity"]) for row in whole
    ]


def test_the_command_says_how_many_are_unlike_and_how_many_have_an_answer(run_folder, files, tmp_path, capsys):
    arguments = ["predict", "--model", str(run_folder), "--input", files[0], "--output", str(tmp_path / "p.csv")]
    assert main([*arguments, "--training_proteins", files[1], "--min_identity", "0.9"]) == 0
    first, unlike, answered = capsys.readouterr().out.splitlines()
    assert first.startswith("4 proteins classified")
    assert unlike.startswith("2 of them are unlike every training protein: none has at least 90% identity")
    assert answered == "2 of them have an answer; the others have -"


def interrupt_part(number, monkeypatch):
    """Let Ctrl-C come in the part with a number, from 1."""
    true, calls = predict.predict_logits, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return true(*arguments)

    monkeypatch.setattr(predict, "predict_logits", interrupted)


def test_ctrl_c_before_the_first_part_says_so_and_leaves_nothing(run_folder, files, tmp_path, monkeypatch):
    interrupt_part(1, monkeypatch)
    output = tmp_path / "p.csv"
    with pytest.raises(KeyboardInterrupt, match="no part was done yet"):
        predict_file(str(run_folder), files[0], str(output))
    assert not output.exists() and not Path(f"{output}.parts").exists()


def test_other_training_proteins_do_not_continue_a_prediction(run_folder, files, tmp_path, monkeypatch):
    output = str(tmp_path / "p.csv")
    monkeypatch.setattr(predict, "part_size", lambda classifier: 1)
    interrupt_part(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        predict_file(str(run_folder), files[0], output, training_proteins=files[1])
    with pytest.raises(OptionError, match="resume: training_proteins was [0-9a-f]{16} and is now None"):
        predict_file(str(run_folder), files[0], output, resume=True)
    with monkeypatch.context() as patch, pytest.raises(OptionError, match="resume: neighbours_by was .* and is now"):
        patch.setattr(predict, "search_method", lambda: "another search")
        predict_file(str(run_folder), files[0], output, training_proteins=files[1], resume=True)
    done = predict_file(str(run_folder), files[0], output, training_proteins=files[1], resume=True)
    assert done.classified == 4 and done.unlike == 1  # those of the first run count, too


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--min_identity", "0.3"], "--min_identity needs --training_proteins FILE"),
        (
            ["--training_proteins", "{file}", "--min_identity", "30"],
            "argument --min_identity: found '30', expected 0 to 1",
        ),
        (["--training_proteins", "missing.fasta"], "missing.fasta"),
        (["--training_proteins", "{empty}"], "found no proteins; expected those the model was trained on"),
    ],
)
def test_what_cannot_be_compared_with_is_refused_in_one_line(run_folder, files, tmp_path, capsys, options, reason):
    empty = tmp_path / "empty.fasta"
    empty.write_text(">P1\nMK1T\n")
    given = [option.format(file=files[1], empty=empty) for option in options]
    output = tmp_path / "p.csv"
    assert main(["predict", "--model", str(run_folder), "--input", files[0], "--output", str(output), *given]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert reason in line and not output.exists()


def test_a_least_identity_without_training_proteins_is_refused_before_a_model_is_looked_for(files, tmp_path):
    with pytest.raises(OptionError, match="min_identity=0.3: requires training_proteins"):
        predict_file("missing", files[0], str(tmp_path / "p.csv"), min_identity=0.3)


def test_numbers_have_neighbours_but_no_labels_to_leave_out(files, tmp_path, tokenizer):
    build_classifier(problem_type="regression").save_pretrained(tmp_path / "numbers")
    tokenizer.save_pretrained(tmp_path / "numbers")
    output = str(tmp_path / "p.csv")
    with pytest.raises(OptionError, match="min_identity=0.3: .* predicts numbers, not labels; leave it out"):
        predict_file(str(tmp_path / "numbers"), files[0], output, training_proteins=files[1], min_identity=0.3)
    predict_file(str(tmp_path / "numbers"), files[0], output, training_proteins=files[1])
    assert [row["nearest"] for row in read(output)] == [name for name, _ in EXPECTED]


LABELLED = [("T1", TWO, "Nucleus"), ("T2", ONE, "Nucleus"), ("T3", DRAWN[2], "Plastid"), ("T4", "MKT", "Mitochondrion")]


@pytest.fixture
def labelled(tmp_path):
    """Training proteins with labels: T3 is of a class that the model does not know, and of the test split."""
    table = tmp_path / "labelled.csv"
    rows = [
        f"{name},{''.join(residues)},{label},{'test' if name == 'T3' else ''}" for name, residues, label in LABELLED
    ]
    table.write_text("\n".join(["id,sequence,location,split", *rows]) + "\n")
    return str(table)


def test_the_label_of_the_nearest_training_protein_is_weighed_in(output_of, files, labelled):
    plain = output_of(files[0])
    found = output_of(files[0], training_proteins=labelled, transfer_labels=True)
    assert list(found[0]) == [*COLUMNS[:7], "nearest location", *COLUMNS[7:]]
    assert [(row["nearest"], row["nearest location"]) for row in found] == [
        ("T2", "Nucleus"), ("T1", "Nucleus"), ("", ""), ("T4", "Mitochondrion"),
    ]  # fmt: skip
    for before, row in zip(plain, found, strict=True):
        identity = float(row["identity"] or 0)
        for label in LABELS:
            expected = (1 - identity) * float(before[label]) + identity * (label == row["nearest location"])
            assert float(row[label]) == pytest.approx(expected, abs=1e-3)
    assert [row["location"] for row in found] == ["Nucleus", "Nucleus", plain[2]["location"], "Mitochondrion"]
    assert found[2]["score"] == plain[2]["score"]


def test_parts_and_a_kill_change_nothing_of_transferred_labels(
    run_folder, files, labelled, output_of, monkeypatch, tmp_path
):
    options = {"training_proteins": labelled, "transfer_labels": True}
    whole = output_of(files[0], **options)
    monkeypatch.setattr(predict, "part_size", lambda classifier: 1)
    output = str(tmp_path / "parts.csv")
    interrupt_part(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        predict_file(str(run_folder), files[0], output, **options)
    with pytest.raises(OptionError, match="resume: transfer_labels was True and is now None"):
        predict_file(str(run_folder), files[0], output, training_proteins=labelled, resume=True)
    predict_file(str(run_folder), files[0], output, resume=True, **options)
    assert read(output) == whole


def test_other_labels_of_the_same_proteins_do_not_continue_a_prediction(labelled):
    task = build_classifier().config.task
    before = read_labelled_training_proteins(labelled, task)
    text = Path(labelled).read_text()
    Path(labelled).write_text(text.replace("Mitochondrion", "Cytoplasm"))
    assert before.digest != read_labelled_training_proteins(labelled, task).digest


def test_test_proteins_are_no_training_proteins(tmp_path, labelled):
    deeploc, own = tmp_path / "deeploc.fasta", tmp_path / "own.fasta"
    deeploc.write_text(">T1 Nucleus-U\nMKTAYIAK\n>T2 Cytoplasm-S test\nMRRAYIAK\n>T3 Plastid-S\nMEEAYIAK\n")
    own.write_text(">T1 a test\nMKTAYIAK\n")
    assert read_training_proteins(str(deeploc)).ids == ["T1", "T3"]
    assert read_training_proteins(str(own)).ids == ["T1"]  # its header is not DeepLoc's
    assert read_training_proteins(labelled).ids == ["T1", "T2", "T4"]


@pytest.mark.parametrize(("labels", "ids"), [(["Cytoplasm", "Nucleus"], ["T1"]), (None, ["T1", "T2"])])
def test_ambiguous_training_proteins_are_there_if_the_model_has_such_a_class(tmp_path, labels, ids):
    fasta = tmp_path / "deeploc.fasta"
    fasta.write_text(">T1 Nucleus-U\nMKTAYIAK\n>T2 Cytoplasm-Nucleus-U\nMRRAYIAK\n")
    task = build_classifier().config.task
    task = replace(task, labels=labels or ["Cytoplasm", "Cytoplasm-Nucleus", "Nucleus"])
    found = read_labelled_training_proteins(str(fasta), task)
    assert list(found.ids) == ids
    if labels is None:
        assert found.labels[1].tolist() == [0, 1, 0]


def test_labels_are_read_from_headers_of_fasta(tmp_path):
    task = build_classifier().config.task
    deeploc, own = tmp_path / "deeploc.fasta", tmp_path / "own.fasta"
    deeploc.write_text(">T1 Nucleus-U\nMKTAYIAK\n>T2 Cytoplasm-S test\nMRRAYIAK\n>T3 Plastid-S\nMEEAYIAK\n")
    own.write_text(">T1 at=Nucleus\nMKTAYIAK\n>T3 at=Plastid\nMEEAYIAK\n")
    for found in (
        read_labelled_training_proteins(str(deeploc), task),
        read_labelled_training_proteins(str(own), task, header_pattern="at=(?P<label>.*)"),
    ):
        assert list(found.ids) == ["T1", "T3"] and found.residues == ["MKTAYIAK", "MEEAYIAK"]
        assert found.labels[0].tolist() == [0, 0, 1] and np.isnan(found.labels[1]).all()


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        (
            "id,sequence,location\nT1,MKT,Plastid\n",
            [],
            "found the labels Plastid, none of them the model's; expected some of Cytoplasm, Mitochondrion, Nucleus",
        ),
        ("id,sequence,fold\nT1,MKT,Nucleus\n", [], "no column 'location'"),
        (
            "id,sequence,location,split\nT1,MKT,Nucleus,test\n",
            [],
            "found test proteins only; expected those of the training",
        ),
        (
            "id,sequence,location\nT1,MKT,Nucleus\n",
            ["--sets", "0.1"],
            "--sets cannot be combined with --transfer_labels",
        ),
        (None, [], "--transfer_labels needs --training_proteins FILE"),
        (None, ["--training_proteins", "missing.csv"], "missing.csv: no such file"),
    ],
)
def test_labels_that_cannot_be_transferred_are_refused_in_one_line(
    run_folder, files, tmp_path, capsys, text, options, reason
):
    table, output = tmp_path / "some.csv", tmp_path / "p.csv"
    given = ["--transfer_labels", *options]
    if text is not None:
        table.write_text(text)
        given += ["--training_proteins", str(table)]
    assert main(["predict", "--model", str(run_folder), "--input", files[0], "--output", str(output), *given]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert reason in line and not output.exists()


def test_labels_may_stand_in_a_column_of_another_name(tmp_path):
    table = tmp_path / "own.csv"
    table.write_text("id,sequence,compartment\nT1,MKT,Nucleus\nT3,MEE,Plastid\n")
    task = build_classifier().config.task
    found = read_labelled_training_proteins(str(table), task, label_column="compartment")
    assert found.labels[0].tolist() == [0, 0, 1] and np.isnan(found.labels[1]).all()


@pytest.mark.parametrize("option", [["--header_pattern", "x"], ["--label_column", "x"]])
def test_options_about_labels_need_labels_to_be_read(run_folder, files, tmp_path, capsys, option):
    arguments = ["predict", "--model", str(run_folder), "--input", files[0], "--output", str(tmp_path / "p.csv")]
    assert main([*arguments, "--training_proteins", files[1], *option]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert f"{option[0]} needs --transfer_labels" in line


def test_numbers_have_no_labels_to_transfer(files, labelled, tmp_path, tokenizer):
    build_classifier(problem_type="regression").save_pretrained(tmp_path / "numbers")
    tokenizer.save_pretrained(tmp_path / "numbers")
    with pytest.raises(OptionError, match="transfer_labels: .* as numbers, not labels; leave it out"):
        predict_file(
            str(tmp_path / "numbers"),
            files[0],
            str(tmp_path / "p.csv"),
            training_proteins=labelled,
            transfer_labels=True,
        )
