"""The card of a published dataset: its columns, labels, lengths and fingerprints."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from huggingface_hub import DatasetCardData

from ..data.deeploc import MEMBRANE as MEMBRANE_NAMES
from ..data.deeploc import URL as DEEPLOC_URL
from ..data.records import NO_ANSWERS
from ..model.publishing import TASK
from ..tasks.cells import names_of
from ..version import __version__
from .card import DEEPLOC, citation, data_name, link, render_card

TEMPLATE = "dataset_card.md.jinja"
# the Hub's names for how many there are
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
MEMBRANE = "M membrane-bound, S soluble, U unknown"  # DeepLoc's column of this name
COLUMNS = {
    "id": "accession",
    "sequence": "residues, upper case, a space between two of them, as ProtBERT reads them",
    "sequence_length": "residues",
    "is_train": "whether the record was for training in the file that this was made from",
}


def dataset_card(
    splits: Mapping[str, Dataset],
    repo_id: str,
    source: str | None,
    fingerprints: Mapping[str, str],
    licence: str | None = None,
    generated: Mapping[str, Any] | None = None,
    label_columns: Sequence[str] | None = None,
) -> str:
    """The card of a dataset, metadata and text.

    Args:
        splits: Split -> proteins, as `load_deeploc` or `load_proteins` gives them.
        repo_id: `owner/name`, where it is published.
        source: The file or Hub dataset it was made from; None to leave it out.
        fingerprints: Split -> SHA-256 of its accessions, sequences and labels.
        licence: As the Hub names it (`cc-by-4.0`, ...).
        generated: Metadata that `datasets` wrote when it sent the Parquet files: columns, files of each split.
        label_columns: What is to be predicted; the first column with answers if None.
    """
    labels = list(label_columns or answers_of(splits)[:1])
    metadata = DatasetCardData(
        license=licence,
        task_categories=[TASK] if _classes(splits) else None,  # the Hub has no word for numbers of proteins
        size_categories=[_size(sum(map(len, splits.values())))],
        tags=["biology", "protein"],
        pretty_name=repo_id.rpartition("/")[2],
        **(generated or {}),
    )
    values = {
        "repo_id": repo_id,
        "name": repo_id.rpartition("/")[2],
        "source": data_name(source) if source else None,
        "link": link(source) if source else None,
        "rows": [[name, *_lengths(part)] for name, part in splits.items()],
        "fingerprints": fingerprints,
        "splits": list(splits),
        "labels": labels,
        "label_option": "" if labels == ["location"] else f"--label_column {' '.join(map(_quoted, labels))} ",
        "classes": _classes(splits),
        "numbers": _numbers(splits),
        "columns": _columns(splits),
        "licence": licence,
        "references": [DEEPLOC] if source == DEEPLOC_URL else [],
        "citation": citation(repo_id, "datasets/"),
        "version": __version__,
    }
    return render_card(TEMPLATE, metadata.to_yaml(), values)


def _quoted(name: str) -> str:
    """A column's name in a line of shell."""
    return shlex.quote(" ".join(name.split()))


def _size(proteins: int) -> str:
    return next((name for limit, name in SIZES if proteins < limit), "n>1M")


def _lengths(proteins: Dataset) -> list[str]:
    lengths = np.asarray(proteins["sequence_length"][:])
    residues = (lengths.min(), np.median(lengths), lengths.max())
    return [f"{len(lengths):,}", *(f"{value:,.0f}" for value in residues)]


def answers_of(splits: Mapping[str, Dataset]) -> list[str]:
    """The columns with answers, those to predict first, as they are loaded."""
    return [name for name in next(iter(splits.values())).column_names if name not in NO_ANSWERS]


def _columns(splits: Mapping[str, Dataset]) -> dict[str, str]:
    """Column -> what it holds."""
    features = next(iter(splits.values())).features
    return {name: COLUMNS.get(name) or _told(name, features[name]) for name in features}


def _told(name: str, feature: Any) -> str:
    if names_of(feature) is None:
        return "1 for proteins of this class, 0 for others" if _is_flag(feature) else "a number"
    if name == "membrane" and names_of(feature) == list(MEMBRANE_NAMES):
        return MEMBRANE
    return "the class" if isinstance(feature, ClassLabel) else "the classes, one or several"


def _is_flag(feature: Any) -> bool:
    return getattr(feature, "dtype", "") == "int8"


def _classes(splits: Mapping[str, Dataset]) -> dict[str, list[list[str]]]:
    """Column -> a row a class: its name and its proteins in each split; classes without any are left out.

    Columns of 0 and 1 are classes together, under the name "".
    """
    tables: dict[str, list[list[str]]] = {}
    for column in answers_of(splits):
        feature = next(iter(splits.values())).features[column]
        names = names_of(feature)
        if names is not None:
            counts = np.array([_counts(part, column, len(names)) for part in splits.values()])
            rows = [[name, *(f"{n:,}" for n in counts[:, i])] for i, name in enumerate(names) if counts[:, i].any()]
            tables[column] = rows
        elif _is_flag(feature):
            counts = np.array([sum(filter(None, part[column][:])) for part in splits.values()])
            tables.setdefault("", []).append([column, *(f"{n:,}" for n in counts)])
    return tables


def _counts(proteins: Dataset, column: str, classes: int) -> np.ndarray:
    """(C,), proteins of each class."""
    cells = (cell if isinstance(cell, list) else [cell] for cell in proteins[column][:])
    found = [index for cell in cells for index in cell if index is not None and index >= 0]
    return np.bincount(np.array(found, dtype=np.int64), minlength=classes)


def _numbers(splits: Mapping[str, Dataset]) -> list[list[str]]:
    """A row a split for each column of numbers: how many are known, the least, mean, standard deviation, the most."""
    rows = []
    for column in answers_of(splits):
        for split, part in splits.items():
            feature = part.features[column]
            if names_of(feature) is None and not _is_flag(feature):
                known = np.array([cell for cell in part[column][:] if cell is not None])
                found = [known.min(), known.mean(), known.std(), known.max()] if len(known) else []
                rows.append([column, split, f"{len(known):,}", *(f"{value:.4g}" for value in found)])
    return rows
