"""The hooks under the versions of SageMaker's inference container, which are older than ours."""

import json
import os
import subprocess
import sys

import pytest

from protbert_classify.data.tokenizer import protbert_tokenizer
from tests.conftest import TINY_SHAPE
from tests.cost.test_flops import ESM, T5, classifier
from tests.training.runs import ROOT, environment

from .container_child import answers

# as the newest image of Hugging Face has them; its torch, 2.6.0, is too large for every run: see `make container`
TRANSFORMERS = "5.5.3"
PACKAGES = (f"transformers=={TRANSFORMERS}", "huggingface_hub==1.33.0", "tokenizers==0.22.2")
OWN = "CONTAINER_PYTHON"  # an interpreter with the container's versions, torch among them
MODELS = {
    "bert": (TINY_SHAPE, "mean"),
    "light attention": (TINY_SHAPE, "light_attention"),
    "esm": (ESM, "cls"),
    "t5": (T5, "mean"),
}


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    """A command of Python with the container's versions, and its environment."""
    if OWN in os.environ:
        return os.environ[OWN], environment()
    folder = str(tmp_path_factory.mktemp("container"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PACKAGES]
    installed = subprocess.run(pip, capture_output=True, text=True, timeout=600)
    if installed.returncode != 0 and "No matching distribution" in installed.stderr:
        pytest.skip("no package index to install the container's transformers from")
    assert installed.returncode == 0, installed.stderr
    return sys.executable, environment(PYTHONPATH=os.pathsep.join([folder, str(ROOT)]))


@pytest.mark.slow
def test_every_kind_of_model_gives_the_same_scores_in_the_container(container, tmp_path):
    folders = [str(tmp_path / name) for name in MODELS]
    for folder, (shape, pooling) in zip(folders, MODELS.values(), strict=True):
        classifier(shape, pooling=pooling).save_pretrained(folder)
        protbert_tokenizer().save_pretrained(folder)
    python, variables = container
    command = [python, "-m", "tests.serving.container_child", *folders]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["versions"]["transformers"] == TRANSFORMERS
    for name, theirs, ours in zip(MODELS, found["answers"], answers(folders), strict=True):
        for their_row, our_row in zip(theirs, ours, strict=True):
            assert their_row == pytest.approx(our_row, abs=1e-5), name
