"""Fingerprints of datasets: whether proteins are the same as before."""

import hashlib
from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from ..model.tasks import LABEL_SEPARATOR
from ..tasks.cells import NO_CLASS, names_of
from .records import NO_ANSWERS


def fingerprint(proteins: Dataset, columns: Sequence[str] | None = None) -> str:
    """SHA-256 of a split's accessions, sequences and labels, in order: the same data, the same fingerprint.

    Args:
        proteins: With `id`, `sequence` and `columns`.
        columns: Those with the labels; all columns with answers if None. One that is missing has no labels.
    """
    digest = hashlib.sha256()
    if columns is None:
        columns = [name for name in proteins.column_names if name not in NO_ANSWERS]
    there = [name for name in columns if name in proteins.column_names]
    names = [names_of(proteins.features[name]) for name in there]
    cells = (proteins[column][:] for column in ("id", "sequence", *there))
    for accession, sequence, *answers in zip(*cells, strict=True):
        written = "\t".join(_written(answer, classes) for answer, classes in zip(answers, names, strict=True))
        digest.update(f"{accession}\t{sequence}\t{written}\n".encode())
    return digest.hexdigest()


def _written(answer: Any, classes: list[str] | None) -> str:
    """An answer as text, a class by its name: its index depends on which other classes there are."""
    if isinstance(answer, list):
        return LABEL_SEPARATOR.join(sorted(_written(part, classes) for part in answer))
    if answer is None or (classes and answer == NO_CLASS):
        return ""
    return classes[answer] if classes else str(answer)
