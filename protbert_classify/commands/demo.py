"""`protbert-classify demo`: train, test and save a small model on real proteins, in minutes on a laptop."""

import argparse
import csv
import os
import time
from importlib.resources import as_file, files

from .parsing import OneLineParser
from .terminal import hide_short_progress_bars

# well-known proteins of the test set
NAMED = {
    "P01730": "T-cell surface glycoprotein CD4, human",
    "P04141": "GM-CSF, human",
    "P07834": "CDC4, yeast",
    "P09022": "homeobox protein Hox-A1, mouse",
    "P12385": "release factor eRF1, yeast",
    "P33076": "class II transactivator CIITA, human",
}


def run(arguments: list[str]) -> int:
    options, more = _parser().parse_known_args(arguments)
    from ..data.scl2205 import write_scl2205
    from ..reporting.terminal_summary import training_summary
    from ..training.options import parse_options
    from ..training.run import train

    hide_short_progress_bars()
    start = time.monotonic()
    folder = options.output_dir
    proteins, validation = write_scl2205(os.path.join(folder, "data"))
    with as_file(files(__package__) / "demo.yaml") as recipe:
        own = ["--data", str(proteins), "--validation_data", str(validation), "--output_dir", folder]
        metrics = train(*parse_options([str(recipe), *own, *more], "protbert-classify demo"))
    print(f"\n{training_summary(metrics, folder)}\n\nProteins the model has not seen, test set:\n")
    print(named_predictions(os.path.join(folder, "test_predictions.csv")))
    print(NEXT.format(folder=folder, seconds=time.monotonic() - start))
    return 0


NEXT = """
All of it took {seconds:,.0f} s. Everything is in {folder}: the model in {folder}/model, metrics.json,
test_predictions.csv, figures/, and the proteins in data/.

Next:
  classify your own    protbert-classify predict --model {folder} --input yours.fasta --output predictions.csv
  use similar proteins add --training_proteins {folder}/data/scl2205.fasta --transfer_labels
  train ProtBERT       protbert-classify train --output_dir runs/protbert
                       (downloads ProtBERT and DeepLoc; needs a GPU)"""


def named_predictions(path: str) -> str:
    """The predictions for well-known proteins, as a table."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    lines = [f"{'':6}  {'':38}  {'true':<21}  {'predicted':<21}  score"]
    for accession, name in NAMED.items():
        row = rows[accession]
        lines.append(
            f"{accession}  {name:<38}  {row['location']:<21}  {row['predicted']:<21}  {float(row['score']):.2f}"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="protbert-classify demo",
        description="Train a small network from scratch on SCL2205 (15,851 UniProt proteins, 8 locations), test it and "
        "save it. The network is convolutional; nothing is downloaded. Takes about five minutes on 2 CPU cores. "
        "Requires the extra demo: pip install 'protbert_classify[demo]'. Options of train work, too, such as "
        "--num_train_epochs 1 for a quick look.",
        allow_abbrev=False,
    )
    parser.add_argument("--output_dir", default="runs/demo", help="folder for the results (default %(default)s)")
    return parser
