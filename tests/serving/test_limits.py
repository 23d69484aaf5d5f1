"""What a server does about clients that dawdle, are too many, or send much: over sockets, in this process."""

import asyncio
import json
import socket
import threading
import time
from contextlib import asynccontextmanager, closing

import pytest

from protbert_classify.inference.saved_classifier import load_classifier
from protbert_classify.serving import app
from protbert_classify.serving import service as service_module
from protbert_classify.serving.requests import Limits
from protbert_classify.serving.served import ServedModel
from protbert_classify.serving.server import _Server
from protbert_classify.serving.service import INLINE_BYTES, INLINE_PROTEINS, Queueing, Service

from .servers import HOST

PATIENCE = 20  # seconds for what should take none


@pytest.fixture(scope="module")
def served(model):
    return ServedModel(*load_classifier(model, "cpu"))


@asynccontextmanager
async def serving(served, limits=Limits(), queueing=Queueing()):
    """A server on a free port: its service and a function that asks it."""
    service, ready = Service(lambda: served, limits, queueing), asyncio.Event()
    with closing(socket.create_server((HOST, 0))) as listener:
        port = listener.getsockname()[1]
        server = _Server(service, ready.set)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.wait_for(ready.wait(), PATIENCE)
        try:
            yield service, lambda: asyncio.open_connection(HOST, port)
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, PATIENCE)


def head(length, path="POST /invocations"):
    return f"{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


async def answer(reader):
    """Status, headers and JSON of an answer."""
    lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), PATIENCE)
    return int(lines[0].split()[1]), headers, json.loads(body)


async def ask(connect, value=None, path="POST /invocations"):
    reader, writer = await connect()
    body = b"" if value is None else json.dumps(value).encode()
    writer.write(head(len(body), path) + body)
    try:
        return await answer(reader)
    finally:
        writer.close()


async def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


def test_a_body_that_trickles_in_is_given_up_and_its_place_is_free_again(served, monkeypatch):
    monkeypatch.setattr(app, "BODY_SECONDS", 0.3)

    async def trickle(writer):
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.02)

    async def scenario():
        async with serving(served, queueing=Queueing(longest=1), limits=Limits(proteins=1)) as (service, connect):
            reader, writer = await connect()
            start = time.monotonic()
            writer.write(head(1000))
            drops = asyncio.create_task(trickle(writer))
            status, _, told = await answer(reader)
            assert 0.2 < time.monotonic() - start < 10
            drops.cancel()
            writer.close()
            assert (status, told) == (408, {"error": "the body did not arrive within 0.3 seconds"})
            await until(lambda: service._in_flight == 0)
            assert (await ask(connect, {"inputs": "MKT"}))[0] == 200
            assert 'requests_total{path="/invocations",status="408"} 1.0' in service.metrics.text().decode()

    asyncio.run(scenario())


def test_as_many_requests_are_open_as_proteins_may_wait_and_no_more(served):
    """Else clients that only begin a request would fill the memory."""

    async def scenario():
        body = json.dumps({"inputs": "MKT"}).encode()
        async with serving(served, Limits(proteins=3), Queueing(longest=3)) as (service, connect):
            open_ones = [await connect() for _ in range(3)]
            for _, writer in open_ones:
                writer.write(head(len(body)) + body[:4])
            await until(lambda: service._in_flight == 3)
            status, headers, told = await ask(connect, {"inputs": "MKT"})
            assert (status, told) == (429, {"error": "3 requests are being answered; try again later"})
            assert headers["retry-after"] == "1"
            assert (await ask(connect, path="GET /ping"))[0] == 200
            open_ones[0][1].write(body[4:])
            assert (await answer(open_ones[0][0]))[0] == 200
            assert (await ask(connect, {"inputs": "MKT"}))[0] == 200
            for reader, writer in open_ones[1:]:
                writer.write(body[4:])
                assert (await answer(reader))[0] == 200
            for _, writer in open_ones:
                writer.close()

    asyncio.run(scenario())


LARGE = {"inputs": ["M" * 1000] * (INLINE_BYTES // 1000 + 1)}
MANY = {"inputs": ["MKT"] * (INLINE_PROTEINS + 1)}


@pytest.mark.parametrize(("step", "request_body"), [("read_query", LARGE), ("answer", MANY)])
def test_others_are_answered_while_a_large_request_is_read_or_its_answer_written(
    served, monkeypatch, step, request_body
):
    original, threads, gate = getattr(service_module, step), [], threading.Event()

    def held(*arguments):
        threads.append(threading.current_thread())
        if len(threads) == 1:
            assert gate.wait(PATIENCE)
        return original(*arguments)

    monkeypatch.setattr(service_module, step, held)

    async def scenario():
        async with serving(served) as (_, connect):
            large = asyncio.create_task(ask(connect, request_body))
            await until(lambda: threads)
            assert (await ask(connect, path="GET /ping"))[0] == 200
            small = await ask(connect, {"inputs": "MKT"})
            assert small[0] == 200 and not large.done()
            gate.set()
            status, _, calls = await large
            assert (status, len(calls)) == (200, len(request_body["inputs"]))

    asyncio.run(scenario())
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()  # what is small is done at once
