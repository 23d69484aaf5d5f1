"""What a page shows works, as it stands: a reader copies it."""

import ast
import shutil
import sys
from importlib import import_module

import pytest

from protbert_classify.commands.sagemaker import parser_of
from protbert_classify.commands.train import _parser as train_parser
from tests.docs.aws import Request
from tests.docs.conftest import call
from tests.docs.pages import NOT_RUN, NOT_RUN_COMMANDS, PAGES, PROG, RUN, blocks, command_lines, commands, own_command

TRAINS_ITSELF = ("README.md", "first_run_command_line.md")  # the run in runs/protbert, which other pages find there
WITH_CODE = [page for page in PAGES if any(block.language in ("bash", "python") for block in blocks(page))]
TIMEOUT = {"sagemaker.md": 900}  # seconds of a page with jobs that install and train


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_names_its_language_and_every_command_can_be_run_or_says_why_not(page):
    for block in blocks(page):
        assert block.language in ("bash", "python", "text", "yaml", "json"), f"{page.name}:{block.line}"
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "bash":
            assert all(words[0] in (*RUN, *NOT_RUN) for words in commands(block)), f"{page.name}:{block.line}"


def test_the_reasons_not_to_run_a_command_are_those_of_commands_that_are_shown():
    shown = [words for page in PAGES for words in command_lines(page)]
    assert {words[0] for words in shown} - set(RUN) == set(NOT_RUN)
    assert set(NOT_RUN_COMMANDS) <= {words[1] for words in shown if words[0] == PROG}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_ours_is_read_by_its_parser(page):
    for block in blocks(page):
        for words in commands(block) if block.language == "bash" else ():
            name, *arguments = own_command(words) or [""]
            if not name or name.startswith("-"):
                continue
            if "--plugins" in arguments:
                at = arguments.index("--plugins")
                del arguments[at : at + 2]
            if arguments and arguments[0].endswith(".yaml"):
                del arguments[0]
            assert unknown(name, arguments) == [], f"{page.name}:{block.line}"


def unknown(name, arguments):
    """The words that a command does not know."""
    if name == "train":
        return train_parser().parse_known_args(arguments)[1]
    if name != "sagemaker":
        others = import_module(f"protbert_classify.commands.{name}")._parser().parse_known_args(arguments)[1]
        return unknown("train", others) if name == "demo" else others  # the demo takes the options of train, too
    action, *arguments = arguments
    parser = parser_of(action)
    others = parser.parse_known_args(arguments)[1]
    return unknown("train", others) if action == "train" else others  # a job trains with the options of train


def test_aws_has_every_operation_and_parameter_that_a_page_asks_it_for():
    lines = [words for page in PAGES for words in command_lines(page) if words[0] == "aws"]
    assert len(lines) >= 6
    for words in lines:
        Request(words[1:], read=lambda path: path)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_in_their_order(page, files, page_environment, tmp_path):
    folder = tmp_path / "here"
    shutil.copytree(files, folder)
    if page.name in TRAINS_ITSELF:
        shutil.rmtree(folder / "runs")
    printed = call(
        [sys.executable, "-m", "tests.docs.run_page", str(page)], folder, page_environment, TIMEOUT.get(page.name, 400)
    )
    ran = [words for words in command_lines(page) if words[0] in RUN and words[1] not in NOT_RUN_COMMANDS]
    assert [line[2:].split() for line in printed.splitlines() if line.startswith("$ ")] == [
        " ".join(words).split() for words in ran
    ]
