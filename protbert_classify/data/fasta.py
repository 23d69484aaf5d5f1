"""Reads FASTA. The records are those of the packaged parser of `datasets`, which takes half a second to import."""

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from typing import Any

from ..errors import DataError
from .records import UNDECODED, Place, Record, checked
from .sources import open_plain_or_gzip

# what follows the accession in DeepLoc's files
DEEPLOC_HEADER = re.compile(r"(?P<location>\S+)-(?P<membrane>[MSU])(?: +(?P<test>test|new_test_set))?")
PARSER_VERSION = 1  # raise it when records would be read differently than before: caches are then made again


def read_fasta(path: str, name: str | None = None, opener: Callable[..., Any] = open_plain_or_gzip) -> Iterator[Record]:
    """The records of a FASTA file, checked.

    Args:
        path: What `opener` opens in binary mode.
        name: The file's name in messages; the last part of `path` if None.
        opener: Opens the file for reading bytes; `datasets`' streaming replaces it.

    Raises:
        DataError: Not a FASTA file, no record, or a record without accession or residues.
        SequenceError: A character that is not a residue.
    """
    for record in parse_fasta(path, name, opener):
        yield checked(record)


def parse_fasta(
    path: str, name: str | None = None, opener: Callable[..., Any] = open_plain_or_gzip
) -> Iterator[Record]:
    """The records of a FASTA file, unchecked; for the arguments see [`read_fasta`].

    Raises:
        DataError: Not a FASTA file, or no record.
    """
    name = name or os.path.basename(path)
    # old databases have Latin-1 in their headers; a byte that cannot be decoded among residues is refused
    reader = partial(TextIOWrapper, encoding="utf-8-sig", errors="replace", newline="")
    with fasta_errors(name), opener(path, "rb") as stream, reader(stream) as lines:
        for number, record in enumerate(split_records(_from_first_header(lines, name)), 1):
            accession, description, sequence = record
            yield Record(Place(name, number, accession), description, sequence)


def split_records(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Accession, description and residues of each record, one at a time.

    The accession is the first word of a header. Whitespace among residues, lines that begin with `;` and what comes
    before the first header are left out.

    Args:
        lines: The lines of a text, with their ends or without.
    """
    header: str | None = None
    residues: list[str] = []
    for line in lines:
        if line.startswith(">"):
            if header is not None:
                yield (*_words(header), "".join(residues))
            header, residues = line, []
        elif header is not None and not line.startswith(";"):
            residues.append("".join(line.split()))
    if header is not None:
        yield (*_words(header), "".join(residues))


def _words(header: str) -> tuple[str, str]:
    accession, *description = header.rstrip()[1:].split(None, 1) or [""]
    return accession, "".join(description)


@contextmanager
def fasta_errors(name: str) -> Iterator[None]:
    """Raise the errors of a damaged gzip file as one line."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise _no_text(name) from None


def _no_text(name: str) -> DataError:
    return DataError(f"{name}: not a text file, or damaged; expected FASTA, plain or compressed with gzip")


def _from_first_header(lines: Iterable[str], name: str) -> Iterator[str]:
    lines = iter(lines)
    for line in lines:
        if line.startswith(">"):
            yield line
            yield from lines
            return
        if line.strip() and not line.startswith(";"):  # blank lines and comments may come first
            if UNDECODED in line or "\0" in line:
                raise _no_text(name)
            raise DataError(f"{name}: no FASTA file: it begins with {line.strip()[:30]!r}; expected '>ACCESSION ...'")
    raise DataError(f"{name}: no records; expected FASTA, '>ACCESSION ...' and residues")
