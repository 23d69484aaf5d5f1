"""What a server does about clients that dawdle, are too many, or send much: over sockets, in this process."""

import asyncio
import gzip
import json
import threading
import time

import pytest

from protbert_classify.serving import service as service_module
from protbert_classify.serving.limits import Bounds, Limits
from protbert_classify.serving.service import INLINE_BYTES, INLINE_PROTEINS

from .sockets import PATIENCE, answer, ask, head, serving, until


def test_a_body_that_trickles_in_is_given_up_and_its_bytes_are_free_again(served):
    async def trickle(writer):
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.02)

    async def scenario():
        async with serving(served, bounds=Bounds(body_seconds=0.3)) as (service, connect):
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
            assert service.uploads.held == 0
            assert (await ask(connect, {"inputs": "MKT"}))[0] == 200
            assert 'requests_total{path="/invocations",status="408"} 1.0' in service.metrics.text().decode()

    asyncio.run(scenario())


def upload(length):
    """A JSON request of so many bytes."""
    return json.dumps({"inputs": "MKT"}).encode().ljust(length)


def test_bytes_of_all_requests_are_bounded_and_of_many_large_ones_the_first_are_completed(served):
    """Else clients that send large bodies at the same time would fill the memory."""

    async def scenario():
        body, bounds = upload(1_000_000), Bounds(bytes_in_flight=2_500_000)
        async with serving(served, bounds=bounds) as (service, connect):
            clients = [await connect() for _ in range(4)]
            for number, (_, writer) in enumerate(clients):
                writer.write(head(len(body)) + body[:700_000])
                if number < 3:
                    await until(lambda expected=700_000 * (number + 1): service.uploads.held == expected)
            status, headers, told = await answer(clients[3][0])
            assert (status, headers["retry-after"]) == (503, "1")
            assert told == {
                "error": "the server holds as many bytes of requests as it may (2,500,000); try again later"
            }
            assert service.uploads.held == 2_100_000
            assert "protbert_classify_bytes_in_flight 2.1e+06" in service.metrics.text().decode()
            assert (await ask(connect, {"inputs": "MKT"}))[0] == 200
            for _, writer in clients[:2]:
                writer.write(body[700_000:])
            for reader, _ in clients[:2]:
                assert (await answer(reader))[0] == 200
            clients[3][1].write(body[700_000:])  # the rest of what was refused is ignored
            clients[3][1].write(head(len(body)) + body)
            for reader, _ in (clients[3],):
                assert (await answer(reader))[0] == 200
            for _, writer in clients:
                writer.close()
            await until(lambda: service.uploads.held == 0)

    asyncio.run(scenario())


def test_a_small_gzip_body_that_would_fill_the_memory_is_refused(served):
    async def scenario():
        bomb = gzip.compress(b" " * 20_000_000, mtime=0)
        assert len(bomb) < 50_000
        async with serving(served, Limits(body=1_000_000)) as (service, connect):
            reader, writer = await connect()
            writer.write(head(len(bomb)).replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + bomb)
            status, _, told = await answer(reader)
            assert (status, told) == (413, {"error": "more than 1,000,000 bytes; send fewer proteins at once"})
            writer.close()
            await until(lambda: service.uploads.held == 0)

    asyncio.run(scenario())


def test_proteins_of_a_client_that_left_are_not_computed(served, monkeypatch):
    """Else a client that gives up and tries again would double the load each time."""
    computed, gate = [], threading.Event()
    logits = served.logits

    def held(encoded, passed):
        computed.append(len(encoded))
        assert gate.wait(PATIENCE)
        return logits(encoded, passed)

    monkeypatch.setattr(served, "logits", held)

    async def scenario():
        async with serving(served) as (service, connect):
            first = asyncio.create_task(ask(connect, {"inputs": "MKT"}))
            await until(lambda: computed == [1])
            _, leaving = await connect()
            body = json.dumps({"inputs": ["MKT"] * 50}).encode()
            leaving.write(head(len(body)) + body)
            await until(lambda: service.batcher.waiting == 50)
            staying = asyncio.create_task(ask(connect, {"inputs": ["MKV"] * 3}))
            await until(lambda: service.batcher.waiting == 53)
            leaving.close()
            await until(lambda: service.batcher.waiting == 3)
            assert service.uploads.held > 0
            gate.set()
            assert (await first)[0] == 200
            status, _, predictions = await staying
            assert (status, len(predictions)) == (200, 3)
            assert 'requests_total{path="/invocations",status="499"} 1.0' in service.metrics.text().decode()

    asyncio.run(scenario())
    assert computed == [1, 3]


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
            status, _, predictions = await large
            assert (status, len(predictions)) == (200, len(request_body["inputs"]))

    asyncio.run(scenario())
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()  # what is small is done at once
