"""Limits of the server: on each request, on connections, and on the time that clients take. The queue has its own."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Limits of a request.

    Args:
        body: Bytes of its body, decompressed.
        proteins: Proteins in it.
        residues: Residues of a protein.
    """

    body: int = 6 * 2**20
    proteins: int = 1000
    residues: int = 100_000


class Bounds(NamedTuple):
    """Limits of a server on its connections, and on the time that clients take.

    Args:
        bytes_in_flight: Bytes of the bodies of all unanswered requests together, decompressed.
        connections: Open connections.
        head_bytes: Bytes of a request line with its headers. The parser reads up to 16 KiB more before it looks.
        headers: Headers of a request.
        head_seconds: For a request line and its headers to arrive.
        body_seconds: For a body to arrive.
        answer_seconds: For a client to read its answer.
    """

    bytes_in_flight: int = 64 * 2**20
    connections: int = 5000
    head_bytes: int = 16 * 2**10
    headers: int = 100
    head_seconds: float = 10
    body_seconds: float = 30
    answer_seconds: float = 30
