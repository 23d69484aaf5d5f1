"""Searches for neighbours that are kept on disk, so that the same proteins are searched once."""

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import mmseqs
from .neighbours import Neighbours, find_neighbours, search_method

FORMAT = 1  # of the files, and of what is searched for; files of another format are not read
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)  # a file that is then written again
FIELDS = ("query", "target", "identity", "coverage", "evalue")


def find_saved_neighbours(
    queries: Sequence[str], targets: Sequence[str], *, identity: float, coverage: float
) -> Neighbours:
    """[`find_neighbours`], or what it found for the same proteins before.

    The results are in the cache of `datasets`, in `protbert_classify/neighbours`. A disk without room costs only time.

    Args:
        queries: Residues, upper case, without spaces.
        targets: The proteins to search.
        identity: See [`find_neighbours`].
        coverage: See [`find_neighbours`].
    """
    path = _folder() / f"{_key(queries, targets, identity, coverage)}.npz"
    with contextlib.suppress(*UNREADABLE), open(path, "rb") as file, np.load(file) as saved:
        return Neighbours(**{name: saved[name] for name in FIELDS}, method=search_method())
    found = find_neighbours(queries, targets, identity=identity, coverage=coverage)
    with contextlib.suppress(OSError):
        _save(path, found)
    return found


def _folder() -> Path:
    import datasets  # half a second, and only splits need it

    return Path(datasets.config.HF_DATASETS_CACHE) / "protbert_classify" / "neighbours"


def _key(queries: Sequence[str], targets: Sequence[str], identity: float, coverage: float) -> str:
    about = [FORMAT, search_method(), *mmseqs.SETTINGS, identity, coverage]
    digest = hashlib.sha256(json.dumps(about).encode())
    for proteins in (queries, targets):
        digest.update(hashlib.sha256("\n".join(proteins).encode()).digest())
    return digest.hexdigest()


def _save(path: Path, found: Neighbours) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            np.savez(file, **{name: getattr(found, name) for name in FIELDS})
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
