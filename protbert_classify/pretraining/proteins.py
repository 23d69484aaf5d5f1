"""Unlabelled proteins for a pretraining: read, identical ones once, without neighbours of others, and divided."""

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict
from tqdm.auto import tqdm

from ..data.alphabet import space
from ..data.column_names import ColumnNames
from ..data.reader import count_records, read_records
from ..data.records import Record, checked, protein_features
from ..data.split_strategies import HOMOLOGY
from ..data.splitting import add_validation
from ..errors import DataError, InputError, OptionError
from ..homology.neighbours import COVERAGE, IDENTITY, check_shares, describe_limits, search_method
from ..homology.saved_search import find_saved_neighbours
from ..model.tasks import SINGLE_LABEL, Task
from ..reporting.formatting import count
from ..training.load_data import PreparedSplits

logger = logging.getLogger(__name__)

# the splits know proteins of classes: here, all are of one
KIND = "protein"
TASK = Task(name="kind", problem_type=SINGLE_LABEL, labels=[KIND])
SLOW = 2  # seconds of reading after which a progress bar is worth its line


class Rejected(NamedTuple):
    """A record that cannot be read: where it is, and why."""

    file: str
    record: int
    id: str
    reason: str


class UnlabelledProteins(NamedTuple):
    """What some sources have.

    Args:
        ids: N accessions.
        residues: N different sequences, upper case.
        copies: Records whose sequence an earlier one has.
        rejected: Records that cannot be read.
    """

    ids: list[str]
    residues: list[str]
    copies: int
    rejected: list[Rejected]

    def select(self, kept: np.ndarray) -> "UnlabelledProteins":
        """Those whose place in `kept`, (N,) bool, is True."""
        rows = np.flatnonzero(kept)
        ids, residues = ([column[row] for row in rows] for column in (self.ids, self.residues))
        return UnlabelledProteins(ids, residues, self.copies, self.rejected)


class UnlabelledSplits(PreparedSplits):
    """The splits of a pretraining.

    Args:
        splits: Name -> proteins.
        notes: For `run.json`: how many records were `rejected`, `copies` of others and `excluded`, and what searched
            for neighbours.
        rejected: The records that cannot be read.
    """

    def __init__(self, splits: DatasetDict, notes: dict[str, Any], rejected: Sequence[Rejected]) -> None:
        super().__init__(splits, notes)
        self.rejected = rejected


def load_unlabelled(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    validation: float = 0.05,
    split: str = HOMOLOGY,
    split_identity: float = IDENTITY,
    split_coverage: float = COVERAGE,
    split_seed: int = 42,
    exclude: Sequence[str] = (),
    exclude_identity: float = IDENTITY,
    exclude_coverage: float = COVERAGE,
    id_column: str = "id",
    sequence_column: str = "sequence",
    strict: bool = False,
    quiet: bool = True,
) -> UnlabelledSplits:
    """Load unlabelled proteins for a pretraining.

    Args:
        sources: A file or several: FASTA, .csv, .tsv or .jsonl (plain or .gz) or .parquet; ids of Hub datasets; or `-`
            for FASTA on standard input. Of identical sequences, the first is taken.
        validation: Share of the proteins for `validation`, 0 up to 1.
        split: How they are chosen: `homology` (none has a neighbour in training) or `random`.
        split_identity: For `homology`, see [`find_neighbours`].
        split_coverage: For `homology`, see [`find_neighbours`].
        split_seed: Of the choice.
        exclude: Sources of proteins whose neighbours, and they themselves, are left out: the test proteins of a later
            fine-tuning.
        exclude_identity: Of these neighbours, see [`find_neighbours`].
        exclude_coverage: Of these neighbours.
        id_column: Of tables.
        sequence_column: Of tables.
        strict: Raise for a record that cannot be read, instead of leaving it out.
        quiet: No progress bar.

    Returns:
        `train` and `validation`, with the columns of other loaders: `id`, `sequence` (spaced), `sequence_length`, ...

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from protbert_classify import load_unlabelled
        >>> path = Path(tempfile.mkdtemp()) / "proteome.fasta"
        >>> _ = path.write_text(">P1\\nMKTAYI\\n>P2\\nMRRKSK\\n>P3\\nMKTAYI\\n")
        >>> proteins = load_unlabelled(path, validation=0)
        >>> proteins["train"]["id"][:], proteins.notes["copies"]
        (['P1', 'P2'], 1)

    Raises:
        DataError: A source that cannot be read or has no proteins; fewer than two proteins, or none after `exclude`.
        SequenceError: With `strict`, or in `exclude`, a record that is no protein.
        OptionError: A share or a strategy that cannot work.
    """
    check_shares(exclude_identity=exclude_identity, exclude_coverage=exclude_coverage)
    columns = ColumnNames(id=id_column, sequence=sequence_column)
    names = [os.fspath(source) for source in ([sources] if isinstance(sources, str | os.PathLike) else sources)]
    proteins = read_unlabelled(names, columns, strict, quiet)
    named = ", ".join(names)
    if not proteins.ids:
        raise DataError(f"{named}: no record can be read as a protein; the first: {proteins.rejected[0].reason}")
    read = len(proteins.ids)
    if exclude:
        # a bad record here would let its neighbours in
        others = read_unlabelled(exclude, columns, strict=True, quiet=quiet).residues
        proteins = _without_neighbours(proteins, others, named, exclude_identity, exclude_coverage)
    if len(proteins.ids) < 2:
        raise DataError(f"{named}: 1 protein to train on; expected 2 or more different ones")
    limits = {"identity": split_identity, "coverage": split_coverage}
    whole = DatasetDict({"train": _dataset(proteins)})
    splits = add_validation(whole, validation, split_seed, TASK, split, **limits)
    notes = {
        "copies": proteins.copies,
        "rejected": len(proteins.rejected),
        "excluded": read - len(proteins.ids),
        "neighbours_by": search_method() if exclude or split == HOMOLOGY else None,
    }
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in splits.items())
    logger.info("proteins: %s; identical ones left out: %d", sizes, proteins.copies)
    return UnlabelledSplits(splits, notes, proteins.rejected)


def read_unlabelled(
    sources: Sequence[str], columns: ColumnNames | None = None, strict: bool = False, quiet: bool = True
) -> UnlabelledProteins:
    """The different proteins of some sources, in their order.

    Args:
        sources: As [`read_records`] takes them.
        columns: Names of a table's columns.
        strict: Raise for a record that cannot be read.
        quiet: No progress bar.

    Raises:
        DataError: No such source, or one without records.
        SequenceError: With `strict`, a record that is no protein.
    """
    names: dict[str, str] = {}
    rejected: list[Rejected] = []
    copies = 0
    for source in sources:
        for record in _shown(source, read_records(source, columns), quiet):
            try:
                place, _, residues = checked(record)
            except InputError as error:
                if strict:
                    raise
                reason = str(error).removeprefix(f"{record.place}: ")
                rejected.append(Rejected(*record.place, reason))
                continue
            copies += residues in names
            names.setdefault(residues, place.accession)
    if rejected:
        first = rejected[0]
        logger.warning(
            "%s rejected; the first: %s, record %d (%s): %s",
            count(len(rejected), "record"), first.file, first.record, first.id, first.reason,
        )  # fmt: skip
    return UnlabelledProteins(list(names.values()), list(names), copies, rejected)


def _shown(source: str, records: Iterator[Record], quiet: bool) -> Iterator[Record]:
    total = None if quiet else count_records(source)
    return iter(tqdm(records, total=total, unit="protein", desc="reading", disable=quiet, delay=SLOW, leave=False))


def _without_neighbours(
    proteins: UnlabelledProteins, others: Sequence[str], named: str, identity: float, coverage: float
) -> UnlabelledProteins:
    # each protein searches the others, which are few: the other way round, a protein with thousands of neighbours would
    # hide some of them behind the limit of hits
    found = find_saved_neighbours(proteins.residues, list(others), identity=identity, coverage=coverage)
    kept = np.ones(len(proteins.ids), dtype=bool)
    kept[found.query] = False
    limits = describe_limits(identity, coverage, found.method)
    if not kept.any():
        raise DataError(
            f"{named}: all of {count(len(kept), 'protein')} are neighbours of excluded ones ({limits}); expected other "
            "proteins, or a higher exclude_identity"
        )
    logger.info(
        "%s left out: neighbours of %s of exclude: %s, found by %s",
        count((~kept).sum(), "protein"), count(len(others), "protein"), limits, found.method,
    )  # fmt: skip
    return proteins.select(kept)


def _dataset(proteins: UnlabelledProteins) -> Dataset:
    count = len(proteins.ids)
    return Dataset.from_dict(
        {
            "id": proteins.ids,
            "sequence": [space(residues) for residues in proteins.residues],
            "sequence_length": [len(residues) for residues in proteins.residues],
            TASK.name: [0] * count,
            "is_train": [True] * count,
        },
        features=protein_features({TASK.name: ClassLabel(names=[KIND])}),
    )


def check_standard_input(sources: Sequence[str], world_size: int) -> None:
    """Refuse standard input where it cannot be read by all.

    Raises:
        OptionError: Several processes, or named twice.
    """
    if "-" in sources and (world_size > 1 or list(sources).count("-") > 1):
        raise OptionError("data -: standard input can be read once, by one process; expected a file")
