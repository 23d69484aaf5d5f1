import logging

import pytest
import torch

from tests.training.runs import easy_records, fasta


@pytest.fixture(autouse=True)
def fresh_logging():
    """The command line gives our logger a handler on the stderr of that moment."""
    yield
    logger = logging.getLogger("protbert_classify")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def easy(tmp_path):
    path = tmp_path / "easy.fasta"
    path.write_text(fasta(easy_records()))
    return str(path)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """So small models gain nothing from a second one, and lose much where others compute, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
