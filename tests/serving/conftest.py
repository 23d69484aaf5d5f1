"""A tiny classifier whose scores tell proteins apart, served for all tests of a module."""

import random

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.inference.saved_classifier import load_classifier
from protbert_classify.serving.served import ServedModel
from tests.inference.conftest import VALIDATION_SCORES, build_classifier


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("served")
    build_classifier(validation_scores=VALIDATION_SCORES).save_pretrained(folder / "model")
    protbert_tokenizer().save_pretrained(folder / "model")
    return str(folder)


@pytest.fixture(scope="session")
def server(model, tmp_path_factory):
    from .servers import running

    limits = ["--max_body", "50000", "--max_proteins", "5", "--max_residues", "2000", "--max_queue", "1000"]
    with running(model, tmp_path_factory.mktemp("server"), *limits) as server:
        yield server


@pytest.fixture(scope="session")
def served(model):
    return ServedModel(*load_classifier(model, "cpu"))


@pytest.fixture(scope="session")
def pipe(model):
    from protbert_classify import ProteinClassificationPipeline

    loaded, tokenizer = load_classifier(model, "cpu")
    return ProteinClassificationPipeline(model=loaded, tokenizer=tokenizer, device="cpu")


@pytest.fixture(scope="session")
def proteins():
    """Different proteins, some of them longer than the model reads."""
    generator = random.Random(0)
    return ["".join(generator.choices("ACDEFGHIKLMNPQRSTVWY", k=generator.randint(5, 40))) for _ in range(500)]
