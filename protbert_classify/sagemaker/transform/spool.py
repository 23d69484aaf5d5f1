"""The records of a batch transform on this disk, while their FASTA is away: what its answers are joined with.

A header of FASTA cannot hold every accession and description that a table can; what is sent is a copy for reading, and
what is joined is the original.
"""

import json
import os
from collections.abc import Iterable
from typing import NamedTuple

from ...data.records import Record
from ...errors import ProteinClassifierError
from ...inference.writers import Column, Prediction
from ..payloads import BODY, TRANSFORM_PROTEINS, rows_of, split


class Spool(NamedTuple):
    """Parts of a file of proteins: `part-00000.fasta`, to be sent, and `part-00000.jsonl`, to be kept.

    Args:
        folder: Of these files.
    """

    folder: str

    def write(self, records: Iterable[Record]) -> list[int]:
        """Write the parts of checked records.

        Returns:
            How many proteins each part has.
        """
        counts = []
        for number, some in enumerate(split(records, lambda record: len(fasta(record)), TRANSFORM_PROTEINS, BODY)):
            with open(self.fasta(number), "wb") as file:
                file.writelines(map(fasta, some))
            with open(self._kept(number), "w", encoding="utf-8") as kept:
                kept.writelines(json.dumps([r.place.accession, r.description, len(r.residues)]) + "\n" for r in some)
            counts.append(len(some))
        return counts

    def fasta(self, number: int) -> str:
        """The path of a part that is to be sent."""
        return os.path.join(self.folder, part_name(number))

    def calls(self, number: int, answer: bytes) -> tuple[list[Prediction], list[Column]]:
        """The calls of a part, with the accessions and descriptions that were read, and the columns of the table.

        Raises:
            ProteinClassifierError: The answer is of other proteins.
        """
        with open(self._kept(number), encoding="utf-8") as file:
            kept = [json.loads(line) for line in file]
        calls, columns = rows_of(answer, len(kept))
        joined = []
        for call, (accession, description, length) in zip(calls, kept, strict=True):
            if call.length != length:
                raise ProteinClassifierError(
                    f"{part_name(number)}: an answer of {call.length} residues for {accession}, which has {length}"
                )
            joined.append(call._replace(id=accession, description=description))
        return joined, columns

    def _kept(self, number: int) -> str:
        return os.path.join(self.folder, f"sent-{number:05d}.jsonl")


def part_name(number: int) -> str:
    return f"part-{number:05d}.fasta"


def fasta(record: Record) -> bytes:
    """A record as it is sent: its header in one line, and never empty."""
    header = " ".join(f"{record.place.accession} {record.description}".split()) or record.place.number
    return f">{header}\n{record.residues}\n".encode(errors="replace")
