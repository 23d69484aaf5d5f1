"""The folds of a cross-validation: those that a table names, or a division of its proteins."""

from typing import Any

import numpy as np
from datasets import Dataset

from ..errors import OptionError
from ..model.tasks import Task
from .division import Division
from .sources import SourceType, source_type
from .tables import read_file

FOLD_COLUMN = "fold"  # as the command split writes it


def find_folds(proteins: Dataset, task: Task, options: Any) -> tuple[np.ndarray, str]:
    """Divide proteins into folds, each of which validates a model that is trained on the others.

    Args:
        proteins: N labelled proteins.
        task: The main task.
        options: `data`, `folds`, `split`, `split_identity`, `split_coverage`, `split_seed`, `id_column` and
            `label_column` of `train`, as attributes.

    Returns:
        (N,), ints from 1, and how they were found, in a sentence.

    Raises:
        OptionError: A table with another number of folds; or proteins that cannot be divided, see [`Division`].
    """
    given = _given_folds(options)
    if given is not None:
        return _looked_up(proteins, given, options), f"the column {FOLD_COLUMN} of {options.data}"
    division = Division(proteins, task, options.split, options.split_identity, options.split_coverage)
    folds = division.into_folds(options.folds, options.split_seed)
    return folds, division.describe(folds)


def _given_folds(options: Any) -> dict[str, int] | None:
    """Accession -> fold, of a table whose column `fold` has whole numbers; else None."""
    if options.data is None or source_type(options.data) is not SourceType.TABLE:
        return None
    if FOLD_COLUMN in options.label_column:
        return None
    found: dict[str, int] = {}
    for row in read_file(options.data).rows:
        value, accession = str(row.get(FOLD_COLUMN, "")), str(row.get(options.id_column))
        if not value.isdecimal() or options.id_column not in row:
            return None
        if found.setdefault(accession, int(value)) != int(value):
            raise OptionError(f"{options.data}: {accession} is in two folds; expected each accession in one")
    return found


def _looked_up(proteins: Dataset, given: dict[str, int], options: Any) -> np.ndarray:
    missing = next((name for name in proteins["id"][:] if name not in given), None)
    if missing is not None:
        raise OptionError(f"{options.data}: has a column {FOLD_COLUMN}, and {missing} of another file has no fold")
    folds = np.array([given[name] for name in proteins["id"][:]])
    if sorted(set(folds.tolist())) != list(range(1, options.folds + 1)):
        named = ", ".join(map(str, sorted(set(folds.tolist()))))
        raise OptionError(
            f"folds={options.folds}: the column {FOLD_COLUMN} of {options.data} has the folds {named}; expected 1 to "
            f"{options.folds}"
        )
    return folds
