"""The notebook runs from top to bottom, on any machine that has the demo's proteins."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from .conftest import ROOT

NOTEBOOK = ROOT / "examples" / "01_fine_tune_deeploc.ipynb"


def output_of(notebook, text):
    """What the code cell that holds `text` printed or showed."""
    (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source)
    return "".join(out.get("text", "") or str(out.get("data", {}).get("text/plain", "")) for out in cell.outputs)


def test_the_notebook_imports_public_names_only():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    modules = re.findall(r"^(?:from|import) (protbert_classify\S*)", code, re.MULTILINE)
    assert modules and set(modules) == {"protbert_classify"}


@pytest.mark.slow
def test_the_notebook_runs_and_its_network_learns(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # for its shell commands
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    accuracy = float(output_of(notebook, "trainer.evaluate(test").split("accuracy: ")[1].split()[0])
    assert accuracy > 0.4  # the largest class has 30% of the proteins
    interval = output_of(notebook, "np.quantile(").split("interval: ")[1]
    low, high = (float(word) for word in interval.split(" to "))
    assert low < accuracy < high < low + 0.15
    lines = output_of(notebook, "!protbert-classify predict").splitlines()
    assert lines[1].startswith("id,description,length,location,score,Cell.membrane")
    assert Path(tmp_path, "predictions.csv").is_file() and not os.path.exists(tmp_path / "predictions.csv.parts")
