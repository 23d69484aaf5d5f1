"""Many clients at once, bodies that nobody should send, and SIGTERM in the middle of it."""

import json
import signal
import time

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from protbert_classify.errors import InputError
from protbert_classify.serving.requests import READERS, read_query

from .clients import finished, start_clients
from .servers import running

pytestmark = pytest.mark.slow

CLIENTS, REQUESTS, PASSES = 64, 10_000, 1250


def scores(answer):
    return {call["label"]: call["score"] for call in answer}


def furthest(found, expected):
    return max(abs(found[label] - expected[label]) for label in expected)


def test_64_clients_get_10000_answers_none_lost_none_mixed_up_in_at_most_1250_passes(model, proteins, tmp_path):
    with running(model, tmp_path) as server:
        alone = finished(start_clients(tmp_path, server.port, proteins, len(proteins), 1))
        singles = {result["protein"]: scores(result["answer"]) for result in alone["results"]}
        assert len(singles) == len(proteins)
        distinct = {tuple(round(score, 4) for score in single.values()) for single in singles.values()}
        assert len(distinct) > 0.95 * len(proteins), "answers must tell proteins apart"
        passes = server.metric("protbert_classify_forward_passes_total")
        assert passes == len(proteins)  # one at a time they share nothing

        crowd = finished(start_clients(tmp_path, server.port, proteins, REQUESTS, CLIENTS))
        assert [result["status"] for result in crowd["results"]] == [200] * REQUESTS
        asked = [result["protein"] for result in crowd["results"]]
        assert sorted(asked) == sorted(number % len(proteins) for number in range(REQUESTS))
        assert max(furthest(scores(r["answer"]), singles[r["protein"]]) for r in crowd["results"]) < 1e-5
        assert server.metric("protbert_classify_forward_passes_total") - passes <= PASSES
        assert server.metric("protbert_classify_proteins_total") == REQUESTS + len(proteins)
        assert server.stop(signal.SIGTERM) == 0


def test_sigterm_under_load_loses_no_accepted_request(model, proteins, tmp_path):
    with running(model, tmp_path) as server:
        expected = {
            number: scores(server.invoke({"inputs": residues, "parameters": {"top_k": None}}).json)
            for number, residues in enumerate(proteins[:20])
        }
        before = server.metric("protbert_classify_requests_total", path="/invocations")
        clients = start_clients(tmp_path, server.port, proteins[:20], 100_000, CLIENTS)
        while server.metric("protbert_classify_requests_total", path="/invocations") < before + 500:
            time.sleep(0.01)
        assert server.stop(signal.SIGTERM) == 0
        results = finished(clients)["results"]
        answered = [result for result in results if result["status"] == 200]
        assert len(answered) > 400
        assert {result["status"] for result in results} <= {200, 503, None}  # None: the door was closed already
        assert not any(result.get("partly") for result in results), "an answer was cut off"
        told = [line["status"] for line in server.log()]
        assert set(told) <= {200, 503}
        assert told.count(200) == before + len(answered), "an accepted request was not answered"
        assert max(furthest(scores(r["answer"]), expected[r["protein"]]) for r in answered) < 1e-5


fragments = st.sampled_from(
    ['{"inputs": ', '"MKT"', "[", "]", "{", "}", ",", ":", '"parameters": ', '"top_k"', "null", "1e999", "-1", ">P1\n"]
    + ["MKT", "\n", "id,sequence\n", '"', "\\ud800", "\x00", "\ufeff", "*", "é", "NaN", "\r", ">", ";", "sequence"]
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(fragments, max_size=12).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass")),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["inputs", "parameters", "top_k", "sequence"]), inner, max_size=3)
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)


def is_readable(body, content_type):
    try:
        read_query(body, content_type)
    except InputError:
        return False
    return True


def test_1000_malformed_bodies_are_refused_and_the_server_goes_on(server):
    seen = []

    @settings(
        max_examples=1000,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    @given(body=bodies, content_type=st.sampled_from([*READERS, "text/plain", "application/json; charset=utf-16"]))
    def refuse(body, content_type):
        assume(content_type not in READERS or not is_readable(body, content_type))
        answer = server.invoke(body, content_type)
        seen.append(answer.status)
        assert 400 <= answer.status < 500, (content_type, body)
        assert list(answer.json) == ["error"] and "Traceback" not in answer.json["error"]

    refuse()
    assert len(seen) >= 1000 and {400, 415, 422} <= set(seen)
    assert server.invoke({"inputs": "MKT"}).status == 200
    assert "Traceback" not in server.errors()
