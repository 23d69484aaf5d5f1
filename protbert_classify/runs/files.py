"""The files of a run's folder: their names, and writing them whole or not at all.

What is in them: `writer.py` writes them, and `finished_run.py` reads them.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

RECORD = "run.json"  # written last: a folder that has it holds a finished run
MODEL = "model"
METRICS = "metrics.json"
PREDICTIONS = "test_predictions.csv"
OUT_OF_FOLD = "out_of_fold_predictions.csv"  # of a cross-validation: each protein by a member that did not train on it
MEMBERS = ("seed-[0-9]*", "fold-[0-9]*")  # the runs of an ensemble, in its folder
TEST_NEIGHBOURS = "test_neighbours.csv"  # the nearest training protein of each test protein
DATA = "data.json"
STATE = "trainer_state.json"
SETTINGS = "settings.json"  # written when a run begins: what a resumed run must share with it
REJECTED = "rejected.csv"  # records that a pretraining could not read
FIGURES = "figures"
REPORT = "report.html"
SEARCH = "search"  # the folder of a search over hyperparameters: its trials, and the best options
SEARCH_PAGE = "search.html"


def write_atomically(path: str | os.PathLike[str], write: Callable[[str], object]) -> None:
    """Write beside the file and move it into place, so that no reader and no full disk is left with half of it.

    Args:
        path: The file.
        write: Called with the path to write to.
    """
    path = os.fspath(path)
    part = path + ".part"
    try:
        write(part)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


def read_json(path: str) -> Any:
    """The content of a JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path: str, value: Any, indent: int | None = 2) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomically(path, lambda part: _dump(part, value, indent))


def _dump(path: str, value: Any, indent: int | None) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=indent, ensure_ascii=False, default=str)
        file.write("\n")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Add the path to an error raised while it was written: torch and safetensors do not name it."""
    try:
        yield
    except Exception as error:
        error.add_note(path)
        raise
