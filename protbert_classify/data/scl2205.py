"""SCL2205 (package `p-scldata`, MIT), 19,074 UniProt proteins with their localization, as FASTA like DeepLoc's."""

import csv
import json
import logging
import os
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ..errors import ProteinClassifierError
from ..model.tasks import LABEL_SEPARATOR

logger = logging.getLogger(__name__)

# SCL2205's names for what DeepLoc has, too; its Membrane is wider, any membrane that UniProt does not place elsewhere.
LOCATIONS = {
    "Cytoplasm": "Cytoplasm",
    "ER": "Endoplasmic.reticulum",
    "Membrane": "Cell.membrane",
    "Mitochondrion": "Mitochondrion",
    "Nucleus": "Nucleus",
    "Peroxisome": "Peroxisome",
    "Plastid": "Plastid",
    "Secreted": "Extracellular",
}
AMBIGUOUS = {"Cytoplasm;Nucleus": "Cytoplasm-Nucleus"}  # the one combination that is a class of DeepLoc
SPLITS = {"train": "trn", "validation": "evl", "test": "tst"}
WIDTH = 60  # residues a line


class Protein(NamedTuple):
    """A protein of SCL2205.

    Args:
        accession: Of UniProt.
        residues: Upper case.
        location: Or several with `;` between them.
    """

    accession: str
    residues: str
    location: str


def write_scl2205(folder: str | os.PathLike[str], multi_label: bool = False) -> tuple[Path, Path]:
    """Write the proteins as FASTA, with the splits that the package gives.

    Whether a protein is membrane-bound is not in the data: all have the flag U. Left out are the proteins of a location
    that DeepLoc does not have, such as Cell projection, and with several locations, except Cytoplasm-Nucleus.

    Args:
        folder: Where the files go.
        multi_label: Whether proteins with several locations are written, too, if DeepLoc has all of them: as
            `Cytoplasm;Nucleus` and `Cytoplasm;Cell.membrane`.

    Returns:
        The file of the training and test proteins, and that of the validation proteins.

    Raises:
        ProteinClassifierError: The package `p-scldata` is not installed, or is one that ships no data.
    """
    splits = read_scl2205()
    found = Counter(protein.location for proteins in splits.values() for protein in proteins)
    named = {location: _name(location, multi_label) for location in found}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "scl2205.fasta", folder / "scl2205_validation.fasta"
    for path, names in zip(files, (("train", "test"), ("validation",)), strict=True):
        with open(path, "w", encoding="utf-8") as file:
            for name in names:
                for accession, residues, own_name in splits[name]:
                    location = named[own_name]
                    if location is not None:
                        mark = " test" if name == "test" else ""
                        file.write(f">{accession} {location}-U{mark}\n")
                        file.write(_wrapped(residues))
    left_out = {location: count for location, count in found.most_common() if named[location] is None}
    listed = ", ".join(f"{location} {count}" for location, count in left_out.items())
    logger.info("%d proteins of SCL2205 left out: %s", sum(left_out.values()), listed)
    return files


def _name(location: str, multi_label: bool) -> str | None:
    """What a location, or several, is called in the files; None if it is left out."""
    if not multi_label:
        return AMBIGUOUS.get(location) or LOCATIONS.get(location)
    names = [LOCATIONS.get(part) for part in location.split(LABEL_SEPARATOR)]
    return None if None in names else LABEL_SEPARATOR.join(filter(None, names))


def read_scl2205() -> dict[str, list[Protein]]:
    """All proteins, under SCL2205's own names of locations.

    Returns:
        `train`, `validation` and `test`.

    Raises:
        ProteinClassifierError: See [`write_scl2205`].
    """
    # found, not imported: the package itself loads pandas and reads everything
    spec = find_spec("scldata")
    data = Path(spec.origin).parent / "data" if spec is not None and spec.origin is not None else None
    if data is None or not (data / "scl2205.csv").is_file():
        raise ProteinClassifierError(
            "the proteins of the demo are not installed: pip install 'p-scldata==2025.6.0' (later ones ship no data)"
        )
    with open(data / "scl2205.csv", newline="", encoding="utf-8") as file:
        rows = {row["entry"]: row for row in csv.DictReader(file)}
    names = _json(data / "labels.json")["index_to_label"]
    entries = _json(data / "entries.json")
    parts = _json(data / "splits.json")
    proteins = {entry: Protein(entry, row["seq"], names[row["scl"]]) for entry, row in rows.items()}
    return {split: [proteins[entries[str(index)]] for index in parts[part]] for split, part in SPLITS.items()}


def _json(path: Path) -> dict:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _wrapped(sequence: str) -> str:
    return "".join(f"{sequence[start : start + WIDTH]}\n" for start in range(0, len(sequence), WIDTH))
