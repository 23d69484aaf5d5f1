"""SCL2205 (package `p-scldata`, MIT), 19,074 UniProt proteins with their localization, as FASTA like DeepLoc's."""

import csv
import importlib.util
import json
import os
from pathlib import Path

from ..errors import ProteinClassifierError

# SCL2205's names for what DeepLoc has, too; its Membrane is wider, any membrane that UniProt does not place elsewhere.
# Cell projection and the other combined locations are left out.
LOCATIONS = {
    "Cytoplasm": "Cytoplasm",
    "Cytoplasm;Nucleus": "Cytoplasm-Nucleus",
    "ER": "Endoplasmic.reticulum",
    "Membrane": "Cell.membrane",
    "Mitochondrion": "Mitochondrion",
    "Nucleus": "Nucleus",
    "Peroxisome": "Peroxisome",
    "Plastid": "Plastid",
    "Secreted": "Extracellular",
}
SPLITS = {"train": "trn", "validation": "evl", "test": "tst"}
WIDTH = 60  # residues a line


def write_scl2205(folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write the proteins as FASTA, with the splits that the package gives.

    Whether a protein is membrane-bound is not in the data: all have the flag U.

    Returns:
        The file of the training and test proteins, and that of the validation proteins.

    Raises:
        ProteinClassifierError: The package `p-scldata` is not installed, or is one that ships no data.
    """
    sequences, locations, splits = _read_package()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "scl2205.fasta", folder / "scl2205_validation.fasta"
    for path, names in zip(files, (("train", "test"), ("validation",)), strict=True):
        with open(path, "w", encoding="utf-8") as file:
            for name in names:
                for accession in splits[name]:
                    if locations[accession] in LOCATIONS:
                        mark = " test" if name == "test" else ""
                        file.write(f">{accession} {LOCATIONS[locations[accession]]}-U{mark}\n")
                        file.write(_wrapped(sequences[accession]))
    return files


def _read_package() -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    """Accession -> sequence, accession -> location, split -> accessions."""
    # found, not imported: the package itself loads pandas and reads everything
    spec = importlib.util.find_spec("scldata")
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
    sequences = {accession: row["seq"] for accession, row in rows.items()}
    locations = {accession: names[row["scl"]] for accession, row in rows.items()}
    splits = {split: [entries[str(index)] for index in parts[part]] for split, part in SPLITS.items()}
    return sequences, locations, splits


def _json(path: Path) -> dict:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _wrapped(sequence: str) -> str:
    return "".join(f"{sequence[start : start + WIDTH]}\n" for start in range(0, len(sequence), WIDTH))
