"""The container contract, asked of a real server in a process of its own on loopback."""

import gzip
import http.client
import json
import shutil
import signal
import socket
import threading
import time

import jsonschema
import pytest
import torch

import protbert_classify
from protbert_classify.inference.saved_classifier import load_classifier

from .servers import HOST, running
from .test_responses import close

LONG = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"


def test_a_load_balancer_may_ask_with_head(server):
    answer = server.request("HEAD", "/ping")
    assert (answer.status, answer.body) == (200, b"")


def test_it_is_ready_when_ping_says_so(server):
    answer = server.request("GET", "/ping")
    assert (answer.status, answer.json) == (200, {"status": "ready"})


@pytest.mark.parametrize("parameters", [{}, {"top_k": None}, {"top_k": 2, "truncation_report": True}, {"sets": 0.3}])
def test_it_gives_the_scores_of_the_pipeline(server, pipe, parameters):
    for inputs in (LONG, ["mkt", "M K V", LONG]):
        answer = server.invoke({"inputs": inputs, "parameters": parameters})
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert close(answer.json, pipe(inputs, **parameters))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/x-fasta", ">P1 one\nMKT\n>P2\nmkv*\n"),
        ("application/x-fasta", ">P1 one\nMKT\n>P2\nmkv*\n"),
        ("text/csv", "id,description,sequence\nP1,one,MKT\nP2,,MKV\n"),
        (
            "application/jsonlines",
            '{"id": "P1", "description": "one", "sequence": "MKT"}\n{"id": "P2", "sequence": "MKV"}',
        ),
    ],
)
def test_every_format_goes_in_and_every_format_comes_out_with_the_same_rows(server, pipe, content_type, body):
    rows = server.invoke(body, content_type).json
    assert [(row["id"], row["description"], row["length"]) for row in rows] == [("P1", "one", 3), ("P2", "", 3)]
    for row, scores in zip(rows, pipe(["MKT", "MKV"], top_k=None), strict=True):
        assert row["location"] == scores[0]["label"]
        assert all(abs(row[each["label"]] - each["score"]) < 1e-5 for each in scores)
    lines = server.invoke(body, content_type, accept="application/jsonlines")
    assert lines.headers["content-type"] == "application/jsonlines"
    assert [json.loads(line) for line in lines.body.splitlines()] == rows
    table = server.invoke(body, content_type, accept="text/csv")
    assert table.headers["content-type"].startswith("text/csv")
    header, *cells = table.body.decode().splitlines()
    assert header == "id,description,length,location,score,Cytoplasm,Mitochondrion,Nucleus,truncated"
    assert [float(line.split(",")[4]) for line in cells] == [row["score"] for row in rows]


@pytest.mark.parametrize("headers", [{"content_encoding": "gzip"}, {}])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/x-fasta", ">P1 one\nMKT\n>P2\nmkv*\n"), ("application/json", '{"inputs": ["MKT", "MKV"]}')],
)
def test_a_gzip_body_gets_the_same_answer(server, headers, content_type, body):
    answer = server.invoke(gzip.compress(body.encode(), mtime=0), content_type, **headers)
    assert (answer.status, answer.json) == (200, server.invoke(body, content_type).json)


@pytest.mark.parametrize(
    ("accepts", "kind"),
    [
        (["text/html", "text/csv"], "text/csv"),
        (["application/jsonlines;q=0.5", "application/json;q=0.4, */*;q=0.1"], "application/jsonlines"),
        (["application/json;q=0", "*/*"], "application/jsonlines"),
    ],
)
def test_several_accept_headers_count_as_one(server, accepts, kind):
    connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
    connection.putrequest("POST", "/invocations")
    for accept in accepts:
        connection.putheader("Accept", accept)
    connection.putheader("Content-Length", "17")
    connection.endheaders(b'{"inputs": "MKT"}')
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("content-type").split(";")[0]) == (200, kind)
    connection.close()


def test_a_client_learns_the_classes_and_limits_of_the_model(server, pipe):
    answer = server.request("GET", "/model")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    task = {"name": "location", "problem_type": "single_label_classification", "thresholds": None}
    limits = {"max_body": 50_000, "max_proteins": 5, "max_residues": 2000, "max_queue": 1000}
    assert answer.json == {
        "backbone": "bert",
        "members": 1,
        "tasks": [{**task, "labels": ["Cytoplasm", "Mitochondrion", "Nucleus"]}],
        "crop": "ends",
        "cropped_to": 20,
        "calibration": None,
        "limits": {**limits, "max_in_flight": 64 * 2**20, "max_connections": 5000},
        "version": protbert_classify.__version__,
    }
    schema = server.request("GET", "/openapi.json").json["paths"]["/model"]["get"]["responses"]["200"]["content"]
    jsonschema.Draft202012Validator(schema["application/json"]["schema"]).validate(answer.json)
    reported = server.invoke({"inputs": ["M" * 20, "M" * 21], "parameters": {"truncation_report": True}}).json
    assert [each["truncated"] for each in reported] == [False, True]


def chunks(count):
    for _ in range(count):
        yield b" " * 1000


@pytest.mark.parametrize(
    ("status", "body", "headers", "words"),
    [
        (400, "{", {}, "request: not valid JSON"),
        (400, {"inputs": ["MKT", "MK1T"]}, {}, "request, record 2 (row_2): '1' at position 3 is not a residue"),
        (400, ">P7\nMKT#\n", {"content_type": "text/x-fasta"}, "request, record 1 (P7): '#' at position 4"),
        (406, {"inputs": "MKT"}, {"accept": "image/png"}, "expected one of application/json"),
        (413, {"inputs": ["MKT"] * 6}, {}, "more than 5 proteins"),
        (413, b" " * 50_001, {}, "more than 50,000 bytes"),
        (413, chunks(1000), {}, "more than 50,000 bytes"),
        (415, "MKT", {"content_type": "text/plain"}, "content type 'text/plain'; expected one of"),
        (415, {"inputs": "MKT"}, {"content_encoding": "br"}, "content encoding 'br'; expected gzip or identity"),
        (400, {"inputs": "MKT"}, {"content_encoding": "gzip"}, "request: not valid gzip data"),
        (413, gzip.compress(b" " * 50_001, mtime=0), {"content_encoding": "gzip"}, "more than 50,000 bytes"),
        (422, {"input": "MKT"}, {}, 'expected {"inputs": "MKT"}'),
        (422, {"inputs": "MKT", "parameters": {"top_k": -1}}, {}, "top_k: expected a whole number from 1"),
        (422, {"inputs": "MKT", "parameters": {"sets": 1}}, {}, "sets: expected a number between 0 and 1, such as 0.1"),
        (422, {"inputs": "M" * 2001}, {}, "request, record 1 (row_1): 2,001 residues; expected at most 2,000"),
        (
            422,
            {"inputs": "M", "parameters": {"top_k": 2}},
            {"accept": "text/csv"},
            "parameters are only for answers in",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_why(server, status, body, headers, words):
    answer = server.invoke(body, **headers)
    assert answer.status == status
    assert list(answer.json) == ["error"] and words in answer.json["error"]


def test_the_largest_request_is_answered(server):
    answer = server.invoke({"inputs": ["M" * 2000] * 5})
    assert (answer.status, len(answer.json)) == (200, 5)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/invocations", 405),
        ("POST", "/ping", 405),
        ("GET", "/", 404),
        ("GET", "/ping/", 404),
        ("GET", "/docs", 404),
    ],
)
def test_other_paths_and_methods_are_refused_in_the_same_way(server, method, path, status):
    answer = server.request(method, path)
    assert (answer.status, list(answer.json)) == (status, ["error"])


def test_openapi_tells_every_format_and_status(server):
    document = server.request("GET", "/openapi.json").json
    assert sorted(document["paths"]) == ["/invocations", "/metrics", "/model", "/ping"]
    operation = document["paths"]["/invocations"]["post"]
    accepted = ["application/json", "application/jsonlines", "application/x-fasta", "text/csv", "text/x-fasta"]
    assert sorted(operation["requestBody"]["content"]) == accepted
    assert sorted(operation["responses"]) == ["200", "400", "406", "408", "413", "415", "422", "429", "500", "503"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["required"] == ["inputs"]


def test_prometheus_finds_what_was_done(server):
    names = {"passes": "protbert_classify_forward_passes_total", "proteins": "protbert_classify_proteins_total"}
    names |= {"residues": "protbert_classify_residues_total", "waited": "protbert_classify_queue_seconds_count"}
    before = {key: server.metric(name) for key, name in names.items()}
    assert server.invoke({"inputs": ["MKT", "MKVAA"]}).status == 200
    after = {key: server.metric(name) - before[key] for key, name in names.items()}
    assert after == {"passes": 1, "proteins": 2, "residues": 8, "waited": 2}
    labels = {"path": "/invocations", "status": "404"}
    assert server.metric("protbert_classify_requests_total", **labels) == 0
    assert server.metric("protbert_classify_ready") == 1
    assert server.metric("protbert_classify_requests_in_flight") == 0
    server.request("GET", "/surprise")
    assert server.metric("protbert_classify_requests_total", path="other", status="404") >= 1


def test_the_log_has_a_line_a_request_and_no_sequence(server):
    server.invoke({"inputs": ["MKTWYWYW", "MKV"]}, x_request_id="r-17")
    server.invoke("MKTWYWYW", "text/x-fasta")
    server.request("GET", "/ping")
    done = next(line for line in server.log() if line.get("request_id") == "r-17")
    assert {name: done[name] for name in ("method", "path", "status", "proteins", "residues")} == {
        "method": "POST",
        "path": "/invocations",
        "status": 200,
        "proteins": 2,
        "residues": 11,
    }
    assert 0 < done["ms"] < 60_000 and done["time"].endswith("Z")
    assert server.log()[-1]["refused"] == "DataError"
    assert "WYWYW" not in server.errors()
    assert not any((line["path"], line["status"]) == ("/ping", 200) for line in server.log())


def test_a_client_who_leaves_harms_nobody(server):
    with socket.create_connection((HOST, server.port)) as client:
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    deadline = time.monotonic() + 10
    while server.metric("protbert_classify_requests_total", status="499") == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.metric("protbert_classify_requests_in_flight") == 0
    assert server.invoke({"inputs": "MKT"}).status == 200
    assert "Traceback" not in server.errors()


def post_in_background(server, answers, body):
    thread = threading.Thread(target=lambda: answers.append(server.invoke(body)))
    thread.start()
    return thread


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_requests_are_refused_while_loading_and_while_the_queue_is_full(model, tmp_path):
    """One server, held at its gates: loading, then a pass, then a failing pass."""
    limits = ["--max_queue", "4", "--max_proteins", "4"]
    with running(model, tmp_path, *limits, held=("loading", "passing")) as server:
        assert server.request("GET", "/ping").json == {"status": "loading"}
        early = server.invoke({"inputs": "MKT"})
        assert (early.status, early.headers["retry-after"]) == (503, "10")
        assert early.json == {"error": "the model is still loading; try again later"}
        assert server.request("GET", "/model").status == 503
        assert server.metric("protbert_classify_ready") == 0
        (tmp_path / "loading").unlink()
        server.wait_for(200)

        answers, threads = [], [post_in_background(server, [], {"inputs": "MKT"})]
        until(lambda: server.metric("protbert_classify_queue_seconds_count") == 1)  # it is being computed
        threads += [post_in_background(server, answers, {"inputs": ["MKT", "MKV"]}) for _ in range(2)]
        until(lambda: server.metric("protbert_classify_queue_proteins") == 4)
        full = server.invoke({"inputs": "MKT"})
        assert (full.status, full.json) == (429, {"error": "4 proteins wait already; try again later"})
        assert 1 <= int(full.headers["retry-after"]) <= 60
        assert server.request("GET", "/ping").status == 200  # the event loop is free
        (tmp_path / "passing").unlink()
        for thread in threads:
            thread.join(30)
        assert [answer.status for answer in answers] == [200, 200]

        (tmp_path / "failing").touch()
        failed = server.invoke({"inputs": "MKT"})
        assert (failed.status, failed.json) == (500, {"error": "internal server error; see the log of the server"})
        assert "secret of the machine" in server.errors()
        (tmp_path / "failing").unlink()
        assert server.invoke({"inputs": "MKT"}).status == 200


def test_a_model_that_diverged_is_the_servers_failure_and_named(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "diverged")
    loaded, _ = load_classifier(folder, "cpu")
    torch.nn.init.constant_(loaded.head[1].weight, float("nan"))
    loaded.save_pretrained(folder / "model")
    with running(str(folder), tmp_path) as server:
        failed = server.invoke({"inputs": ["MKT", "MKV"]})
        assert failed.status == 500
        assert failed.json["error"].startswith(f"the model in {folder}/model gives scores that are not numbers: its tr")


def test_sigterm_answers_what_was_accepted_refuses_what_comes_and_ends_with_0(model, tmp_path):
    with running(model, tmp_path) as server:
        body = json.dumps({"inputs": LONG}).encode()
        slow = http.client.HTTPConnection(HOST, server.port, timeout=30)
        slow.putrequest("POST", "/invocations")
        slow.putheader("Content-Type", "application/json")
        slow.putheader("Content-Length", str(len(body)))
        slow.endheaders(body[:5])
        until(lambda: server.metric("protbert_classify_requests_in_flight") == 1)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.answers() == 503)
        assert server.request("GET", "/ping").json == {"status": "draining"}
        late = server.invoke({"inputs": LONG})
        assert (late.status, late.headers["retry-after"]) == (503, "1")
        assert late.json == {"error": "the server is shutting down; send the request to another one"}
        assert server.process.poll() is None
        slow.send(body[5:])
        answer = slow.getresponse()
        assert (answer.status, list(json.loads(answer.read()))) == (200, ["label", "score"])
        slow.close()
        assert server.process.wait(30) == 0
        assert server.answers() is None


def test_sigterm_while_loading_ends_at_once(model, tmp_path):
    with running(model, tmp_path, held=("loading",)) as server:
        assert server.stop(signal.SIGTERM) == 0


def test_a_second_sigterm_does_not_wait_for_those_who_still_send(model, tmp_path):
    with running(model, tmp_path) as server:
        with socket.create_connection((HOST, server.port)) as client:
            client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            until(lambda: server.metric("protbert_classify_requests_in_flight") == 1)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: server.answers() == 503)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: server.answers() is None)  # its door is closed
        assert server.process.wait(30) == 0
