"""The scores of the layers of a backbone as a table: in the terminal, on the page, and as CSV."""

import csv
import os
from pathlib import Path

from ..evaluation.layer_scores import LayerScores
from ..evaluation.metrics import NAMES
from ..runs.files import write_atomically
from .formatting import Rows

WIDTH = 18  # characters of a column


def layers_header(found: LayerScores) -> list[str]:
    """`layer` and the names of the metrics, for people."""
    return ["layer", *(NAMES[name] for name in found.metrics)]


def layers_rows(found: LayerScores) -> Rows:
    """A row for each layer."""
    return [
        [str(layer), *(f"{scores[name]:.3f}" for name in found.metrics)] for layer, scores in enumerate(found.layers, 1)
    ]


def layers_text(found: LayerScores) -> str:
    """The table for the terminal, the best layer marked."""
    lines = []
    for cells in [layers_header(found), *layers_rows(found)]:
        mark = "  best" if cells[0] == str(found.best) else ""
        lines.append(f"{cells[0]:>5}" + "".join(f"{cell:>{WIDTH}}" for cell in cells[1:]) + mark)
    return "\n".join(lines)


def write_layers_table(path: str | os.PathLike[str], found: LayerScores) -> None:
    """Write `layer` and all metrics of validation proteins as CSV, a row for each layer."""

    def write(part: str | os.PathLike[str]) -> None:
        with Path(part).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["layer", *found.layers[0]])
            table.writerows([layer, *scores.values()] for layer, scores in enumerate(found.layers, 1))

    write_atomically(path, write)
