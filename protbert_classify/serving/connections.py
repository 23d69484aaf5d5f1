"""Connections within bounds: how many there are, how large the head of a request is, and how long a client may take.

Requests are parsed by h11, which comes with every installation of uvicorn. It keeps the head of a request within
bounds, which uvicorn's faster parser, httptools, does not; and a forward pass takes much longer than parsing.
"""

import asyncio
import json
import logging
import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Bounds

try:
    import resource
except ImportError:  # on Windows, which has no such limit
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

READ = 1 << 14  # bytes that are read from a connection at once
LINGER = 5.0  # seconds in which a refused client may read why; what it still sends is ignored
OTHER_FILES = 100  # that a server has open besides connections
# Every connection reads into this buffer: what was read is passed on before another one reads. With a buffer of its
# own, asyncio would read up to 256 KiB of each before the application sees any of it.
BUFFER = memoryview(bytearray(READ))


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, with one way to serve wherever it runs, whatever else is installed there.

    Args:
        app: The application.
        bounds: On connections.
    """

    def __init__(self, app: Any, bounds: Bounds) -> None:
        # our own log has a line a request; an answer that uvicorn could not send is still logged
        quiet: dict[str, Any] = {"log_config": None, "log_level": "error", "access_log": False}
        super().__init__(app, http=Connection, loop="asyncio", ws="none", lifespan="off", **quiet)
        self.bounds = bounds


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """A connection that is closed when its client takes too long, and refused when there are too many.

    Args:
        config: With the bounds.
        args: uvicorn's.
        kwargs: uvicorn's.
    """

    def __init__(self, config: ServerConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.bounds = config.bounds
        self.conn: _Parser = _Parser(config.bounds)
        self._awaited: tuple[Any, Any] | None = None  # what is expected of the client, and for which request
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _send_at_once(transport)
        if len(self.connections) > self.bounds.connections:
            self._refuse(503, f"more than {self.bounds.connections:,} connections; try again later", retry_after=1)
            self.transport.close()  # without waiting for the client to read it: the next one comes
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()

    def get_buffer(self, sizehint: int) -> memoryview:
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(BUFFER[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.bounds.answer_seconds, self._abort_if_unread)

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 cannot read, or does not want to."""
        if self.conn.status == 431:
            bounds = self.bounds
            msg = f"the headers have more than {bounds.head_bytes:,} bytes, or there are more than {bounds.headers}"
        self._refuse(self.conn.status, msg)

    def _refuse(self, status: int, reason: str, retry_after: int | None = None) -> None:
        """Answer in place of the application, and close the connection once the client has had time to read that."""
        self._refused = True
        body = json.dumps({"error": reason}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else an answer was sent already
            response = h11.Response(status_code=status, headers=list(headers.items()))
            events = (response, h11.Data(data=body), h11.EndOfMessage())
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._stop_timer()
        self._timer = self.loop.call_later(LINGER, self.transport.abort)
        self.transport.write_eof()

    def _watch(self) -> None:
        """Start the timer when something new is expected of the client."""
        if self._refused:
            return
        state, awaited = self.conn.their_state, None
        if state is h11.SEND_BODY or (state is h11.IDLE and self.timeout_keep_alive_task is None):
            awaited = (state, self.cycle)
        if awaited == self._awaited:
            return
        self._stop_timer()
        self._awaited = awaited
        if awaited is not None and not self.transport.is_closing():
            bounds = self.bounds  # the application itself answers a slow body with 408
            seconds = bounds.head_seconds if state is h11.IDLE else bounds.body_seconds + LINGER
            self._timer = self.loop.call_later(seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(408, f"the headers did not arrive within {self.bounds.head_seconds:g} seconds")
        else:
            self.transport.abort()

    def _abort_if_unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()


def _send_at_once(transport: asyncio.Transport) -> None:
    """Turn off Nagle's algorithm, with which the body of an answer waits 40 ms for the client to acknowledge the head.

    asyncio does this only for sockets whose protocol number is TCP's; `socket.create_server` leaves it 0.
    """
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Parser(h11.Connection):
    """h11's parser, with a limit on the number of headers. It keeps the status for what it refuses."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(h11.SERVER, bounds.head_bytes)
        self.headers = bounds.headers
        self.status = 400

    def next_event(self) -> Any:
        try:
            event = super().next_event()
            if isinstance(event, h11.Request) and len(event.headers) > self.headers:
                raise h11.RemoteProtocolError("too many headers", error_status_hint=431)
        except h11.RemoteProtocolError as error:
            self.status = error.error_status_hint
            raise
        return event


def allow_connections(bounds: Bounds) -> Bounds:
    """Let this process open a file for each connection.

    Returns:
        The bounds, with fewer connections if the system allows fewer files.
    """
    if resource is None:
        return bounds
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = bounds.connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        wanted = hard
        logger.warning("the system allows %d open files (ulimit -n): at most %d connections", hard, hard - OTHER_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return bounds._replace(connections=min(bounds.connections, wanted - OTHER_FILES))
