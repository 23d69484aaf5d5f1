"""Endpoints give the scores of the pipeline, and the table of `predict`; what goes wrong is one line."""

import json

import pytest

from protbert_classify.errors import DataError, InputError, OptionError, ProteinClassifierError, SequenceError
from protbert_classify.inference.predict import predict_file
from protbert_classify.sagemaker import delete_endpoint
from protbert_classify.sagemaker import predictor as module
from protbert_classify.serving.client import BODY

from .cloud import ACCOUNT
from .containers import answer_stubbed
from .refusals import refused
from .stubs import PROTEIN, PROTEINS, close, stubbed

pytestmark = pytest.mark.usefixtures("clean")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"image_uri": "hooks"},
        pytest.param({"image_uri": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/mine:1"}, marks=pytest.mark.slow),
        {"image_uri": "hooks", "kind": "asynchronous"},
    ],
    ids=["Hugging Face's container", "hooks", "our server", "asynchronous"],
)
def test_every_kind_of_endpoint_gives_the_scores_of_the_pipeline_and_the_table_of_predict(
    up, serving, pipe, options, model_folder, tmp_path, request
):
    if not options:
        request.getfixturevalue("toolkits")
    predictor = up(**options)
    assert close(predictor.predict(PROTEINS), pipe(PROTEINS))
    assert close(predictor.predict(PROTEIN, top_k=None), pipe(PROTEIN, top_k=None))
    assert close(predictor.predict([PROTEIN], top_k=2), pipe([PROTEIN], top_k=2))
    assert predictor.predict([]) == []
    source = tmp_path / "proteins.jsonl"
    odd = [{"id": 'a "b",\tc', "description": "two\nlines, é", "sequence": "MKT"}, {"id": "bad", "sequence": "M1"}]
    rows = odd + [{"id": f"P{n}", "sequence": PROTEIN[n % 20 :]} for n in range(100)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    serving.bodies.clear()
    for name in ("out.csv", "out.jsonl"):
        assert predictor.predict_file(str(source), str(tmp_path / name))[:2] == (101, 1)
        predict_file(model_folder, str(source), str(tmp_path / f"here-{name}"))
        assert (tmp_path / name).read_text() == (tmp_path / f"here-{name}").read_text()
        here = (tmp_path / f"here-{name}.rejected.csv").read_text()
        assert (tmp_path / f"{name}.rejected.csv").read_text() == here
        assert not (tmp_path / f"{name}.parts").exists()
    if serving.bodies:  # an asynchronous one is asked through S3
        assert max(body.count(b"\n") for body in serving.bodies) == module.PROTEINS


def test_an_asynchronous_endpoint_gives_the_reason_of_a_failure(up):
    predictor = up(image_uri="hooks", kind="asynchronous")
    wrong = predictor._submit(b"no json", "application/json")
    with refused(ProteinClassifierError, "its container failed: .*not valid JSON", text="/aws/sagemaker/Endpoints/"):
        wrong()


@pytest.fixture
def predictor(up, serving):
    """Of an endpoint that has answered nothing since it was checked."""
    predictor = up(image_uri="stub")
    serving.bodies.clear()
    return predictor


def test_an_interrupted_file_keeps_what_is_done_and_resumes(predictor, write_fasta, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART", 10)
    source, output = write_fasta([(f"P{n}", PROTEIN[n % 20 :]) for n in range(35)]), str(tmp_path / "out.csv")
    sent = []

    def invoke(body, kind):
        sent.append(body.count(b"\n"))
        if len(sent) == 4:
            raise KeyboardInterrupt
        return answer_stubbed(body, kind, kind)[2]

    monkeypatch.setattr(predictor, "_invoke", invoke)
    with pytest.raises(KeyboardInterrupt, match="resume to continue after part 2"):
        predictor.predict_file(source, output)
    with pytest.raises(OptionError, match="begun before"):
        predictor.predict_file(source, output)
    sent.clear()
    assert predictor.predict_file(source, output, resume=True).classified == 35
    assert sent == [1, 10, 5]


def test_a_character_that_is_not_a_residue_costs_no_request(predictor, serving):
    with refused(SequenceError, "^sequence 2: '1' at position 3"):
        predictor.predict(["MKT", "MK1"])
    with pytest.raises(SequenceError, match="100,001 residues; the server takes at most 100,000"):
        predictor.predict("M" * 100_001)
    with pytest.raises(SequenceError, match="sequence 2: found int, expected text"):
        predictor.predict(["MKT", 3])
    assert serving.bodies == []


def test_a_list_is_sent_in_requests_within_the_limits(predictor, serving):
    sequences = ["M" * (1 + number % 7) for number in range(3 * module.PROTEINS + 1)] + ["M" * 100_000] * 64
    assert [found["label"] for found in predictor.predict(sequences)] == list(map(len, sequences))
    counts = [len(json.loads(body)["inputs"]) for body in serving.bodies]
    assert sum(counts) == len(sequences) and max(counts) == module.PROTEINS
    assert max(map(len, serving.bodies)) < BODY + 2**16 and len(counts) > 4


def test_a_file_that_is_not_there_costs_no_request(predictor, serving, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        predictor.predict_file(str(tmp_path / "none.fasta"), str(tmp_path / "out.csv"))
    with pytest.raises(OptionError, match="expected a name that ends in"):
        predictor.predict_file(str(tmp_path / "none.fasta"), str(tmp_path / "out.txt"))
    assert serving.bodies == []


# what a container says


def test_a_busy_container_is_asked_again(predictor, serving):
    stubbed(serving, (429, '{"error": "full"}'), (503, "loading"), None)
    assert predictor.predict("MKT") == {"label": 3, "score": 1.0}
    assert len(serving.bodies) == 3


def test_a_request_that_takes_too_long_is_halved(predictor, serving):
    limit = "Your invocation timed out while waiting for a response from container primary."
    usual = serving.stub.answer
    serving.stub.answer = lambda body, kind, accept: (
        usual(body, kind, accept) if len(json.loads(body)["inputs"]) <= 16 else (0, accept, limit.encode())
    )
    assert [found["label"] for found in predictor.predict(["M" * n for n in range(1, 130)])] == list(range(1, 130))
    assert predictor.proteins_per_request == 16
    stubbed(serving, (0, limit))
    with refused(ProteinClassifierError, "no answer within 60 s"):
        predictor.predict(["M", "MK"])


def test_an_endpoint_that_somebody_deleted_is_told_so(up, session):
    predictor = up(image_uri="stub", endpoint_name="vanishing")
    delete_endpoint("vanishing", session)
    with refused(OptionError, "endpoint vanishing: there is none of this name any more"):
        predictor.predict("MKT")


@pytest.mark.parametrize(
    "status, text, expected",
    [
        (413, '{"error": "too large"}', r"its container failed \(413\): too large"),
        (500, '{"code": 500, "message": "out\\n of memory"}', r"failed \(500\): out of memory"),
        (502, "", r"failed \(502\): .*; its log: CloudWatch, /aws/sagemaker/Endpoints/"),
        (200, "<html>", "not an answer of this package"),
        (200, "[]", "not an answer of this package to 1 proteins"),
    ],
)
def test_what_a_container_says_is_one_line_and_not_the_fault_of_the_input(predictor, serving, status, text, expected):
    stubbed(serving, (status, text))
    with refused(ProteinClassifierError, expected) as error:
        predictor.predict("MKT")
    assert not isinstance(error.value, InputError)
