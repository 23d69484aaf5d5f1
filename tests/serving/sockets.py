"""A server in this process, and clients that speak to it over raw sockets."""

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager, closing

from protbert_classify.serving.limits import Bounds, Limits
from protbert_classify.serving.server import _Server
from protbert_classify.serving.service import Queueing, Service

from .servers import HOST

PATIENCE = 20  # seconds for what should take none


@asynccontextmanager
async def serving(served, limits=Limits(), queueing=Queueing(), bounds=Bounds()):
    """A server on a free port: its service, and a function that connects to it."""
    service, ready = Service(lambda: served, limits, queueing, bounds), asyncio.Event()
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


async def closed(reader):
    """The seconds until the server closed a connection, and what it sent before."""
    start = time.monotonic()
    try:
        rest = await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionResetError:
        rest = b""
    return time.monotonic() - start, rest


async def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)
