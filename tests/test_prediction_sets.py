"""Prediction sets from end to end: every way to them gives the same, and a model that has none says so."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from protbert_classify import ProteinClassificationPipeline, ProteinClassifier
from protbert_classify.commands import main
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import OptionError
from protbert_classify.inference.saved_classifier import load_classifier

from .inference.conftest import LABELS, VALIDATION_SCORES, build_classifier
from .published_code import run_published

GENERATOR = np.random.default_rng(0)
PROTEINS = ["".join(GENERATOR.choice(list("ACDEFGHIKLMNPQRSTVWY"), size)) for size in GENERATOR.integers(5, 40, 40)]
MEMBRANE = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}
ERROR = 0.25
CLI = {False: ["--sets", "0.25"], True: ["--sets", "0.25", "--sets_by_class"]}


def save(folder, **fields):
    build_classifier(**fields).save_pretrained(folder / "model")
    protbert_tokenizer().save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(
        tmp_path_factory.mktemp("run"),
        validation_scores=VALIDATION_SCORES,
        calibration_temperature=0.75,
        auxiliary_tasks=[MEMBRANE],
    )


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("proteins") / "some.fasta"
    path.write_text("".join(f">P{i}\n{protein}\n" for i, protein in enumerate(PROTEINS)))
    return path


def predict(folder, fasta, output, *options):
    command = ["predict", "--model", str(folder), "--input", str(fasta), "--output", str(output)]
    return main([*command, "--precision", "float32", "--device", "cpu", *options])


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def by_hand(row, error, by_class):
    """The set of a row of the table, counted from its probabilities."""
    inside = []
    pooled = [score for scores in VALIDATION_SCORES for score in scores]
    for label, own in zip(LABELS, VALIDATION_SCORES, strict=True):
        known = own if by_class else pooled
        p = (1 + sum(score <= float(row[label]) for score in known)) / (1 + len(known))
        if p > error:
            inside.append(label)
    return ";".join(sorted(inside, key=lambda label: -float(row[label]))) or "-"


@pytest.mark.parametrize("error", [0.25, 0.6])
@pytest.mark.parametrize("by_class", [False, True])
def test_the_column_has_the_classes_that_the_probabilities_beside_it_leave(saved, fasta, tmp_path, by_class, error):
    options = ["--sets", str(error), *(["--sets_by_class"] if by_class else [])]
    assert predict(saved, fasta, tmp_path / "found.csv", *options) == 0
    rows = rows_of(tmp_path / "found.csv")
    assert list(rows[0])[3:] == ["location", "score", "set", *LABELS, "membrane", "membrane score", "truncated"]
    assert [row["set"] for row in rows] == [by_hand(row, error, by_class) for row in rows]
    found = {row["set"] for row in rows}
    assert len(found) >= 3 and any(";" in each for each in found) is (error < 0.5) and ("-" in found) is (error > 0.5)


@pytest.mark.parametrize("by_class", [False, True])
def test_every_format_the_pipeline_and_the_hooks_give_the_same_sets(saved, fasta, tmp_path, by_class):
    from protbert_classify.serving import hooks

    for ending in ("csv", "tsv", "jsonl", "parquet"):
        assert predict(saved, fasta, tmp_path / f"found.{ending}", *CLI[by_class]) == 0
    expected = [row["set"] for row in rows_of(tmp_path / "found.csv")]
    assert [row["set"] for row in rows_of(tmp_path / "found.tsv")] == expected
    lines = (tmp_path / "found.jsonl").read_text().splitlines()
    assert [json.loads(line)["set"] for line in lines] == expected
    assert pq.read_table(tmp_path / "found.parquet")["set"].to_pylist() == expected
    pipe = ProteinClassificationPipeline(*load_classifier(saved, "cpu"), device="cpu")
    answers = pipe(PROTEINS, sets=ERROR, sets_by_class=by_class)
    assert [";".join(answer["set"]) or "-" for answer in answers] == expected
    assert [answer["predictions"] for answer in answers] == pipe(PROTEINS)
    body = json.dumps({"inputs": PROTEINS, "parameters": {"sets": ERROR, "sets_by_class": by_class}})
    answered = hooks.predict_fn(hooks.input_fn(body, "application/json"), hooks.model_fn(str(saved)))
    found = json.loads(hooks.output_fn(answered, "application/json"))
    assert [";".join(answer["set"]) or "-" for answer in found] == expected


@pytest.mark.slow
def test_the_server_gives_the_same_and_refuses_a_model_without(saved, fasta, tmp_path):
    from .serving.servers import running

    assert predict(saved, fasta, tmp_path / "found.csv", *CLI[False]) == 0
    asked = {"inputs": PROTEINS, "parameters": {"sets": ERROR, "truncation_report": True}}
    with running(saved, tmp_path / "server", "--precision", "float32") as server:
        found = server.invoke(asked).json
    assert [";".join(answer["set"]) or "-" for answer in found] == [
        row["set"] for row in rows_of(tmp_path / "found.csv")
    ]
    assert [answer["length"] for answer in found] == list(map(len, PROTEINS))
    with running(save(tmp_path / "without"), tmp_path / "other") as server:
        answer = server.invoke(asked)
        assert server.invoke({"inputs": PROTEINS}).status == 200
    assert answer.status == 422
    assert "parameters, sets=0.25: the model has no validation scores for location" in answer.json["error"]


def test_options_of_the_pipeline_last_and_combine(saved):
    pipe = ProteinClassificationPipeline(*load_classifier(saved, "cpu"), device="cpu", sets=ERROR)
    answer = pipe(PROTEINS[0], top_k=None, auxiliary=True, truncation_report=True)
    assert list(answer) == ["predictions", "length", "truncated", "auxiliary", "set"]
    ranked = [each["label"] for each in answer["predictions"]]
    assert answer["set"] == ranked[: len(answer["set"])]
    assert "set" not in pipe(PROTEINS[0], sets=None)


def test_an_interrupted_table_is_not_continued_with_other_sets(saved, fasta, tmp_path, capsys, monkeypatch):
    from protbert_classify.inference import predict as module

    predict_part = module._Worker.predict

    def interrupted(worker, records, bar):
        if records[0].place.accession != "P0":
            raise KeyboardInterrupt
        return predict_part(worker, records, bar)

    monkeypatch.setattr(module, "part_size", lambda classifier: 16)
    monkeypatch.setattr(module._Worker, "predict", interrupted)
    assert predict(saved, fasta, tmp_path / "found.csv", *CLI[False]) == 130
    monkeypatch.setattr(module._Worker, "predict", predict_part)
    assert predict(saved, fasta, tmp_path / "found.csv", "--resume", *CLI[True]) == 2
    assert "sets_by_class" in capsys.readouterr().err
    assert predict(saved, fasta, tmp_path / "found.csv", "--resume", *CLI[False]) == 0
    assert predict(saved, fasta, tmp_path / "whole.csv", *CLI[False]) == 0
    assert (tmp_path / "found.csv").read_text() == (tmp_path / "whole.csv").read_text()


@pytest.mark.parametrize("error", ["0", "1", "-0.1", "1.5", "nan", "ten"])
def test_an_error_that_is_none_is_refused_in_one_line(saved, fasta, tmp_path, capsys, error):
    assert predict(saved, fasta, tmp_path / "found.csv", f"--sets={error}") == 2
    expected = f"argument --sets: found '{error}', expected a number between 0 and 1, such as 0.1"
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_sets_by_class_without_sets_are_refused(saved, fasta, tmp_path, capsys):
    assert predict(saved, fasta, tmp_path / "found.csv", "--sets_by_class") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--sets_by_class needs --sets, such as --sets 0.1" in line


WITHOUT = {
    "earlier version": (
        {},
        "has no validation scores for location, from which prediction sets are made; train it",
    ),
    "several labels": (
        {"problem_type": "multi_label_classification"},
        "location can have several classes for a protein; prediction sets need one class per protein",
    ),
    "numbers": ({"problem_type": "regression"}, "location is a number; prediction sets need one class per protein"),
}


@pytest.mark.parametrize(("fields", "reason"), WITHOUT.values(), ids=WITHOUT)
def test_a_model_without_sets_says_why_in_one_line_and_writes_nothing(tmp_path, fasta, capsys, fields, reason):
    folder = save(tmp_path / "without", **fields)
    assert predict(folder, fasta, tmp_path / "found.csv", "--sets", "0.1") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "sets=" in line]
    assert f"sets=0.1: {reason}" in line.replace("the model ", "")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("found")]
    pipe = ProteinClassificationPipeline(*load_classifier(folder, "cpu"), device="cpu")
    with pytest.raises(OptionError, match="sets=0.1"):
        pipe(PROTEINS[0], sets=0.1)
    with pytest.raises(OptionError, match="sets=2: expected an error between 0 and 1"):
        pipe(PROTEINS[0], sets=2)


def test_classes_that_no_set_can_exclude_are_named_once(saved, fasta, tmp_path, capsys):
    assert predict(saved, fasta, tmp_path / "found.csv", "--sets", "0.1", "--sets_by_class") == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "too few validation" in line]
    assert warned == [
        "warning: sets=0.1: too few validation proteins to exclude Mitochondrion, Nucleus, so every set contains them; "
        "9 are needed of each class"
    ]
    for row in rows_of(tmp_path / "found.csv"):
        assert {"Mitochondrion", "Nucleus"} <= set(row["set"].split(";"))


REMOTE = """
import json
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained("me/sets", trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules.")
model.save_pretrained({again!r})
print(json.dumps([model.config.validation_scores, model.config.task.validation_scores, model.config.format_version]))
"""


@pytest.mark.slow
def test_validation_scores_come_through_the_published_code(saved, tmp_path):
    code = REMOTE.format(again=str(tmp_path / "again"))
    found = json.loads(run_published(saved / "model", "me/sets", code, tmp_path))
    assert found == [VALIDATION_SCORES, VALIDATION_SCORES, 4]
    assert ProteinClassifier.from_pretrained(tmp_path / "again").config.validation_scores == VALIDATION_SCORES
