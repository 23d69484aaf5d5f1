"""A server from its first to its last request: it listens, loads its model, and drains when it is told to stop."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from types import FrameType

import uvicorn
from anyio import to_thread

from ..errors import OptionError, ProteinClassifierError
from ..inference.saved_classifier import load_classifier
from .app import build_app
from .connections import ServerConfig, allow_connections
from .limits import Bounds, Limits
from .served import ServedModel
from .service import Queueing, Service


def serve(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    limits: Limits = Limits(),
    queueing: Queueing = Queueing(),
    bounds: Bounds = Bounds(),
    tokens_per_batch: int | None = None,
    device: str | None = None,
    precision: str = "auto",
    compiled: bool = False,
    ready: Callable[[str], object] = print,
) -> None:
    """Serve a classifier until SIGTERM; then answer the accepted requests, and return.

    Args:
        model: The folder of a run or of a model, or a Hub id.
        host: Address to listen on. There is no authentication, so use another than loopback only in a trusted network.
        port: 0 for any free port.
        limits: Limits of a request.
        queueing: How requests share forward passes.
        bounds: Limits of all requests together.
        tokens_per_batch: Most tokens of a forward pass; what suits the device if None.
        device: `cpu`, `cuda`, ...; the GPU if there is one.
        precision: What the model computes in; see [`set_precision`].
        compiled: Use torch.compile.
        ready: Called with the server's URL once the model is loaded.

    Raises:
        InputError: A model or an option that cannot be used, or a port that is in use.
        KeyboardInterrupt: Ctrl-C; the accepted requests were answered.
    """
    if queueing.longest < limits.proteins:
        raise OptionError(
            f"max_queue={queueing.longest}: expected at least max_proteins={limits.proteins}, the proteins of a request"
        )
    if bounds.bytes_in_flight < limits.body:
        raise OptionError(
            f"max_in_flight={bounds.bytes_in_flight}: expected at least max_body={limits.body}, the bytes of a request"
        )
    bounds = allow_connections(bounds)

    def load() -> ServedModel:
        return ServedModel(*load_classifier(model, device, precision, compiled), tokens_per_batch)

    with closing(_listening(host, port)) as listener:
        url = _url(host, listener.getsockname()[1])
        server = _Server(Service(load, limits, queueing, bounds), lambda: ready(url))
        server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure


class _Server(uvicorn.Server):
    """Loads the model while it answers /ping, and drains before it stops listening.

    uvicorn itself stops listening first, so a load balancer could not learn from /ping to send requests elsewhere.
    """

    def __init__(self, service: Service, ready: Callable[[], object]) -> None:
        super().__init__(ServerConfig(build_app(service), service.bounds))
        service.metrics.connections.set_function(lambda: len(self.server_state.connections))
        self.service = service
        self.ready = ready
        self.failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._begin_loading()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if not self.force_exit:
            await to_thread.run_sync(self.service.close)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM:
            super().handle_exit(sig, frame)  # which raises KeyboardInterrupt in the end
        elif self._loop is None or self.service.draining:
            self.should_exit = True  # not started, or the second signal: do not wait for unfinished bodies
        else:
            self.service.draining = True
            self._loop.call_soon_threadsafe(self._begin_draining)

    def _begin_loading(self) -> None:
        self._tasks.append(asyncio.create_task(self._load()))

    def _begin_draining(self) -> None:
        self._tasks.append(asyncio.create_task(self._drain()))

    async def _load(self) -> None:
        try:
            await self.service.start()
        except Exception as error:
            self.failure, self.should_exit = error, True
        else:
            self.ready()

    async def _drain(self) -> None:
        await self.service.drain()
        self.should_exit = True


def _listening(host: str, port: int) -> socket.socket:
    """A bound socket: whether the port is in use is known before the model is loaded."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise OptionError(f"port {port} of {host} is in use; choose another one with --port") from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise ProteinClassifierError(f"cannot listen on {host}, port {port}: {reason}") from None


def _url(host: str, port: int) -> str:
    """Where a client on this machine finds the server."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
