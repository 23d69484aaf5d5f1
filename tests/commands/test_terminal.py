"""What a command shows: its log, and bars that are not torn by it."""

import logging

import pytest
from tqdm.auto import tqdm

from protbert_classify.commands.terminal import log_to_stderr


@pytest.fixture
def log():
    logger = logging.getLogger("protbert_classify")
    before = logger.handlers[:], logger.propagate, logger.level
    log_to_stderr()
    yield logger
    logger.handlers[:], logger.propagate, logger.level = before


def test_a_line_of_the_log_is_not_written_into_a_bar(log, capsys):
    with tqdm(total=10, desc="embedding", mininterval=0) as bar:
        bar.update(3)
        log.info("searching 10 proteins")
        bar.update(7)
    before, after = capsys.readouterr().err.split("searching 10 proteins\n")
    assert before.endswith("\r") and "3/10" in before  # the bar is wiped
    assert after.startswith("\r") and "10/10" in after


def test_a_warning_says_that_it_is_one(log, capsys):
    log.warning("few proteins")
    assert capsys.readouterr().err == "warning: few proteins\n"


def test_without_a_bar_a_line_is_only_a_line(log, capsys):
    log.info("searching 10 proteins")
    assert capsys.readouterr().err == "searching 10 proteins\n"
