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

from .refusals import QueueFull

logger = logging.getLogger(__name__)

LONGEST_RETRY = 60  # seconds that a client is told to wait, at most
Compute = Callable[[Sequence[np.ndarray]], np.ndarray]


class _Request:
    """The proteins of one request, answered together when the last of them is computed."""

    def __init__(self, proteins: int) -> None:
        self.future: Future[np.ndarray] = Future()
        self.rows: list[np.ndarray | None] = [None] * proteins
        self.left = proteins

    def fill(self, row: int, scores: np.ndarray) -> None:
        self.rows[row] = scores
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(np.stack(self.rows))  # type: ignore[arg-type]  # none is left

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Waiting(NamedTuple):
    """A protein in the queue."""

    ids: np.ndarray  # (T,)
    row: int
    request: _Request
    since: float


class Batcher:
    """A queue of proteins and the thread that computes them, oldest first.

    A round takes what waits, up to `tokens`, once these are there or the oldest protein has waited for `wait`. Under
    load, a round is filled while the one before is computed, and nothing waits longer than it must.

    Args:
        compute: Token ids of N proteins, (T,) each, to scores, (N, C); called in the thread.
        tokens: Of a round, at most, padding not counted; a longer protein goes alone.
        wait: Seconds that a lone protein waits for company.
        longest: Proteins that may wait.
        waited: Told how many seconds each protein waited.
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
        self._queue: deque[_Waiting] = deque()
        self._tokens = 0  # of the queue
        self._rate = math.inf  # proteins a second, of the last round
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Proteins in the queue."""
        return len(self._queue)

    async def submit(self, encoded: Sequence[np.ndarray]) -> np.ndarray:
        """Scores of the proteins of a request, (N, C); the event loop goes on meanwhile.

        Raises:
            QueueFull: More proteins would wait than may.
        """
        return await asyncio.wrap_future(self._enqueue(encoded))

    def close(self) -> None:
        """Compute what waits, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _enqueue(self, encoded: Sequence[np.ndarray]) -> Future[np.ndarray]:
        request, now = _Request(len(encoded)), time.monotonic()
        with self._changed:
            waiting = len(self._queue)
            if waiting + len(encoded) > self.longest:
                raise QueueFull(f"{waiting:,} proteins wait already; try again later", self._retry_after(waiting))
            self._queue.extend(_Waiting(ids, row, request, now) for row, ids in enumerate(encoded))
            self._tokens += sum(map(len, encoded))
            self._changed.notify()
        return request.future

    def _retry_after(self, waiting: int) -> int:
        """Seconds after which the queue should be empty, at the rate of the last round."""
        return min(max(math.ceil(waiting / self._rate), 1), LONGEST_RETRY)

    def _run(self) -> None:
        while proteins := self._next_round():
            start = time.monotonic()
            for protein in proteins:
                self.waited(start - protein.since)
            self._compute_round(proteins)
            self._rate = len(proteins) / max(time.monotonic() - start, 1e-6)

    def _next_round(self) -> list[_Waiting]:
        """The proteins of the next round; none when closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return []
            left = self._queue[0].since + self.wait - time.monotonic()
            self._changed.wait_for(lambda: self._tokens >= self.tokens or self._closed, timeout=max(left, 0))
            taken = [self._queue.popleft()]
            tokens = len(taken[0].ids)
            while self._queue and tokens + len(self._queue[0].ids) <= self.tokens:
                taken.append(self._queue.popleft())
                tokens += len(taken[-1].ids)
            self._tokens -= tokens
            return taken

    def _compute_round(self, proteins: list[_Waiting]) -> None:
        try:
            scores = self.compute([protein.ids for protein in proteins])
        except Exception as error:
            if len(proteins) == 1:
                logger.exception("a protein of %d tokens could not be computed", len(proteins[0].ids))
                proteins[0].request.fail(error)
                return
            for protein in proteins:  # each alone: one that cannot be computed must not fail the others
                self._compute_round([protein])
            return
        for protein, row in zip(proteins, scores, strict=True):
            protein.request.fill(protein.row, row)
