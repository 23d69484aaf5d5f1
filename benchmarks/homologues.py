"""How many planted homologues `leakage` finds, and how long it takes: `python -m benchmarks.homologues`.

Planted: a thousand of SCL2205's training proteins, each with 70% of its residues replaced, searched against all
training proteins. The new residues are those that evolution puts there or, harder for a search, any others. The time is
that of the test proteins against the training proteins.
"""

import tempfile
import time

import datasets
import numpy as np

from benchmarks.reporting import cpu_seconds, markdown_table, publish
from protbert_classify.data.alphabet import unspace
from protbert_classify.data.deeploc import load_deeploc
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.homology.neighbours import COVERAGE, find_neighbours

IDENTITY = 0.3
PLANTED = 1000
LENGTHS = 80, 200  # residues: shorter homologues are hardly more alike than chance is
SEED = 0
RESIDUES = "ARNDCQEGHILKMFPSTWYV"
# Henikoff and Henikoff 1992 (doi:10.1073/pnas.89.22.10915), in half bits
BLOSUM62 = """
 4 -1 -2 -2  0 -1 -1  0 -2 -1 -1 -1 -1 -2 -1  1  0 -3 -2  0
-1  5  0 -2 -3  1  0 -2  0 -3 -2  2 -1 -3 -2 -1 -1 -3 -2 -3
-2  0  6  1 -3  0  0  0  1 -3 -3  0 -2 -3 -2  1  0 -4 -2 -3
-2 -2  1  6 -3  0  2 -1 -1 -3 -4 -1 -3 -3 -1  0 -1 -4 -3 -3
 0 -3 -3 -3  9 -3 -4 -3 -3 -1 -1 -3 -1 -2 -3 -1 -1 -2 -2 -1
-1  1  0  0 -3  5  2 -2  0 -3 -2  1  0 -3 -1  0 -1 -2 -1 -2
-1  0  0  2 -4  2  5 -2  0 -3 -3  1 -2 -3 -1  0 -1 -3 -2 -2
 0 -2  0 -1 -3 -2 -2  6 -2 -4 -4 -2 -3 -3 -2  0 -2 -2 -3 -3
-2  0  1 -1 -3  0  0 -2  8 -3 -3 -1 -2 -1 -2 -1 -2 -2  2 -3
-1 -3 -3 -3 -1 -3 -3 -4 -3  4  2 -3  1  0 -3 -2 -1 -3 -1  3
-1 -2 -3 -4 -1 -2 -3 -4 -3  2  4 -2  2  0 -3 -2 -1 -2 -1  1
-1  2  0 -1 -3  1  1 -2 -1 -3 -2  5 -1 -3 -1  0 -1 -3 -2 -2
-1 -1 -2 -3 -1  0 -2 -3 -2  1  2 -1  5  0 -2 -1 -1 -1 -1  1
-2 -3 -3 -3 -2 -3 -3 -3 -1  0  0 -3  0  6 -4 -2 -2  1  3 -1
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4  7 -1 -1 -4 -3 -2
 1 -1  1  0 -1  0  0  0 -1 -2 -2  0 -1 -2 -1  4  1 -3 -2 -2
 0 -1  0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1  1  5 -2 -2  0
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1  1 -4 -3 -2 11  2 -3
-2 -2 -2 -3 -2 -1 -2 -3  2 -1 -1 -2 -1  3 -3 -2 -2  2  7 -1
 0 -3 -3 -3 -1 -2 -2 -3 -3  3  1 -2  1 -1 -2 -2  0 -3 -1  4
"""


def main() -> None:
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        splits = load_deeploc(write_scl2205(folder)[0], validation=0)
    test, train = ([unspace(sequence) for sequence in splits[name]["sequence"][:]] for name in ("test", "train"))
    found = {"by evolution": measure(train, evolved(train)), "by any others": measure(train, uniform())}
    start, busy = time.perf_counter(), cpu_seconds()
    find_neighbours(test, train, identity=0)
    seconds, busy = time.perf_counter() - start, cpu_seconds() - busy
    sizes = [len(test), len(train)]
    results = {"planted": PLANTED, **found, "seconds": seconds, "cpu_seconds": busy, "sizes": sizes}
    rows = []
    for length, one in found["by evolution"].items():
        name = f"of {one['proteins']:,} of {length} residues or more" if length else f"of {PLANTED:,} planted"
        shares = (lengths[length] for lengths in found.values())
        rows.append([name, *(f"{share['found']:.1%} ({share['covered']:.1%})" for share in shares)])
    table = markdown_table(["homologues of 30% identity", *(f"replaced {way}" for way in found)], rows)
    speed = f"In brackets: with {COVERAGE:.0%} of the protein aligned. The search of {len(test):,} proteins against "
    speed += f"{len(train):,} takes {busy:.0f} CPU seconds."
    publish("homologues", "Search for neighbours", results, f"{table}\n\n{speed}")


def measure(train: list[str], chances: np.ndarray) -> dict[int, dict[str, float]]:
    """How many planted homologues of the training proteins are found.

    Args:
        train: Residues of the proteins.
        chances: (20, 20), see [`planted`].

    Returns:
        By least length, 0 among them: how many `proteins` there are, and the shares that are `found`, and found with
        `COVERAGE` of the shorter one aligned.
    """
    rows = np.random.default_rng(SEED).choice(len(train), PLANTED, replace=False)
    found = find_neighbours(planted([train[row] for row in rows], chances), train, identity=0, coverage=0)
    own = found.select(found.target == rows[found.query])
    any_length = np.isin(np.arange(PLANTED), own.query)
    covered = np.isin(np.arange(PLANTED), own.query[own.coverage >= COVERAGE])
    lengths = np.array([len(train[row]) for row in rows])
    return {
        length: {
            "proteins": int((lengths >= length).sum()),
            "found": float(any_length[lengths >= length].mean()),
            "covered": float(covered[lengths >= length].mean()),
        }
        for length in (0, *LENGTHS)
    }


def planted(proteins: list[str], chances: np.ndarray) -> list[str]:
    """The proteins with a share of their residues, 1 - `IDENTITY`, replaced by others.

    Args:
        proteins: Residues.
        chances: (20, 20), of each residue that is replaced by each other one; a row sums to 1.
    """
    generator = np.random.default_rng(SEED)
    changed = []
    for residues in proteins:
        letters = list(residues)
        for place in generator.permutation(len(letters))[: round((1 - IDENTITY) * len(letters))]:
            row = RESIDUES.find(letters[place])
            others = chances[row] if row >= 0 else None  # X, U and others become anything
            letters[place] = RESIDUES[generator.choice(len(RESIDUES), p=others)]
        changed.append("".join(letters))
    return changed


def uniform() -> np.ndarray:
    """(20, 20), every other residue as often."""
    return _replaced(np.ones((20, 20)))


def evolved(proteins: list[str]) -> np.ndarray:
    """(20, 20), as related proteins differ: by how often BLOSUM62 has found a residue in place of another."""
    counts = np.array([sum(residues.count(letter) for residues in proteins) for letter in RESIDUES])
    scores = np.array(BLOSUM62.split(), dtype=float).reshape(20, 20)
    return _replaced(counts / counts.sum() * 2 ** (scores / 2))


def _replaced(weights: np.ndarray) -> np.ndarray:
    """Without those that stay, rows that sum to 1."""
    weights = weights * (1 - np.eye(len(weights)))
    return weights / weights.sum(1, keepdims=True)


if __name__ == "__main__":
    main()
