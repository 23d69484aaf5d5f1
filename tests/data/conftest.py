"""What the tests of the data share: the package's log, and real proteins loaded once."""

import logging

import pytest
from hypothesis import settings

# a shared machine may be slow; nothing is kept between runs
settings.register_profile("data", deadline=None, database=None, max_examples=60)
settings.load_profile("data")


@pytest.fixture
def log(caplog, monkeypatch):
    """What the package logs from INFO on, even if a command has shut its logger off from the root's."""
    monkeypatch.setattr(logging.getLogger("protbert_classify"), "propagate", True)
    caplog.set_level(logging.INFO, "protbert_classify")
    return caplog


@pytest.fixture
def write_bytes(tmp_path):
    """Write a file byte by byte as given and return its path."""

    def write(content, name="proteins.fasta"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.fixture(scope="session", params=["deeploc_sample", "scl2205"])
def real_fasta(request):
    """A FASTA file of real proteins: the DeepLoc sample, then SCL2205."""
    source = request.getfixturevalue(request.param)
    return source if isinstance(source, str) else source[0]


@pytest.fixture(scope="session")
def real_proteins(real_fasta, own_caches):
    """Its splits, no protein left out."""
    from protbert_classify import load_deeploc

    return load_deeploc(real_fasta, validation=0, ambiguous="keep")
