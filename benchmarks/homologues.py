"""How many planted homologues `leakage` finds, and how long it takes: `python -m benchmarks.homologues`.

Planted: a thousand of SCL2205's training proteins, each with 70% of its residues replaced by random others, searched
against all training proteins. The time is that of its test proteins against its training proteins.
"""

import tempfile
import time

import datasets
import numpy as np

from benchmarks.reporting import cpu_seconds, markdown_table, publish
from protbert_classify.data.alphabet import STANDARD, unspace
from protbert_classify.data.deeploc import load_deeploc
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.homology.neighbours import COVERAGE, find_neighbours

IDENTITY = 0.3
PLANTED = 1000
LONG = 200  # residues
SEED = 0


def main() -> None:
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        splits = load_deeploc(write_scl2205(folder)[0], validation=0)
    test, train = ([unspace(sequence) for sequence in splits[name]["sequence"][:]] for name in ("test", "train"))
    rows = np.random.default_rng(SEED).choice(len(train), PLANTED, replace=False)
    found = find_neighbours(planted([train[row] for row in rows]), train, identity=0, coverage=0)
    own = found.select(found.target == rows[found.query])
    any_length = np.isin(np.arange(PLANTED), own.query)
    covered = np.isin(np.arange(PLANTED), own.query[own.coverage >= COVERAGE])
    long = np.array([len(train[row]) >= LONG for row in rows])
    start, busy = time.perf_counter(), cpu_seconds()
    find_neighbours(test, train, identity=0)
    seconds, busy = time.perf_counter() - start, cpu_seconds() - busy
    results = {
        "planted": PLANTED,
        "long": int(long.sum()),
        "found": float(any_length.mean()),
        "found_of_long": float(any_length[long].mean()),
        "covered_of_long": float(covered[long].mean()),
        "seconds": seconds,
        "cpu_seconds": busy,
        "sizes": [len(test), len(train)],
    }
    table = markdown_table(
        ["homologues of 30% identity", ""],
        [
            [f"found, of {PLANTED:,} planted", f"{results['found']:.1%}"],
            [f"found, of {long.sum():,} of {LONG} residues or more", f"{results['found_of_long']:.1%}"],
            [f"of these, found with at least {COVERAGE:.0%} of their residues", f"{results['covered_of_long']:.1%}"],
            [f"CPU seconds for {len(test):,} proteins against {len(train):,}", f"{busy:.0f}"],
        ],
    )
    publish("homologues", "Search for neighbours", results, table)


def planted(proteins: list[str]) -> list[str]:
    """The proteins with a share of their residues, 1 - `IDENTITY`, replaced by others."""
    generator = np.random.default_rng(SEED)
    changed = []
    for residues in proteins:
        letters = list(residues)
        for place in generator.permutation(len(letters))[: round((1 - IDENTITY) * len(letters))]:
            letters[place] = generator.choice([letter for letter in STANDARD if letter != letters[place]])
        changed.append("".join(letters))
    return changed


if __name__ == "__main__":
    main()
