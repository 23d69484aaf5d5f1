"""Protein records of files: read, checked, and named in every complaint."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DataError, ProteinClassifierError, SequenceError
from .alphabet import clean
from .fasta import split_records

if TYPE_CHECKING:
    from datasets import Features

PARSER_VERSION = 1  # raise it when records would be read otherwise than before: caches are then made again
UNDECODED = "\ufffd"  # what stands for a byte that is no UTF-8
GZIP = b"\x1f\x8b"  # how a gzip file begins
NO_ANSWERS = ("id", "sequence", "sequence_length", "is_train")  # columns that every labelled dataset here has


def protein_features(answers: Mapping[str, Any]) -> "Features":
    """The columns of a labelled dataset; `sequence` is upper case and spaced.

    Args:
        answers: Column -> feature, of those with labels.
    """
    from datasets import Features, Value  # half a second, and predicting reads FASTA without it

    return Features(
        {
            "id": Value("string"),
            "sequence": Value("string"),
            "sequence_length": Value("int32"),
            **answers,
            "is_train": Value("bool"),
        }
    )


class Place(NamedTuple):
    """Where a record stands: file, number from 1, accession."""

    file: str
    number: int
    accession: str

    def __str__(self) -> str:
        return f"{self.file}, record {self.number} ({self.accession or 'no accession'})"


class Record(NamedTuple):
    """One protein: where it stands, the rest of its header, its residues (once checked: upper case, no spaces)."""

    place: Place
    description: str
    residues: str


@contextmanager
def plain_errors(source: str) -> Iterator[None]:
    """What `datasets` raises, made plain: no data or a failed download in one line, a wrapped cause as itself.

    Raises:
        DataError: There is no such dataset, or nothing in it.
        ProteinClassifierError: The download failed.
    """
    try:
        yield
    except _failed_builders() as error:  # a full disk, say
        raise (error.__cause__ or error) from None
    except _no_data() as error:
        raise DataError(f"{source}: {str(error).splitlines()[0]}") from None
    except _no_network() as error:
        raise ProteinClassifierError(
            f"{source}: could not be downloaded ({' '.join(str(error).split())}); "
            "check the network, or download the file elsewhere and give its path"
        ) from error


# what `datasets` raises, imported only once something was raised: it takes half a second


def _failed_builders() -> tuple[type[Exception], ...]:
    from datasets.exceptions import DatasetGenerationError

    return (DatasetGenerationError,)


def _no_data() -> tuple[type[Exception], ...]:
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import FileNotFoundDatasetsError

    return FileNotFoundDatasetsError, EmptyDatasetError


def _no_network() -> tuple[type[Exception], ...]:
    from aiohttp import ClientError

    return ConnectionError, TimeoutError, ClientError, FileNotFoundError  # local files exist


def checked_residues(sequence: str, place: Place) -> str:
    """[`clean`] with the record's place in the error."""
    try:
        return clean(sequence)
    except SequenceError as error:
        raise SequenceError(f"{place}: {error}") from None


def open_plain_or_gzip(path: str, mode: str = "rb") -> Any:
    """Like `open`, for binary reading; a gzip file is known by its first bytes, whatever its name."""
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP
    return gzip.open(path, mode) if compressed else open(path, mode)


def read_fasta(path: str, name: str | None = None, opener: Callable[..., Any] = open_plain_or_gzip) -> Iterator[Record]:
    """The records of a FASTA file, checked.

    Args:
        path: What `opener` opens in binary mode.
        name: The file's name in messages; the last part of `path` if None.
        opener: How to open it for reading bytes; `datasets`' streaming replaces it.

    Raises:
        DataError: No FASTA file, no record, a record without accession or residues.
        SequenceError: A character that is no residue.
    """
    for record in parse_fasta(path, name, opener):
        yield checked(record)


def checked(record: Record) -> Record:
    """A record with an accession and nothing but residues.

    Raises:
        DataError: No accession.
        SequenceError: No residues, or a character that is none.
    """
    place, description, sequence = record
    if not place.accession:
        raise DataError(f"{place}: the header is empty; expected '>ACCESSION ...'")
    if UNDECODED in place.accession:  # two of them might become one
        raise DataError(f"{place}: the accession is not UTF-8; expected a file in UTF-8")
    return Record(place, description, checked_residues(sequence, place))


def parse_fasta(
    path: str, name: str | None = None, opener: Callable[..., Any] = open_plain_or_gzip
) -> Iterator[Record]:
    """The records of a FASTA file as they stand; for `read_fasta`'s arguments.

    Raises:
        DataError: No FASTA file, or no record.
    """
    name = name or os.path.basename(path)
    # old databases have Latin-1 in their headers; among residues, what cannot be decoded is refused as no residue
    reader = partial(TextIOWrapper, encoding="utf-8-sig", errors="replace", newline="")
    with fasta_errors(name), opener(path, "rb") as stream, reader(stream) as lines:
        for number, record in enumerate(split_records(_from_first_header(lines, name)), 1):
            accession, description, sequence = record
            yield Record(Place(name, number, accession), description, sequence)


@contextmanager
def fasta_errors(name: str) -> Iterator[None]:
    """What a damaged gzip file raises, in one line."""
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
        if line.strip() and not line.startswith(";"):  # blank lines and comments may stand first
            if UNDECODED in line or "\0" in line:
                raise _no_text(name)
            raise DataError(f"{name}: no FASTA file: it begins with {line.strip()[:30]!r}; expected '>ACCESSION ...'")
    raise DataError(f"{name}: no records; expected FASTA, '>ACCESSION ...' and residues")


class Accessions:
    """The accessions seen so far. An identical record again is a copy to drop, a different one an error."""

    def __init__(self) -> None:
        self.copies = 0
        self._seen: dict[str, tuple[str, int, int]] = {}

    def is_copy(self, place: Place, *content: Any) -> bool:
        """Whether a record of the same accession and content was seen before.

        Raises:
            DataError: The accession was seen before with other content.
        """
        file, number, before = self._seen.setdefault(place.accession, (place.file, place.number, hash(content)))
        if (file, number) == (place.file, place.number):
            return False
        if before != hash(content):
            raise DataError(
                f"{place}: the accession stands in {file}, record {number} too, with another sequence or label; "
                "expected each accession once: remove or rename one of the two"
            )
        self.copies += 1
        return True
