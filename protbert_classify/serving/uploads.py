"""The bytes of all requests that a server holds, and which request gives way when there are too many."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from .http_errors import TooBusy, TooSlow

SMALL = 1 << 16  # bytes; a larger body gives way before a smaller one
SLOW = 5.0  # seconds; a body that has been arriving for longer gives way first
RETRY = 1  # seconds until a client that was refused should try again


class Uploads:
    """Counts the bytes of the bodies of all unanswered requests, as they arrive.

    When a body would take the sum over the limit, one that is still arriving is refused, and its bytes are freed: the
    oldest if it has been arriving for more than 5 seconds, else the newest of those larger than 64 KiB, else the
    oldest. Clients that send slowly can therefore not keep others out, and of many large requests at once the first
    ones are completed. A body that has arrived is never dropped.

    Args:
        limit: Bytes of all bodies together.
        seconds: For a body to arrive.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self.held = 0
        self._arriving: dict[Upload, None] = {}  # those with bytes, the oldest first

    @contextmanager
    def begin(self) -> Iterator["Upload"]:
        """The body of a request; its bytes count until the end of the block."""
        upload = Upload(self)
        try:
            yield upload
        finally:
            self.release(upload)

    def add(self, upload: "Upload", count: int) -> None:
        """Count bytes of a body that is arriving; make room for them."""
        self._arriving.setdefault(upload)
        upload.held += count
        self.held += count
        while self.held > self.limit and not upload.is_refused:
            self._next_to_go().refuse()

    def release(self, upload: "Upload") -> None:
        """Free the bytes of a body."""
        self.complete(upload)
        self.held -= upload.held
        upload.held = 0
        upload.pieces.clear()

    def complete(self, upload: "Upload") -> None:
        """A body that has arrived, or will not, no longer gives way."""
        self._arriving.pop(upload, None)

    def _next_to_go(self) -> "Upload":
        oldest = next(iter(self._arriving))
        if asyncio.get_running_loop().time() - oldest.since > SLOW:
            return oldest
        return next((upload for upload in reversed(self._arriving) if upload.held > SMALL), oldest)


class Upload:
    """The body of one request, from its first byte until the request is answered.

    The pieces are kept here and nowhere else, so that they are freed at once when the body is refused; the traceback of
    the refusal may live longer.
    """

    def __init__(self, uploads: Uploads) -> None:
        self.uploads = uploads
        self.held = 0  # bytes
        self.pieces: list[bytes] = []
        self.since = asyncio.get_running_loop().time()
        self.is_refused = False
        self._timeout = asyncio.timeout(uploads.seconds)

    @asynccontextmanager
    async def arriving(self) -> AsyncIterator[None]:
        """Around what receives the body.

        Raises:
            TooSlow: The body did not arrive in time.
            TooBusy: It had to give way.
        """
        try:
            async with self._timeout:
                yield
        except TimeoutError:
            if not self.is_refused:
                raise TooSlow(f"the body did not arrive within {self.uploads.seconds:g} seconds") from None
        finally:
            self.uploads.complete(self)
        self._check()

    def add(self, piece: bytes) -> None:
        """Keep bytes that have arrived.

        Raises:
            TooBusy: The body had to give way.
        """
        self._check()
        if piece:
            self.pieces.append(piece)
            self.uploads.add(self, len(piece))
            self._check()

    def take(self) -> bytes:
        """The body that has arrived; its bytes count until the request is answered."""
        body = b"".join(self.pieces)
        self.pieces.clear()
        return body

    def refuse(self) -> None:
        """Free the bytes; whoever waits in [`arriving`] gets [`TooBusy`]."""
        self.is_refused = True
        self.uploads.release(self)
        self._timeout.reschedule(asyncio.get_running_loop().time())

    def _check(self) -> None:
        if self.is_refused:
            limit = self.uploads.limit
            raise TooBusy(f"the server holds as many bytes of requests as it may ({limit:,}); try again later", RETRY)
