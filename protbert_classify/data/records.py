"""Protein records, whatever file they come from: checked, and named in every error message."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DataError, SequenceError
from .alphabet import clean

if TYPE_CHECKING:
    from datasets import Features

UNDECODED = "\ufffd"  # stands for a byte that is not UTF-8
NO_ANSWERS = ("id", "sequence", "sequence_length", "is_train")  # columns that every labelled dataset here has


def protein_features(answers: Mapping[str, Any]) -> "Features":
    """The columns of a labelled dataset; `sequence` is upper case and spaced.

    Args:
        answers: Column -> feature, of the columns with labels.
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
    """Where a record is: file, number from 1, accession."""

    file: str
    number: int
    accession: str

    def __str__(self) -> str:
        return f"{self.file}, record {self.number} ({self.accession or 'no accession'})"


class Record(NamedTuple):
    """One protein: its place, the rest of its header, and its residues (once checked: upper case, no spaces)."""

    place: Place
    description: str
    residues: str


class LabelledRecord(NamedTuple):
    """One protein with labels: its place, checked residues, column -> answer as written, and its split."""

    place: Place
    residues: str
    answers: dict[str, Any]
    split: str


def checked(record: Record) -> Record:
    """The record, if it has an accession and nothing but residues.

    Raises:
        DataError: No accession, or one that is not text.
        SequenceError: No residues, or a character that is not one.
    """
    place, description, sequence = record
    if not place.accession:
        raise DataError(f"{place}: the header is empty; expected '>ACCESSION ...'")
    try:
        f"{place.accession}{description}".encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can write it, UTF-8 cannot
        raise DataError(f"{place.file}, record {place.number}: the id or description is not valid text") from None
    if UNDECODED in place.accession:  # two different accessions might become one
        raise DataError(f"{place}: the accession is not UTF-8; expected a file in UTF-8")
    return Record(place, description, checked_residues(sequence, place))


def checked_residues(sequence: str, place: Place) -> str:
    """[`clean`] with the record's place in the error."""
    try:
        return clean(sequence)
    except SequenceError as error:
        raise SequenceError(f"{place}: {error}") from None


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
