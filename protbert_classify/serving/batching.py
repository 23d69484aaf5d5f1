"""Dynamic batching: the proteins of concurrent requests share forward passes, computed in one thread."""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from .http_errors import QueueFull

logger = logging.getLogger(__name__)

LONGEST_RETRY = 60  # seconds that a client is told to wait, at most
Compute = Callable[[Sequence[np.ndarray]], np.ndarray]


class _Request:
    """The proteins of one request, answered together when the last of them is computed."""

    def __init__(self, encoded: Sequence[np.ndarray], since: float) -> None:
        self.encoded, self.since = encoded, since
        self.future: Future[np.ndarray] = Future()
        self.future.set_running_or_notify_cancel()  # so that only the thread resolves it
        self.taken = 0
        self.rows: list[np.ndarray | None] = [None] * len(encoded)
        self.left = len(encoded)

    def fill(self, row: int, logits: np.ndarray) -> None:
        self.rows[row] = logits
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(np.stack(self.rows))  # type: ignore[arg-type]  # none is left

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Taken(NamedTuple):
    """A protein of a round."""

    ids: np.ndarray  # (T,)
    row: int
    request: _Request


class Batcher:
    """A queue of requests, and the thread that computes their proteins: one of each request in turn.

    A round takes the proteins that wait, up to `tokens`, as soon as there are so many or the oldest request has waited
    for `wait`. Under load, the next round fills while one is computed. A request of one protein does not wait for a
    request of a thousand.

    Args:
        compute: Token ids of N proteins, (T,) each, to logits, (N, C); called in the thread.
        tokens: Most tokens of a round, padding not counted; a longer protein has a round of its own.
        wait: Seconds that a protein waits for others to share its round.
        longest: Most proteins that may wait.
        waited: Called with the seconds that each protein waited.
    """

    def __init__(
        self,
        compute: Compute,
        *,
        tokens: int,
        wait: float,
        longest: int,
        waited: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        self.compute = compute
        self.tokens = tokens
        self.wait = wait
        self.longest = longest
        self.waited = waited
        self._queue: deque[_Request] = deque()  # the front one has its turn
        self._waiting = self._tokens = 0  # proteins of the queue, and their tokens
        self._rate = math.inf  # tokens a second, of the last round that was half full or more
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Proteins in the queue."""
        return self._waiting

    async def submit(self, encoded: Sequence[np.ndarray]) -> np.ndarray:
        """Logits of the proteins of a request, (N, C); the event loop continues meanwhile.

        Cancelled, it takes the proteins that still wait out of the queue.

        Raises:
            QueueFull: More proteins would wait than may.
        """
        request = self._enqueue(encoded)
        try:
            return await asyncio.wrap_future(request.future)
        except asyncio.CancelledError:
            self._drop(request)
            raise

    def close(self) -> None:
        """Compute what waits, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _enqueue(self, encoded: Sequence[np.ndarray]) -> _Request:
        request = _Request(encoded, time.monotonic())
        with self._changed:
            if self._waiting + len(encoded) > self.longest:
                raise QueueFull(f"{self._waiting:,} proteins wait already; try again later", self._retry_after())
            self._queue.append(request)
            self._waiting += len(encoded)
            self._tokens += sum(map(len, encoded))
            self._changed.notify()
        return request

    def _drop(self, request: _Request) -> None:
        """Forget the proteins of a request that are not being computed."""
        with self._changed:
            if request not in self._queue:  # all were taken
                return
            self._queue.remove(request)
            left = request.encoded[request.taken :]
            self._waiting -= len(left)
            self._tokens -= sum(map(len, left))

    def _retry_after(self) -> int:
        """Seconds until the queue should be empty, at the rate of the last round."""
        return min(max(math.ceil(self._tokens / self._rate), 1), LONGEST_RETRY)

    def _run(self) -> None:
        while proteins := self._next_round():
            start = time.monotonic()
            for protein in proteins:
                self.waited(start - protein.request.since)
            self._compute_round(proteins)
            tokens = sum(len(protein.ids) for protein in proteins)
            if 2 * tokens >= self.tokens or math.isinf(self._rate):  # a small round is mostly overhead
                self._rate = tokens / max(time.monotonic() - start, 1e-6)

    def _next_round(self) -> list[_Taken]:
        """The proteins of the next round; none when closed and done."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return []
                left = min(request.since for request in self._queue) + self.wait - time.monotonic()
                self._changed.wait_for(lambda: self._tokens >= self.tokens or self._closed, timeout=max(left, 0))
                if self._queue:  # else the clients left meanwhile
                    return self._take()

    def _take(self) -> list[_Taken]:
        taken: list[_Taken] = []
        tokens = 0
        while self._queue:
            request = self._queue[0]
            ids = request.encoded[request.taken]
            if taken and tokens + len(ids) > self.tokens:
                break
            taken.append(_Taken(ids, request.taken, request))
            tokens += len(ids)
            request.taken += 1
            self._queue.popleft()
            if request.taken < len(request.encoded):
                self._queue.append(request)
        self._waiting -= len(taken)
        self._tokens -= tokens
        return taken

    def _compute_round(self, proteins: list[_Taken]) -> None:
        try:
            logits = self.compute([protein.ids for protein in proteins])
        except Exception as error:
            if len(proteins) == 1:
                logger.exception("a protein of %d tokens could not be computed", len(proteins[0].ids))
                proteins[0].request.fail(error)
                return
            for protein in proteins:  # each alone: one that cannot be computed must not fail the others
                self._compute_round([protein])
            return
        for protein, row in zip(proteins, logits, strict=True):
            protein.request.fill(protein.row, row)
