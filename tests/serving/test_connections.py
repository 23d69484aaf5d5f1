"""Clients that do not play by the rules, over raw sockets against a server in this process."""

import asyncio
import logging
import socket

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from protbert_classify.serving import connections as module
from protbert_classify.serving.connections import Connection, ServerConfig, allow_connections
from protbert_classify.serving.limits import Bounds

from .sockets import answer, ask, closed, head, serving, until


def test_one_parser_is_used_whatever_else_is_installed():
    config = ServerConfig(lambda: None, Bounds())
    config.load()
    assert config.http_protocol_class is Connection and issubclass(Connection, H11Protocol)
    assert config.ws_protocol_class is None
    assert config.get_loop_factory() is asyncio.SelectorEventLoop


def test_the_body_of_an_answer_does_not_wait_until_the_client_acknowledges_its_head(served, monkeypatch):
    made, original = [], Connection.connection_made

    def connection_made(self, transport):
        original(self, transport)
        made.append(transport.get_extra_info("socket"))

    async def scenario():
        async with serving(served) as (_, connect):
            reader, writer = await connect()
            writer.write(head(0, "GET /ping"))
            assert (await answer(reader))[0] == 200
            assert made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            writer.close()

    monkeypatch.setattr(Connection, "connection_made", connection_made)
    asyncio.run(scenario())


async def trickle(writer, data, seconds=0.02):
    for byte in data:
        writer.write(bytes([byte]))
        await asyncio.sleep(seconds)


def test_a_client_that_trickles_its_headers_is_told_and_closed(served):
    async def scenario():
        async with serving(served, bounds=Bounds(head_seconds=0.3)) as (_, connect):
            reader, writer = await connect()
            drops = asyncio.create_task(trickle(writer, b"GET /ping HTTP/1.1\r\n" + b"X-Slow: 1\r\n" * 100))
            status, headers, told = await answer(reader)
            drops.cancel()
            assert (status, headers["connection"]) == (408, "close")
            assert told == {"error": "the headers did not arrive within 0.3 seconds"}
            assert (await closed(reader))[0] < 5
            writer.close()

    asyncio.run(scenario())


def test_a_client_that_says_nothing_is_closed_before_its_first_and_after_its_last_request(served):
    async def scenario():
        async with serving(served, bounds=Bounds(head_seconds=0.3)) as (service, connect):
            reader, writer = await connect()
            seconds, rest = await closed(reader)
            assert 0.2 < seconds < 5 and rest == b""
            writer.close()
            reader, writer = await connect()
            for _ in range(3):  # the time counts anew for each request
                writer.write(head(0, "GET /ping"))
                assert (await answer(reader))[0] == 200
                await asyncio.sleep(0.2)
            writer.write(b"GET /pi")  # begins one more, and does not go on
            seconds, rest = await closed(reader)
            assert 0.2 < seconds < 4 and b"408" in rest.split(b"\r\n")[0]
            writer.close()
            await until(lambda: "protbert_classify_connections 0.0" in service.metrics.text().decode())

    asyncio.run(scenario())


def test_a_request_that_is_being_computed_is_not_given_up(served, monkeypatch):
    """The time is the client's: however long the model takes, the connection stays."""
    import time

    logits = served.logits
    monkeypatch.setattr(served, "logits", lambda *arguments: time.sleep(0.6) or logits(*arguments))
    monkeypatch.setattr(module, "LINGER", 0.0)
    bounds = Bounds(head_seconds=0.2, body_seconds=0.2, answer_seconds=0.2)

    async def scenario():
        async with serving(served, bounds=bounds) as (_, connect):
            assert (await ask(connect, {"inputs": "MKT"}))[0] == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "headers",
    [b"X-Large: " + b"x" * 40_000 + b"\r\n", b"".join(b"X-%d: 1\r\n" % number for number in range(101))],
)
def test_headers_are_bounded_in_size_and_number(served, headers):
    async def scenario():
        async with serving(served) as (_, connect):
            reader, writer = await connect()
            writer.write(b"GET /ping HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
            status, _, told = await answer(reader)
            assert (status, list(told)) == (431, ["error"])
            assert "more than 16,384 bytes, or there are more than 100" in told["error"]
            writer.close()
            reader, writer = await connect()
            writer.write(b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"X-Y: 1\r\n" * 99 + b"\r\n")
            assert (await answer(reader))[0] == 200
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET /ping HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n",
        b"GET /ping HTTP/1.1\r\n\r\n",  # no Host
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
    ],
)
def test_what_is_not_http_is_refused_without_a_trace(served, request_bytes, caplog):
    async def scenario():
        async with serving(served) as (_, connect):
            reader, writer = await connect()
            writer.write(request_bytes + b"\r\n\r\n")
            status, _, told = await answer(reader)
            assert (status, told) == (400, {"error": "Invalid HTTP request received."})
            assert (await closed(reader))[0] < 5
            writer.close()
            assert (await ask(connect, {"inputs": "MKT"}))[0] == 200

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert caplog.records == []


def test_nonsense_after_an_answer_closes_the_connection_without_a_trace(served, caplog):
    async def scenario():
        async with serving(served) as (_, connect):
            reader, writer = await connect()
            writer.write(
                b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            assert (await answer(reader))[0] == 415
            writer.write(b"no length\r\n\r\n")
            assert (await closed(reader))[0] < 5
            writer.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert caplog.records == []


def test_more_connections_than_allowed_are_refused_and_the_others_stay(served):
    async def scenario():
        async with serving(served, bounds=Bounds(connections=3)) as (_, connect):
            clients = [await connect() for _ in range(3)]
            await asyncio.sleep(0.1)
            reader, writer = await connect()
            status, headers, told = await answer(reader)
            assert (status, headers["retry-after"]) == (503, "1")
            assert told == {"error": "more than 3 connections; try again later"}
            assert (await closed(reader))[0] < 5
            writer.close()
            for reader, writer in clients:
                writer.write(head(0, "GET /ping"))
                assert (await answer(reader))[0] == 200
            clients.pop()[1].close()
            await asyncio.sleep(0.1)
            assert (await ask(connect, {"inputs": "MKT"}))[0] == 200
            for _, writer in clients:
                writer.close()

    asyncio.run(scenario())


def test_the_rest_of_a_refused_body_is_ignored_but_not_without_end(served, monkeypatch):
    monkeypatch.setattr(module, "LINGER", 0.3)

    async def scenario():
        async with serving(served, bounds=Bounds(body_seconds=0.2)) as (service, connect):
            reader, writer = await connect()
            writer.write(head(10**9))
            assert (await answer(reader))[0] == 413
            drops = asyncio.create_task(trickle(writer, bytes(1000)))
            seconds, _ = await closed(reader)
            drops.cancel()
            assert 0.2 < seconds < 5
            assert service.uploads.held == 0
            writer.close()

    asyncio.run(scenario())


def test_a_client_that_does_not_read_its_answer_is_closed(served, monkeypatch):
    """Else answers that nobody reads would fill the memory, and the server could not stop."""
    from protbert_classify.serving import service as service_module

    monkeypatch.setattr(service_module, "answer", lambda *_: "x" * 30_000_000)

    async def scenario():
        async with serving(served, bounds=Bounds(answer_seconds=0.3)) as (service, connect):
            reader, writer = await connect()
            reader._transport.pause_reading()
            body = b'{"inputs": "MKT"}'
            writer.write(head(len(body)) + body)
            await until(lambda: "protbert_classify_connections 1.0" in service.metrics.text().decode())
            await until(lambda: "protbert_classify_connections 0.0" in service.metrics.text().decode())
            writer.transport.abort()

    asyncio.run(scenario())


def test_a_process_with_few_files_has_fewer_connections_and_says_so(monkeypatch, caplog):
    resource = pytest.importorskip("resource")
    changed = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: changed.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 1024))
    assert allow_connections(Bounds(connections=5000)).connections == 924
    assert changed == [(1024, 1024)]
    assert "1024 open files (ulimit -n): at most 924 connections" in caplog.text
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, resource.RLIM_INFINITY))
    assert allow_connections(Bounds(connections=5000)).connections == 5000
    assert changed[1:] == [(5100, resource.RLIM_INFINITY)]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (100_000, 100_000))
    assert allow_connections(Bounds(connections=5000)).connections == 5000
    assert len(changed) == 2
