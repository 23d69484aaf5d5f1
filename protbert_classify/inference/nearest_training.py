"""How near proteins are to those that a model was trained on, and what these are: far away, answers are guesses."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..data.column_names import ColumnNames
from ..data.reader import read_records
from ..data.records import checked
from ..errors import InputError, OptionError
from ..homology.neighbours import COVERAGE, find_neighbours
from ..model.tasks import Task

logger = logging.getLogger(__name__)

MOST_NAMED = 10  # labels in a message


class Nearest(NamedTuple):
    """The nearest training protein of each of N proteins.

    Args:
        ids: (N,), accessions; empty where no training protein is similar.
        identity: (N,), 0..1, share of identical residues in the alignment; NaN where none is similar.
        labels: (N, C), 1 for each label that it has and 0 for the others; NaN where unknown. None if the training
            proteins were read without labels.
    """

    ids: list[str]
    identity: np.ndarray
    labels: np.ndarray | None = None


class TrainingProteins:
    """The proteins that a model was trained on.

    Args:
        ids: (T,), accessions.
        residues: (T,), upper case.
        labels: (T, C), 1 for each label that a protein has and 0 for the others; NaN where unknown.
    """

    def __init__(self, ids: Sequence[str], residues: Sequence[str], labels: np.ndarray | None = None) -> None:
        self.ids = ids
        self.residues = residues
        self.labels = labels

    @property
    def digest(self) -> str:
        """Of accessions, residues and labels, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, residues in zip(self.ids, self.residues, strict=True):
            digest.update(f"{name}\t{residues}\n".encode())
        if self.labels is not None:
            digest.update(self.labels.tobytes())
        return digest.hexdigest()[:16]

    def nearest(self, residues: Sequence[str]) -> Nearest:
        """Find the nearest training protein of each protein, of any identity over `COVERAGE` of the shorter one.

        Args:
            residues: (N,), upper case.
        """
        found = find_neighbours(residues, self.residues, identity=0, coverage=COVERAGE)
        rows, identity = found.nearest_of(len(residues))
        labels = None
        if self.labels is not None:
            labels = np.where((rows >= 0)[:, None], self.labels[rows], np.nan)
        return Nearest([self.ids[row] if row >= 0 else "" for row in rows], identity, labels)


def read_training_proteins(source: str, columns: ColumnNames | None = None) -> TrainingProteins:
    """Read training proteins without their labels.

    Args:
        source: See [`read_records`]. Records that are no proteins, or of a test split, are left out.
        columns: Names of a table's columns.

    Raises:
        DataError: The source cannot be read.
        OptionError: It has no proteins.
    """
    ids, residues = [], []
    for record in read_records(source, columns, without_test=True):
        try:
            place, _, sequence = checked(record)
        except InputError:
            continue
        ids.append(place.accession)
        residues.append(sequence)
    if not ids:
        raise OptionError(f"training_proteins {source}: found no proteins; expected those the model was trained on")
    return TrainingProteins(ids, residues)


def read_labelled_training_proteins(
    source: str,
    task: Task,
    columns: ColumnNames | None = None,
    label_column: str | Sequence[str] | None = None,
    header_pattern: str | None = None,
) -> TrainingProteins:
    """Read training proteins with their labels; those of a test split are left out.

    Args:
        source: As [`load_proteins`] takes it.
        task: Whose labels to read.
        columns: Names of a table's other columns.
        label_column: See [`load_proteins`]; the columns of the task if None.
        header_pattern: See there.

    Raises:
        DataError: The source cannot be read, or has no labels.
        OptionError: It has no training proteins, or none with a label of the task.
    """
    from ..data.alphabet import unspace
    from ..data.deeploc import ambiguous_of
    from ..data.loading import main_task, read_proteins  # with it comes `datasets`, which predicting does without
    from ..data.splitting import whole
    from ..tasks.columns import label_columns
    from ..tasks.targets import answer_matrix

    label = label_column or label_columns(task)
    columns = replace(columns or ColumnNames(), label=label, problem_type=task.problem_type)
    splits = read_proteins(source, ambiguous=ambiguous_of(task.labels), header_pattern=header_pattern, columns=columns)
    left_out = splits.pop("test", None)
    if not splits:
        raise OptionError(f"training_proteins {source}: found test proteins only; expected those of the training")
    if left_out is not None:
        logger.info("training_proteins %s: %s test proteins are left out", source, f"{len(left_out):,}")
    proteins = whole(splits)
    found = main_task(splits, columns)
    labels = answer_matrix(proteins, replace(task, name=found.name))
    if np.isnan(labels).all():
        raise OptionError(
            f"training_proteins {source}: found the labels {', '.join(found.labels[:MOST_NAMED])}, none of them the "
            f"model's; expected some of {', '.join(task.labels)}"
        )
    return TrainingProteins(proteins["id"][:], [unspace(sequence) for sequence in proteins["sequence"][:]], labels)
