"""What a page shows works, as it stands: a reader copies it."""

import ast
import shutil
import sys
from importlib import import_module

import pytest

from protbert_classify.commands.train import _parser as train_parser
from tests.docs.conftest import call
from tests.docs.pages import NOT_RUN, NOT_RUN_COMMANDS, OF_CLOUDS, PAGES, PROG, blocks, commands, own_command

CHECKED = [page for page in PAGES if page.name not in OF_CLOUDS]
TRAINS_ITSELF = ("README.md", "first_run_command_line.md")  # the run in runs/protbert, which other pages find there
RUN = [page for page in CHECKED if any(block.language in ("bash", "python") for block in blocks(page))]


@pytest.mark.parametrize("page", CHECKED, ids=lambda page: page.name)
def test_every_block_names_its_language_and_every_command_can_be_run_or_says_why_not(page):
    for block in blocks(page):
        assert block.language in ("bash", "python", "text", "yaml", "json"), f"{page.name}:{block.line}"
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "bash":
            assert all(words[0] in (PROG, *NOT_RUN) for words in commands(block)), f"{page.name}:{block.line}"


def test_the_reasons_not_to_run_a_command_are_those_of_commands_that_are_shown():
    shown = [
        words for page in CHECKED for block in blocks(page) if block.language == "bash" for words in commands(block)
    ]
    assert {words[0] for words in shown} - {PROG} == set(NOT_RUN)
    assert set(NOT_RUN_COMMANDS) <= {words[1] for words in shown if words[0] == PROG}


@pytest.mark.parametrize("page", CHECKED, ids=lambda page: page.name)
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
            parser = (
                train_parser() if name == "train" else import_module(f"protbert_classify.commands.{name}")._parser()
            )
            assert parser.parse_known_args(arguments)[1] == [], f"{page.name}:{block.line}"


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_in_their_order(page, files, page_environment, tmp_path):
    folder = tmp_path / "here"
    shutil.copytree(files, folder)
    if page.name in TRAINS_ITSELF:
        shutil.rmtree(folder / "runs")
    printed = call([sys.executable, "-m", "tests.docs.run_page", str(page)], folder, page_environment)
    shown = [words for block in blocks(page) if block.language == "bash" for words in commands(block)]
    ran = [words for words in shown if words[0] == PROG and words[1] not in NOT_RUN_COMMANDS]
    assert [line[2:].split() for line in printed.splitlines() if line.startswith(f"$ {PROG} ")] == [
        " ".join(words).split() for words in ran
    ]
