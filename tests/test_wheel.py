"""The wheel works on its own, in an environment that has nothing else."""

import os
import subprocess
import sys

import pytest

from .conftest import ROOT, TINY_SHAPE

pytestmark = pytest.mark.slow


def test_the_wheel_trains_and_predicts_in_an_empty_environment(tmp_path, write_fasta):
    _run([sys.executable, "-m", "build", "--outdir", str(tmp_path / "dist"), str(ROOT)], ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert list((tmp_path / "dist").glob("*.tar.gz")), "an sdist is built, too"
    _run([sys.executable, "-m", "venv", str(tmp_path / "env")], tmp_path)
    python = str(tmp_path / "env" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt")]
    _run([*install, "torch"], tmp_path)
    _run([*install, f"{wheel}[demo]"], tmp_path)

    shape = tmp_path / "shape.json"
    shape.write_text(str(TINY_SHAPE).replace("'", '"'))
    command = [python, "-m", "protbert_classify"]
    tiny = ["--backbone_config", str(shape), "--max_length", "64", "--max_train_samples", "100"]
    _run([*command, "demo", "--output_dir", "run", "--num_train_epochs", "1", *tiny], tmp_path)
    fasta = write_fasta([("P1 first", "MKTAYIAKQR"), ("P2", "MNRGVPFRHLLLVLQ")])
    _run([*command, "predict", "--model", "run", "--input", fasta, "--output", "predictions.csv"], tmp_path)
    header, first, second = (tmp_path / "predictions.csv").read_text().splitlines()
    assert header.startswith("id,description,length,location,score,Cell.membrane,")
    assert first.startswith("P1,first,10,") and second.startswith("P2,,15,")


def _run(command, folder):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
