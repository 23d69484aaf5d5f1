"""Do prediction sets keep their promise on test proteins? `python -m benchmarks.sets`.

The demo's network on SCL2205: the coverage and size of its sets, for all test proteins, for those that have a neighbour
in training as `leakage` finds it, and for the others.
"""

import argparse
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table, publish
from protbert_classify.data.alphabet import unspace
from protbert_classify.data.deeploc import load_deeploc
from protbert_classify.data.scl2205 import write_scl2205
from protbert_classify.evaluation.prediction_sets import set_quality
from protbert_classify.homology.neighbours import find_neighbours
from protbert_classify.reporting.formatting import with_interval
from protbert_classify.runs.finished_run import Run, read_run
from protbert_classify.training.options import parse_options
from protbert_classify.training.run import train

ERRORS = (0.05, 0.1, 0.2)
HEADER = ["error", "sets", "test proteins", "coverage", "lowest of a class", "mean size", "empty"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="the folder of a finished demo; trained anew if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fasta, validation = write_scl2205(folder)
        run = read_run(options.run or trained(fasta, validation, f"{folder}/run"))
        near = has_neighbour(fasta, run)
        results = {
            "validation_proteins": run.metrics["prediction_sets"]["location"],
            "sets": [measured(run, error, by_class, near) for error in ERRORS for by_class in (False, True)],
        }
    rows = [row for found in results["sets"] for row in table_rows(found)]
    publish("sets", "Prediction sets on SCL2205", results, markdown_table(HEADER, rows))


def trained(fasta: Path, validation: Path, folder: str) -> str:
    """The demo's training, as the command runs it; returns its folder."""
    with as_file(files("protbert_classify.commands") / "demo.yaml") as recipe:
        arguments = [str(recipe), "--data", str(fasta), "--validation_data", str(validation)]
        train(*parse_options([*arguments, "--output_dir", folder]))
    return folder


def has_neighbour(fasta: Path, run: Run) -> np.ndarray:
    """(N,), bool: whether each test protein has a neighbour among the training proteins."""
    splits = load_deeploc(fasta, validation=0)
    train_proteins, test = ([unspace(text) for text in splits[name]["sequence"][:]] for name in ("train", "test"))
    assert run.predictions is not None and run.predictions.ids == splits["test"]["id"][:]
    found = np.zeros(len(test), dtype=bool)
    found[find_neighbours(test, train_proteins).query] = True
    return found


def measured(run: Run, error: float, by_class: bool, near: np.ndarray) -> dict[str, Any]:
    """The sets at an error, of all test proteins and of two parts of them."""
    assert run.predictions is not None
    decision, references = run.predictions.decision, run.predictions.references
    parts = {"all": None, "with a neighbour in training": near, "without": ~near}
    return {
        "error": error,
        "by_class": by_class,
        "parts": {
            name: set_quality(decision, references, rows, error=error, by_class=by_class)
            for name, rows in parts.items()
        },
    }


def table_rows(found: dict[str, Any]) -> list[list[str]]:
    """A row for each part."""
    promise = "by class" if found["by_class"] else "of all classes"
    return [
        [
            f"{found['error']:g}",
            promise,
            f"{name} ({part['proteins']:,})",
            with_interval(part["coverage"], (part["low"], part["high"]), ".3f"),
            f"{min(of['coverage'] for of in part['per_class'].values() if of['proteins']):.3f}",
            f"{part['size']:.2f}",
            f"{part['empty']:.1%}",
        ]
        for name, part in found["parts"].items()
    ]


if __name__ == "__main__":
    main()
