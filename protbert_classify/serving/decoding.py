"""The body of a request, decompressed as it arrives if it is compressed with gzip."""

import zlib
from collections.abc import Iterator

from ..data.sources import GZIP
from ..errors import DataError
from .http_errors import TooLarge, UnsupportedContent

PIECE = 1 << 16  # bytes that are decompressed at once
WBITS = 16 + zlib.MAX_WBITS  # a gzip header and trailer
ENCODINGS = {"": False, "identity": False, "gzip": True, "x-gzip": True}


class Decoder:
    """Turns the bytes of a body as they come into those that it stands for, in pieces.

    A body that begins like a gzip file is decompressed without being told: SageMaker passes on no `Content-Encoding`,
    and none of the formats begins like that. A file of several members, such as bgzip writes, is read to its end.

    Args:
        compressed: Whether the client says that it is compressed with gzip.
    """

    def __init__(self, compressed: bool = False) -> None:
        self._member = _member() if compressed else None
        self._start: bytes | None = None if compressed else b""  # what came before it was known what it is

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of the body, of 64 KiB at most if they were compressed.

        Raises:
            DataError: Damaged gzip data.
        """
        if self._start is not None:
            data = self._start + data
            if len(data) < len(GZIP):
                self._start = data
                return
            self._start = None
            if data.startswith(GZIP):
                self._member = _member()
        if self._member is None:
            yield data
        else:
            yield from self._decompressed(data)

    def finish(self) -> bytes:
        """What is left at the end of the body.

        Raises:
            DataError: It ends in the middle of gzip data.
        """
        if self._member is not None and not self._member.eof:
            raise DataError("request: the gzip data is incomplete")
        return self._start or b""

    def _decompressed(self, data: bytes) -> Iterator[bytes]:
        assert self._member is not None
        piece = b""
        try:
            while data or len(piece) == PIECE:  # a full piece may not be the last of what was read
                if self._member.eof:
                    data = data.lstrip(b"\0")  # padding
                    if not data:
                        return
                    self._member = _member()
                piece = self._member.decompress(data, PIECE)
                data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
                if piece:
                    yield piece
        except zlib.error as error:
            raise DataError(f"request: not valid gzip data ({error})") from None


def _member() -> "zlib._Decompress":
    return zlib.decompressobj(WBITS)


def is_compressed(content_encoding: str) -> bool:
    """Whether a header says that a body is compressed with gzip.

    Raises:
        UnsupportedContent: Another encoding, or several.
    """
    encoding = content_encoding.strip().lower()
    if encoding not in ENCODINGS:
        raise UnsupportedContent(f"content encoding {encoding[:80]!r}; expected gzip or identity")
    return ENCODINGS[encoding]


def too_large(limit: int) -> TooLarge:
    """The error for a body of more bytes than a request may have."""
    return TooLarge(f"more than {limit:,} bytes; send fewer proteins at once")


def decoded(body: bytes, limit: int) -> bytes:
    """A whole body, decompressed if it is compressed.

    Raises:
        TooLarge: More than `limit` bytes.
        DataError: Damaged gzip data.
    """
    decoder = Decoder()
    pieces = bytearray()
    for piece in decoder.feed(body):
        pieces += piece
        if len(pieces) > limit:
            raise too_large(limit)
    return bytes(pieces + decoder.finish())
