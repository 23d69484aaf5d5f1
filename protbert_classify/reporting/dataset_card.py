"""The card of published proteins: their columns, classes, lengths and fingerprints."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset
from huggingface_hub import DatasetCardData

from ..data.deeploc import URL as DEEPLOC_URL
from ..model.publishing import TASK
from ..version import __version__
from .card import DEEPLOC, citation, data_name, link, render_card

TEMPLATE = "dataset_card.md.jinja"
# the Hub's names for how many there are
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
COLUMNS = {
    "id": "accession",
    "sequence": "residues, upper case, a space between two of them, as ProtBERT reads them",
    "sequence_length": "residues",
    "location": "the class",
    "membrane": "M membrane-bound, S soluble, U unknown",
    "is_train": "whether the record was for training in the file that this was made from",
}


def dataset_card(
    splits: Mapping[str, Dataset],
    repo_id: str,
    source: str | None,
    fingerprints: Mapping[str, str],
    licence: str | None = None,
    generated: Mapping[str, Any] | None = None,
) -> str:
    """The card of a dataset, metadata and text.

    Args:
        splits: Split -> proteins, with the columns of DeepLoc.
        repo_id: `owner/name`, where it is published.
        source: The file or Hub dataset it was made from; None if that is not to be told.
        fingerprints: Split -> SHA-256 of its accessions, sequences and labels.
        licence: As the Hub names it (`cc-by-4.0`, ...).
        generated: Metadata that `datasets` wrote when it sent the Parquet files: columns, files of each split.
    """
    metadata = DatasetCardData(
        license=licence,
        task_categories=[TASK],
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
        "classes": _classes(splits),
        "columns": COLUMNS,
        "licence": licence,
        "references": [DEEPLOC] if source == DEEPLOC_URL else [],
        "citation": citation(repo_id, "datasets/"),
        "version": __version__,
    }
    return render_card(TEMPLATE, metadata.to_yaml(), values)


def _size(proteins: int) -> str:
    return next((name for limit, name in SIZES if proteins < limit), "n>1M")


def _lengths(proteins: Dataset) -> list[str]:
    lengths = np.asarray(proteins["sequence_length"][:])
    residues = (lengths.min(), np.median(lengths), lengths.max())
    return [f"{len(lengths):,}", *(f"{value:,.0f}" for value in residues)]


def _classes(splits: Mapping[str, Dataset]) -> list[list[str]]:
    """A row a class: its name and its proteins in each split; classes without any are left out."""
    names = next(iter(splits.values())).features["location"].names
    counts = np.array([np.bincount(part["location"][:], minlength=len(names)) for part in splits.values()])
    return [[name, *(f"{n:,}" for n in counts[:, i])] for i, name in enumerate(names) if counts[:, i].any()]
