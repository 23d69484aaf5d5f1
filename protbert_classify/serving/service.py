"""The life of a server: it loads its model, takes requests, drains, and ends."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from anyio import to_thread

from .batching import Batcher
from .http_errors import NotReady, QueueFull
from .metrics import Metrics
from .requests import Limits, Query, read_query
from .responses import answer, check_parameters
from .served import ServedModel

logger = logging.getLogger(__name__)

INLINE_BYTES = 1 << 16  # a larger body is read, and a larger answer written, off the event loop
INLINE_PROTEINS = 100
LOADING_RETRY = 10  # seconds until a client should ask again whether the model is loaded


class Queueing(NamedTuple):
    """How proteins of concurrent requests meet.

    Args:
        wait: Seconds that a lone protein waits for company.
        longest: Proteins that may wait.
    """

    wait: float = 0.005
    longest: int = 4000


class Service:
    """Answers requests with a model, whatever the transport.

    Args:
        load: Returns the model; called in a thread.
        limits: What a request may have.
        queueing: How requests share forward passes.
    """

    def __init__(self, load: Callable[[], ServedModel], limits: Limits, queueing: Queueing) -> None:
        self.load = load
        self.limits = limits
        self.queueing = queueing
        self.served: ServedModel | None = None
        self.batcher: Batcher | None = None
        self.draining = False
        self.metrics = Metrics(lambda: self.batcher.waiting if self.batcher else 0, lambda: self.is_ready)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken."""
        return self.batcher is not None and not self.draining

    async def start(self) -> None:
        """Load the model; until then requests are refused."""
        loaded: Future[ServedModel] = Future()
        # a daemon, which no one who stops the server waits for
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
        """Take a request, which [`release`] ends; what was admitted is answered, even when draining.

        Raises:
            NotReady: The model is being loaded, or the server is about to stop.
            QueueFull: As many requests are being read or answered as proteins may wait.
        """
        if self.draining:
            raise NotReady("the server is about to stop; ask another one", 1)
        if self.batcher is None:
            raise NotReady("the model is being loaded; try again later", LOADING_RETRY)
        if self._in_flight >= self.queueing.longest:
            raise QueueFull(f"{self._in_flight:,} requests are being answered; try again later", 1)
        self._in_flight += 1
        self.metrics.in_flight.set(self._in_flight)
        self._idle.clear()

    def release(self) -> None:
        """A request that was admitted is answered."""
        self._in_flight -= 1
        self.metrics.in_flight.set(self._in_flight)
        if not self._in_flight:
            self._idle.set()

    async def drain(self) -> None:
        """Refuse new requests, and wait until those that were admitted are answered."""
        self.draining = True
        logger.info("draining: %d requests are being answered", self._in_flight)
        await self._idle.wait()

    def close(self) -> None:
        """End the model's thread."""
        if self.batcher is not None:
            self.batcher.close()

    async def read(self, body: bytes, content_type: str | None) -> Query:
        """[`read_query`], off the event loop if it takes long."""
        if len(body) <= INLINE_BYTES:
            return read_query(body, content_type, self.limits)
        return await to_thread.run_sync(read_query, body, content_type, self.limits)

    async def classify(self, query: Query, kind: str) -> str:
        """The body of the answer to a query, in a format of [`accepted_type`].

        Raises:
            Unprocessable: The format cannot do what is asked.
            QueueFull: Too many proteins wait already.
        """
        assert self.served is not None and self.batcher is not None, "admit() comes first"
        check_parameters(query, kind)
        logits = await self.batcher.submit([self.served.encode(record) for record in query.records])
        self.metrics.proteins.inc(len(query.records))
        self.metrics.residues.inc(sum(len(record.residues) for record in query.records))
        decision, truncated = self.served.decide(logits), self.served.truncated(query.records)
        if len(decision) <= INLINE_PROTEINS:
            return answer(query, decision, truncated, kind)
        return await to_thread.run_sync(answer, query, decision, truncated, kind)


def _resolve(loaded: Future[ServedModel], load: Callable[[], ServedModel]) -> None:
    loaded.set_running_or_notify_cancel()
    try:
        loaded.set_result(load())
    except Exception as error:
        loaded.set_exception(error)
