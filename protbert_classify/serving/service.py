"""The life of a server: it loads its model, accepts requests, drains, and ends."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from anyio import CapacityLimiter, to_thread

from ..version import __version__
from .batching import Batcher
from .http_errors import NotReady
from .limits import Bounds, Limits
from .metrics import Metrics
from .requests import Query, read_query
from .responses import answer, check_parameters
from .served import ServedModel
from .uploads import Uploads

logger = logging.getLogger(__name__)

INLINE_BYTES = 1 << 16  # a larger body is parsed, and a larger answer written, off the event loop
INLINE_PROTEINS = 100
LOADING_RETRY = 10  # seconds until a client should try again while the model is loading


class Queueing(NamedTuple):
    """How the proteins of concurrent requests share forward passes.

    Args:
        wait: Seconds that a protein waits for others.
        longest: Most proteins that may wait.
    """

    wait: float = 0.005
    longest: int = 4000


class Service:
    """Answers requests with a model, whatever the transport.

    Args:
        load: Returns the model; called in a thread.
        limits: Limits of a request.
        queueing: How requests share forward passes.
        bounds: Limits of all requests together.
    """

    def __init__(
        self, load: Callable[[], ServedModel], limits: Limits, queueing: Queueing, bounds: Bounds = Bounds()
    ) -> None:
        self.load = load
        self.limits = limits
        self.queueing = queueing
        self.bounds = bounds
        self.uploads = Uploads(bounds.bytes_in_flight, bounds.body_seconds)
        self.served: ServedModel | None = None
        self.batcher: Batcher | None = None
        self.draining = False
        self.metrics = Metrics(
            lambda: self.batcher.waiting if self.batcher else 0,
            lambda: self.uploads.held,
            lambda: self.is_ready,
        )
        self._one_at_a_time: CapacityLimiter | None = None  # made in the event loop
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_ready(self) -> bool:
        """Whether requests are accepted."""
        return self.batcher is not None and not self.draining

    async def start(self) -> None:
        """Load the model; until then requests are refused."""
        # parsing takes up to 35 times the memory of the body; two threads would take twice that, and as long
        self._one_at_a_time = CapacityLimiter(1)
        loaded: Future[ServedModel] = Future()
        # a daemon: stopping the server does not wait for it
        threading.Thread(target=_resolve, args=(loaded, self.load), name="loading", daemon=True).start()
        served = await asyncio.wrap_future(loaded)
        self.served = served
        self.batcher = Batcher(
            lambda encoded: served.logits(encoded, self.metrics.passed),
            tokens=served.tokens_per_batch,
            wait=self.queueing.wait,
            longest=self.queueing.longest,
            waited=self.metrics.queue_seconds.observe,
        )

    def admit(self) -> None:
        """Accept a request, until [`release`]; an accepted request is answered even when the server drains.

        Raises:
            NotReady: The model is still loading, or the server is shutting down.
        """
        if self.draining:
            raise NotReady("the server is shutting down; send the request to another one", 1)
        if self.batcher is None:
            raise NotReady("the model is still loading; try again later", LOADING_RETRY)
        self._in_flight += 1
        self.metrics.in_flight.set(self._in_flight)
        self._idle.clear()

    def release(self) -> None:
        """End a request that was accepted."""
        self._in_flight -= 1
        self.metrics.in_flight.set(self._in_flight)
        if not self._in_flight:
            self._idle.set()

    async def drain(self) -> None:
        """Refuse new requests, and wait until the accepted ones are answered."""
        self.draining = True
        logger.info("draining: %d requests are being answered", self._in_flight)
        await self._idle.wait()

    def close(self) -> None:
        """Answer the queue, and end the model's thread."""
        if self.batcher is not None:
            self.batcher.close()

    def description(self) -> dict[str, Any]:
        """What `GET /model` returns.

        Raises:
            NotReady: The model is still loading.
        """
        if self.served is None:
            raise NotReady("the model is still loading; try again later", LOADING_RETRY)
        limits, bounds = self.limits, self.bounds
        return {
            **self.served.description(),
            "limits": {  # by the names of the options of `serve`
                "max_body": limits.body,
                "max_proteins": limits.proteins,
                "max_residues": limits.residues,
                "max_queue": self.queueing.longest,
                "max_in_flight": bounds.bytes_in_flight,
                "max_connections": bounds.connections,
            },
            "version": __version__,
        }

    async def read(self, body: bytes, content_type: str | None) -> Query:
        """[`read_query`], off the event loop if it takes long."""
        if len(body) <= INLINE_BYTES:
            return read_query(body, content_type, self.limits)
        return await to_thread.run_sync(read_query, body, content_type, self.limits, limiter=self._one_at_a_time)

    async def classify(self, query: Query, kind: str) -> str:
        """The body of the answer to a query, in a format of [`accepted_type`].

        Cancelled, it takes the proteins that still wait out of the queue.

        Raises:
            Unprocessable: Parameters that the format does not have, or that the model cannot satisfy.
            QueueFull: Too many proteins wait already.
        """
        assert self.served is not None and self.batcher is not None, "admit() comes first"
        check_parameters(query, kind)
        self.served.check(query)
        logits = await self.batcher.submit([self.served.encode(record) for record in query.records])
        self.metrics.proteins.inc(len(query.records))
        self.metrics.residues.inc(sum(len(record.residues) for record in query.records))
        decision, truncated = self.served.decide(logits), self.served.truncated(query.records)
        # the first sets import crepes, which takes a second
        if len(decision) <= INLINE_PROTEINS and query.form.parameters.get("sets") is None:
            return answer(query, decision, truncated, kind)
        return await to_thread.run_sync(answer, query, decision, truncated, kind, limiter=self._one_at_a_time)


def _resolve(loaded: Future[ServedModel], load: Callable[[], ServedModel]) -> None:
    loaded.set_running_or_notify_cancel()
    try:
        loaded.set_result(load())
    except Exception as error:
        loaded.set_exception(error)
