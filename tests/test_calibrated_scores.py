"""Every way to a score gives the calibrated one, calibrated once, and that of an ensemble the mean of its members'."""

import csv
import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, pipeline

from protbert_classify import ProteinClassificationPipeline, ProteinClassifier, build_ensemble
from protbert_classify.commands import main
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.inference.saved_classifier import load_classifier

from .inference.conftest import LABELS, build_classifier
from .published_code import run_published

PROTEINS = ["MKTAYIAKQRQISFVKSHFS", "MNRGVPFRHL", "MDEDEDEDEDEDKKRKRK"]  # the model reads 20 residues
SEVERAL = {"problem_type": "multi_label_classification", "thresholds": [0.2, 0.5, 0.9]}
VECTOR = {"calibration_temperature": [0.5, 2.0, 3.0], "calibration_bias": [0.25, -0.5, 0.0]}
KINDS = {
    "single": {"calibration_temperature": 0.375},
    "vector": VECTOR,
    "several": {**SEVERAL, "calibration_temperature": 2.5},
    "several by vector": {**SEVERAL, **VECTOR},
}
# of an ensemble, the calibration of each member
ENSEMBLES = {
    "ensemble": [{}, {"calibration_temperature": 0.375}, VECTOR],
    "ensemble of several": [SEVERAL, {**SEVERAL, "calibration_temperature": 2.5}, {**SEVERAL, **VECTOR}],
}
# -I and -S: nothing but the standard library and the folder that is added, which the package is not in
REMOTE = """
import json
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
model = AutoModelForSequenceClassification.from_pretrained({folder!r}, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained({folder!r}, trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules.")
classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, device="cpu")
found = [{{answer["label"]: answer["score"] for answer in answers}} for answers in classify({proteins!r})]
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=[*KINDS, *ENSEMBLES])
def saved(request, tmp_path_factory):
    """The folder of a run, and the scores of `PROTEINS` by hand."""
    folder = tmp_path_factory.mktemp("calibrated")
    if request.param in ENSEMBLES:
        return folder, save_ensemble(folder, ENSEMBLES[request.param])
    return folder, save_calibrated(folder, KINDS[request.param])


def save_ensemble(folder, members):
    """Save an ensemble as a run would, and return the means of its members' scores."""
    models = [build_classifier(**fields) for fields in members]
    for number, model in enumerate(models):
        torch.manual_seed(number)
        torch.nn.init.normal_(model.head[1].weight, std=0.5)
    each = torch.tensor([[probabilities(model, protein) for protein in PROTEINS] for model in models])
    assert each.std(0).max() > 0.05
    for number, model in enumerate(models):
        model.save_pretrained(folder / str(number))
        protbert_tokenizer().save_pretrained(folder / str(number))
    build_ensemble([folder / str(number) for number in range(len(models))], folder / "model")
    return each.mean(0).tolist()


def save_calibrated(folder, fields):
    """Save a calibrated model as a run would, and return its scores from the logits of an uncalibrated twin."""
    build_classifier(**fields).save_pretrained(folder / "model")
    protbert_tokenizer().save_pretrained(folder / "model")
    twin = build_classifier(**{name: fields[name] for name in SEVERAL if name in fields})
    several = "problem_type" in fields
    expected = []
    for protein in PROTEINS:
        with torch.no_grad():
            raw = twin(**protbert_tokenizer()(protein, return_tensors="pt")).logits[0]
        bias = torch.tensor(fields.get("calibration_bias", [0.0] * 3))
        logits = raw / torch.tensor(fields["calibration_temperature"]) + bias
        expected.append((logits.sigmoid() if several else logits.softmax(-1)).tolist())
        uncalibrated = raw.sigmoid() if several else raw.softmax(-1)
        assert max(abs(a - b) for a, b in zip(expected[-1], uncalibrated.tolist())) > 0.01
    return expected


def close(found, expected):
    """Whether answers `{"label", "score"}`, those of all labels, are the expected scores."""
    by_label = [{answer["label"]: answer["score"] for answer in answers} for answers in found]
    return [[row[label] for label in LABELS] for row in by_label] == [pytest.approx(row, abs=1e-6) for row in expected]


def probabilities(model, protein):
    with torch.no_grad():
        logits = model(**protbert_tokenizer()(protein, return_tensors="pt")).logits[0]
    several = model.config.problem_type == "multi_label_classification"
    return (logits.sigmoid() if several else logits.softmax(-1)).tolist()


@pytest.mark.parametrize("load", [ProteinClassifier, AutoModelForSequenceClassification], ids=["ours", "auto"])
def test_in_python(saved, load):
    folder, expected = saved
    model = load.from_pretrained(folder / "model")
    assert [probabilities(model, protein) for protein in PROTEINS] == [pytest.approx(row, abs=1e-6) for row in expected]


def test_in_the_pipelines_ours_and_that_of_transformers(saved):
    folder, expected = saved
    model, tokenizer = load_classifier(folder, "cpu")
    ours = ProteinClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
    assert close(ours(PROTEINS, top_k=None), expected)
    theirs = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    assert close(theirs(PROTEINS, top_k=None), expected)


def test_of_the_command(saved, tmp_path):
    folder, expected = saved
    (tmp_path / "some.fasta").write_text("".join(f">P{i}\n{protein}\n" for i, protein in enumerate(PROTEINS)))
    output = tmp_path / "found.csv"
    command = ["predict", "--model", str(folder), "--input", str(tmp_path / "some.fasta"), "--output", str(output)]
    assert main([*command, "--precision", "float32"]) == 0
    with open(output, newline="") as file:
        found = [[float(row[label]) for label in LABELS] for row in csv.DictReader(file)]
    assert found == [pytest.approx(row, abs=1e-6) for row in expected]


def test_of_the_hooks_of_sagemaker(saved):
    from protbert_classify.serving import hooks

    folder, expected = saved
    asked = hooks.input_fn(json.dumps({"inputs": PROTEINS, "parameters": {"top_k": None}}), "application/json")
    answered = hooks.output_fn(hooks.predict_fn(asked, hooks.model_fn(str(folder))), "application/json")
    assert close(json.loads(answered), expected)


@pytest.mark.slow
def test_of_the_server_which_tells_how_they_are_calibrated(saved, tmp_path):
    from .serving.servers import running

    folder, expected = saved
    with running(folder, tmp_path, "--precision", "float32") as server:
        found = server.invoke({"inputs": PROTEINS, "parameters": {"top_k": None}}).json
        told = server.request("GET", "/model").json
    assert close(found, expected)
    config = ProteinClassifier.from_pretrained(folder / "model").config
    own = {"temperature": config.calibration_temperature, "bias": config.calibration_bias}
    assert told["calibration"] == (None if config.members else own)  # each member has a calibration of its own
    assert told["members"] == (3 if config.members else 1)


@pytest.mark.slow
def test_by_the_published_code_without_the_package(saved, tmp_path):
    folder, expected = saved
    code = REMOTE.format(folder="me/calibrated", proteins=PROTEINS)
    found = json.loads(run_published(folder / "model", "me/calibrated", code, tmp_path))
    assert [[row[label] for label in LABELS] for row in found] == [pytest.approx(row, abs=1e-6) for row in expected]
