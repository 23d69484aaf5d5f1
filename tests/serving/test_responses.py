import csv
import json

import jsonschema
import numpy as np
import pytest

from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.evaluation.decision import decide_task
from protbert_classify.inference.predict import predict_file
from protbert_classify.inference.saved_classifier import load_classifier
from protbert_classify.model.tasks import Task
from protbert_classify.serving.http_errors import NotAcceptable, Unprocessable
from protbert_classify.serving.openapi import ANSWER, ROW
from protbert_classify.serving.requests import read_query
from protbert_classify.serving.responses import accepted_type, answer
from protbert_classify.serving.served import ServedModel
from tests.inference.conftest import build_classifier

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("Text/CSV", CSV),
        ("application/jsonlines", LINES),
        ("application/jsonlines, */*;q=0.1", LINES),
        ("text/csv;q=0.5, application/json;q=0.4", CSV),
        ("text/html, text/csv; q=0.9, */*; q=0.8", CSV),
        ("*/*, application/json;q=0", LINES),
        ("text/csv;q=0, text/*;q=0.9, application/jsonlines;q=0.1", LINES),
        ("application/json;q=0.1, , TEXT/CSV;Q=0.2", CSV),
    ],
)
def test_the_answer_has_the_format_that_is_preferred(accept, kind):
    assert accepted_type(accept) == kind


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "text/csv;q=many", ","])
def test_a_format_that_there_is_not_is_refused(accept):
    with pytest.raises(NotAcceptable, match="expected one of application/json, application/jsonlines, text/csv"):
        accepted_type(accept)


def answered(served, body, content_type=JSON, accept=JSON):
    query = read_query(body.encode(), content_type)
    logits = served.logits([served.encode(record) for record in query.records])
    return answer(query, served.decide(logits), served.truncated(query.records), accept)


def close(found, expected):
    """The same but for the last digits of numbers."""
    if isinstance(expected, float):
        return abs(found - expected) < 1e-5
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[name], expected[name]) for name in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"top_k": 1},
        {"top_k": 2},
        {"top_k": None},
        {"top_k": 99},
        {"truncation_report": True},
        {"top_k": 2, "truncation_report": True},
        {"sets": 0.3},
        {"sets": 0.2, "sets_by_class": True, "top_k": None, "truncation_report": True},
        {"sets": None, "sets_by_class": True},
    ],
)
def test_an_answer_in_json_is_what_the_pipeline_returns(served, pipe, proteins, parameters):
    for inputs in (proteins[0], proteins[:1], proteins[:20]):
        body = json.dumps({"inputs": inputs, "parameters": parameters})
        assert close(json.loads(answered(served, body)), pipe(inputs, **parameters))


def test_records_are_answered_with_the_rows_of_predict_in_every_format(served, model, proteins, tmp_path):
    fasta = "".join(f">P{number} protein, {number}\n{residues}\n" for number, residues in enumerate(proteins[:9]))
    (tmp_path / "in.fasta").write_text(fasta)
    for name, accept in (("predictions.csv", CSV), ("calls.jsonl", LINES)):
        predict_file(model, str(tmp_path / "in.fasta"), str(tmp_path / name), device="cpu")
        assert answered(served, fasta, "text/x-fasta", accept) == (tmp_path / name).read_text()
    rows = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert json.loads(answered(served, fasta, "text/x-fasta", JSON)) == rows
    assert [row["id"] for row in rows] == [f"P{number}" for number in range(9)]


def test_a_table_goes_in_and_comes_out(served):
    text = 'id,description,sequence\n"A ""b"", c",,MKT\nß,naïve,M K V\n'
    rows = list(csv.DictReader(answered(served, text, "text/csv", CSV).splitlines()))
    assert [(row["id"], row["description"], row["length"]) for row in rows] == [
        ('A "b", c', "", "3"),
        ("ß", "naïve", "3"),
    ]
    lines = "".join(json.dumps({"id": row["id"], "sequence": "MKT"}) + "\n" for row in rows)
    back = [json.loads(line) for line in answered(served, lines, LINES, LINES).splitlines()]
    assert [row["id"] for row in back] == ['A "b", c', "ß"]
    assert all(abs(sum(row[label] for label in LABELS) - 1) < 1e-5 for row in back)


def test_parameters_with_a_table_are_refused_instead_of_ignored():
    query = read_query(b'{"inputs": "MKT", "parameters": {"top_k": 2}}', JSON)
    task = Task(name="location", problem_type="single_label_classification", labels=LABELS)
    decision = decide_task(np.log([[0.1, 0.3, 0.6]]), task)
    with pytest.raises(Unprocessable, match="parameters are only for answers in application/json"):
        answer(query, decision, [False], CSV)
    assert json.loads(answer(query, decision, [False], JSON)) == [
        {"label": "Nucleus", "score": pytest.approx(0.6)},
        {"label": "Mitochondrion", "score": pytest.approx(0.3)},
    ]


def test_long_proteins_are_cropped_as_the_pipeline_crops_them(served, pipe):
    long = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"
    query = read_query(json.dumps({"inputs": long}).encode(), JSON)
    decision = served.decide(served.logits([served.encode(query.records[0])]))
    assert served.truncated(query.records) == [True]
    assert np.allclose(decision.score, pipe(long)["score"], atol=1e-6)


MEMBRANE = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}


def test_prediction_sets_have_the_documented_form(served, proteins):
    body = json.dumps({"inputs": proteins[:20], "parameters": {"sets": 0.3}})
    found = json.loads(answered(served, body))
    assert jsonschema.Draft202012Validator(ANSWER).is_valid(found)
    assert {len(row["set"]) for row in found} <= {0, 1, 2, 3}


KINDS = {
    "several labels": {
        **{"problem_type": "multi_label_classification", "thresholds": [0.45, 0.5, 0.55], "task_name": "place"},
        "auxiliary_tasks": [MEMBRANE],
    },
    "numbers": {"problem_type": "regression", "target_mean": [5.0, 0.0, -3.0], "target_std": [2.0, 1.0, 0.1]},
}


@pytest.fixture(scope="module", params=list(KINDS))
def other_kind(request, tmp_path_factory):
    """The folder of a model of another problem type, and the model as it is served."""
    folder = tmp_path_factory.mktemp("kind")
    build_classifier(**KINDS[request.param]).save_pretrained(folder / "model")
    protbert_tokenizer().save_pretrained(folder / "model")
    return str(folder), ServedModel(*load_classifier(str(folder), "cpu"))


def test_every_problem_type_is_answered_with_the_rows_of_predict(other_kind, proteins, tmp_path):
    folder, served = other_kind
    fasta = "".join(f">P{number} protein, {number}\n{residues}\n" for number, residues in enumerate(proteins[:9]))
    (tmp_path / "in.fasta").write_text(fasta)
    for name, accept in (("predictions.csv", CSV), ("calls.jsonl", LINES)):
        predict_file(folder, str(tmp_path / "in.fasta"), str(tmp_path / name), device="cpu")
        assert answered(served, fasta, "text/x-fasta", accept) == (tmp_path / name).read_text()
    rows = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    validator = jsonschema.Draft202012Validator(ROW)
    assert all(validator.is_valid(row) for row in rows)
    config = served.model.config
    plain = config.problem_type == "regression"
    assert ("score" in rows[0], config.task_name in rows[0], "membrane" in rows[0]) == (not plain,) * 3


def test_prediction_sets_are_refused_by_models_that_have_none(other_kind):
    query = read_query(b'{"inputs": "MKT", "parameters": {"sets": 0.1}}', JSON)
    with pytest.raises(Unprocessable, match="parameters, sets=0.1: .* prediction sets need one class per protein"):
        other_kind[1].check(query)


def test_every_problem_type_is_answered_in_json_with_the_same_scores(other_kind, proteins, tmp_path):
    folder, served = other_kind
    lines = "".join(json.dumps({"sequence": protein}) + "\n" for protein in proteins[:9])
    rows = [json.loads(line) for line in answered(served, lines, LINES, LINES).splitlines()]
    found = json.loads(answered(served, json.dumps({"inputs": proteins[:9]})))
    assert jsonschema.Draft202012Validator(ANSWER).is_valid(found)
    for row, answers in zip(rows, found, strict=True):
        assert all(abs(row[part["label"]] - part["score"]) < 1e-5 for part in answers)
        if served.model.config.problem_type == "regression":
            assert [part["label"] for part in answers] == LABELS  # in the order of the model, not by size
        else:
            assert ";".join(part["label"] for part in answers) == row["place"]
    every = json.loads(answered(served, json.dumps({"inputs": proteins[0], "parameters": {"top_k": None}})))
    assert sorted(part["label"] for part in every) == LABELS
    report = {"inputs": proteins[0], "parameters": {"truncation_report": True}}
    expected = {"predictions": found[0], "length": len(proteins[0]), "truncated": len(proteins[0]) > 20}
    assert close(json.loads(answered(served, json.dumps(report))), expected)
