"""Writes divided proteins as `train` reads them: one table with a column, or a folder with a file for each part."""

import os
from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from ..errors import OptionError
from ..model.tasks import LABEL_SEPARATOR
from ..tasks.cells import NO_CLASS, names_of
from .alphabet import unspace
from .column_names import ColumnNames
from .records import NO_ANSWERS
from .sources import FASTA_ENDINGS, TABLE_ENDINGS, ending_of

WRITTEN = (".csv", ".tsv", ".jsonl", ".parquet")


def check_output(output: str) -> bool:
    """Whether the output is a folder of files, not one table.

    Raises:
        OptionError: A file that is not a table, or a folder with files in it, which would be read with the new ones.
    """
    ending = ending_of(output)
    if ending in WRITTEN and not output.endswith(".gz"):
        return False
    if ending in (*FASTA_ENDINGS, *TABLE_ENDINGS) or os.path.splitext(output)[1] or os.path.isfile(output):
        raise OptionError(f"output {output}: expected a table ({', '.join(WRITTEN)}), or a folder")
    if os.path.isdir(output) and os.listdir(output):
        raise OptionError(f"output {output}: the folder has files in it; expected a new or an empty one")
    return True


def write_table(path: str, proteins: Dataset, columns: ColumnNames, **more: Sequence[Any]) -> None:
    """Write a table with accession, residues and answers.

    Args:
        path: .csv, .tsv, .jsonl or .parquet.
        proteins: N labelled proteins.
        columns: Names of the columns.
        more: Further columns, N cells each.

    Raises:
        OptionError: The proteins have a column of that name.
    """
    check_free(proteins, columns, *more)
    flat = ending_of(path) in (".csv", ".tsv")
    answers = {name: _named(proteins, name, flat) for name in proteins.column_names if name not in NO_ANSWERS}
    residues = [unspace(sequence) for sequence in proteins["sequence"][:]]
    table = Dataset.from_dict({columns.id: proteins["id"][:], columns.sequence: residues, **answers, **more})
    if flat:
        table.to_csv(path, sep="\t" if ending_of(path) == ".tsv" else ",", index=False)
    elif ending_of(path) == ".jsonl":
        table.to_json(path)
    else:
        table.to_parquet(path)


def check_free(proteins: Dataset, columns: ColumnNames, *names: str) -> None:
    """Refuse a name for a new column that the proteins have already.

    Raises:
        OptionError: Names it.
    """
    answers = [name for name in proteins.column_names if name not in NO_ANSWERS]
    for name in names:
        if name in (columns.id, columns.sequence, *answers):
            raise OptionError(
                f"the data has a column {name!r} already, which the new one would replace; rename that column, or set "
                "output to a folder"
            )


def write_deeploc_fasta(path: str, proteins: Dataset, location: str) -> None:
    """Write FASTA with DeepLoc's headers, without marks for the test set.

    Args:
        path: The file.
        proteins: As they were read from such a file.
        location: Name of the column with the locations.
    """
    locations, membranes = _named(proteins, location, True), _named(proteins, "membrane", True)
    rows = zip(proteins["id"][:], locations, membranes, proteins["sequence"][:], strict=True)
    with open(path, "w", encoding="utf-8") as file:
        for accession, where, membrane, sequence in rows:
            file.write(f">{accession} {where}-{membrane}\n{unspace(sequence)}\n")


def _named(proteins: Dataset, name: str, flat: bool) -> list[Any]:
    """The cells of a column, classes by their names; `flat` joins several classes."""
    classes = names_of(proteins.features[name])
    return [_written(cell, classes, flat) for cell in proteins[name][:]]


def _written(cell: Any, classes: list[str] | None, flat: bool) -> Any:
    if isinstance(cell, list):
        parts = [_written(part, classes, flat) for part in cell]
        return LABEL_SEPARATOR.join(map(str, parts)) if flat else parts
    if cell is None or (classes and cell == NO_CLASS):
        return None
    return classes[cell] if classes else cell
