"""Shared ground of the tests: no network, caches of their own, a tiny ProtBERT and real proteins."""

import logging
import os
import signal
from pathlib import Path

import pytest

# before any Hugging Face import: a test that would reach for the Hub fails at once instead of waiting
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# tests that run beside each other share the cores; each of them would take all
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
if workers > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

# started in the background (nohup, some CI), a process ignores Ctrl-C, and so would every child that a test interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
DEEPLOC_SAMPLE = ROOT.parent / "shared" / "data" / "deeploc_sample.fasta"

TINY_SHAPE = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
}


@pytest.fixture(scope="session", autouse=True)
def own_caches(tmp_path_factory):
    """Arrow caches of a former run must not answer for today's code."""
    import datasets

    cache = tmp_path_factory.mktemp("hf")
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = cache / "datasets"
    os.environ["HF_DATASETS_CACHE"] = str(cache / "datasets")  # for subprocesses
    datasets.disable_progress_bars()
    yield
    datasets.config.HF_DATASETS_CACHE = before


@pytest.fixture(scope="session")
def deeploc_sample():
    """Real DeepLoc proteins, where the developers' folder lies beside the project."""
    if not DEEPLOC_SAMPLE.is_file():
        pytest.skip("the DeepLoc sample is not beside the project")
    return str(DEEPLOC_SAMPLE)


@pytest.fixture(scope="session")
def scl2205(tmp_path_factory):
    """Real UniProt proteins that every machine has: (train and test FASTA, validation FASTA)."""
    from protbert_classify.data.scl2205 import write_scl2205

    return tuple(map(str, write_scl2205(tmp_path_factory.mktemp("scl2205"))))


@pytest.fixture
def tiny_shape():
    return dict(TINY_SHAPE)


@pytest.fixture(scope="session")
def tokenizer():
    from protbert_classify.data.tokenizer import protbert_tokenizer

    return protbert_tokenizer()


@pytest.fixture
def tiny_classifier():
    """Build a `ProteinClassifier` with a tiny random BERT; keywords are fields of its configuration."""
    import torch

    from protbert_classify import ProteinClassifier, ProteinClassifierConfig

    def build(labels=("Cytoplasm", "Mitochondrion", "Nucleus"), shape=None, seed=0, **fields):
        torch.manual_seed(seed)
        config = ProteinClassifierConfig(
            dict(shape or TINY_SHAPE),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            **fields,
        )
        return ProteinClassifier(config)

    return build


@pytest.fixture
def write_fasta(tmp_path):
    """Write FASTA from (header, sequence) pairs and return its path."""

    def write(records, name="proteins.fasta"):
        path = tmp_path / name
        path.write_text("".join(f">{header}\n{sequence}\n" for header, sequence in records))
        return str(path)

    return write


@pytest.fixture
def log(caplog, monkeypatch):
    """What the package logs from INFO on, even if a command has shut its logger off from the root's."""
    monkeypatch.setattr(logging.getLogger("protbert_classify"), "propagate", True)
    caplog.set_level(logging.INFO, "protbert_classify")
    return caplog
