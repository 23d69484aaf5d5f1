"""What a container says, and what becomes of it."""

import json

import pytest

from protbert_classify.errors import InputError, OptionError, ProteinClassifierError
from protbert_classify.sagemaker import delete_endpoint
from protbert_classify.sagemaker.endpoints import invocation

from .endpoints import one_line
from .stubs import calls, said, stubbed

pytestmark = pytest.mark.usefixtures("clean")


@pytest.mark.slow
def test_the_reason_of_a_container_is_told_in_one_line(endpoint):
    with pytest.raises(InputError, match=r"refused \(400\): request: not valid JSON") as error:
        endpoint.channel.ask(invocation.Body(b"no json", "application/json", "application/json"))
    one_line(error)


def test_a_busy_container_is_asked_again(up, serving):
    predictor = up(image_uri="stub")
    stubbed(serving, (429, said('{"error": "full"}')), (503, said("loading")), (200, calls))
    assert predictor.predict("MKT") == {"label": 3, "score": 1.0}
    assert len(serving.bodies) == 3


def test_a_request_that_takes_too_long_is_halved(up, serving):
    predictor = up(image_uri="stub")
    limit = "Your invocation timed out while waiting for a response from container primary."
    serving.stub.answer = lambda body, kind, accept: (
        (200, accept, calls(body)) if len(json.loads(body)["inputs"]) <= 16 else (0, accept, limit.encode())
    )
    assert [call["label"] for call in predictor.predict(["M" * n for n in range(1, 130)])] == list(range(1, 130))
    assert predictor.proteins_per_request == 16
    serving.stub.answer = lambda body, kind, accept: (0, accept, limit.encode())
    with pytest.raises(ProteinClassifierError, match="no answer within 60 s") as error:
        predictor.predict(["M", "MK"])
    one_line(error)


def test_an_endpoint_that_somebody_deleted_is_told_so(up, session):
    predictor = up(image_uri="stub", endpoint_name="vanishing")
    assert predictor.channel  # which it still has
    delete_endpoint("vanishing", session)
    with pytest.raises(OptionError, match="endpoint vanishing: it is gone; somebody deleted it") as error:
        predictor.predict("MKT")
    one_line(error)


@pytest.mark.parametrize(
    "status, text, kind, expected",
    [
        (413, '{"error": "too large"}', InputError, r"refused \(413\): too large"),
        (500, '{"code": 500, "message": "out\\n of memory"}', ProteinClassifierError, r"failed \(500\): out of memory"),
        (502, "", ProteinClassifierError, r"failed \(502\): .*; its log: CloudWatch, /aws/sagemaker/Endpoints/"),
        (200, "<html>", ProteinClassifierError, "no answer of this package"),
        (200, "[]", ProteinClassifierError, "no answer of this package to 1 proteins"),
    ],
)
def test_what_a_container_says_is_one_line(up, serving, status, text, kind, expected):
    predictor = up(image_uri="stub")
    stubbed(serving, (status, said(text)))
    with pytest.raises(kind, match=expected) as error:
        predictor.predict("MKT")
    assert isinstance(error.value, InputError) == (kind is InputError)
    one_line(error)
