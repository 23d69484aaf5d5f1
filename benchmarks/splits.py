"""How near validation proteins are to training proteins, by each way to split: `python -m benchmarks.splits`.

SCL2205's training proteins, a tenth of them for validation. A validation protein counts as near if it has 30% of its
5-mers in common with one training protein; or as a neighbour as `leakage` finds them with MMseqs2.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import datasets
import numpy as np
from datasets import Dataset, DatasetDict

from benchmarks.reporting import cpu_seconds, markdown_table, publish
from protbert_classify.data.alphabet import unspace
from protbert_classify.data.deeploc import load_deeploc
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.data.splitting import add_validation
from protbert_classify.homology import mmseqs
from protbert_classify.homology.neighbours import find_neighbours
from protbert_classify.homology.shared_kmers import kmers
from protbert_classify.tasks.columns import infer_task

SHARE = 0.1
NEAR = 0.3  # of a protein's 5-mers
SEED = 42
ROWS = 500  # of proteins compared at once
WAYS = (
    ("random", "random", True),
    ("identical", "identical", True),
    ("homology, shared 5-mers", "homology", False),
    ("homology, MMseqs2", "homology", True),
)


def main() -> None:
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        datasets.config.HF_DATASETS_CACHE = f"{folder}/cache"  # no search is answered from disk
        fasta, _ = write_scl2205(folder)
        train = load_deeploc(fasta, validation=0)["train"]
        results = {name: measure(train, strategy, searches) for name, strategy, searches in WAYS}
    rows = [
        [
            name,
            f"{found['validation']:,}",
            f"{found['share_of_each_class'][0]:.1%} to {found['share_of_each_class'][1]:.1%}",
            f"{found['near']:.1%}",
            f"{found['neighbours']:.1%}",
            f"{found['cpu_seconds']:.0f}",
        ]
        for name, found in results.items()
    ]
    head = [
        "split",
        "validation proteins",
        "share of each class",
        "30% of 5-mers in training",
        "neighbours",
        "CPU seconds",
    ]
    # CPU seconds of all cores: other work on the machine does not count
    publish("splits", "Validation splits of SCL2205", results, markdown_table(head, rows))


def measure(train: Dataset, strategy: str, searches: bool) -> dict[str, Any]:
    """Split, and compare the two parts."""
    task = infer_task(DatasetDict(train=train), "location")
    start, busy = time.perf_counter(), cpu_seconds()
    with _search(searches):
        splits = add_validation(DatasetDict(train=train), SHARE, SEED, task, strategy)
    seconds, busy = time.perf_counter() - start, cpu_seconds() - busy
    validation, rest = (
        [unspace(sequence) for sequence in splits[name]["sequence"][:]] for name in ("validation", "train")
    )
    every, chosen = (
        np.bincount(part["location"][:], minlength=len(task.labels)) for part in (train, splits["validation"])
    )
    shares = (chosen / np.maximum(every, 1))[every > 0]
    return {
        "validation": len(validation),
        "share_of_each_class": [float(shares.min()), float(shares.max())],
        "near": near_share(validation, rest),
        "neighbours": len(find_neighbours(validation, rest).nearest()) / len(validation),
        "seconds": seconds,
        "cpu_seconds": busy,
    }


def near_share(proteins: list[str], others: list[str]) -> float:
    """Share of proteins with at least `NEAR` of their 5-mers in one other protein."""
    wanted, there = kmers(proteins), kmers(others).T.tocsr()
    sizes = np.maximum(np.diff(wanted.indptr), 1)
    most = [(wanted[start : start + ROWS] @ there).max(axis=1).toarray() for start in range(0, len(proteins), ROWS)]
    return float((np.concatenate(most).ravel() / sizes >= NEAR).mean())


@contextmanager
def _search(there: bool) -> Iterator[None]:
    """With or without MMseqs2."""
    if there:
        yield
    else:
        with mock.patch.object(mmseqs, "find_binary", lambda: None):
            yield


if __name__ == "__main__":
    main()
