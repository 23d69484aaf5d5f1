"""The page on the command line has all that the parsers have."""

import argparse
import importlib.util
import re

import pytest

from tests.docs.pages import PAGES, ROOT

# of accelerate, trackio, curl and pip
OTHERS = {"config_file", "machine_rank", "project", "data-binary", "index-url", "limit"}


def load_generator():
    spec = importlib.util.spec_from_file_location("command_line", ROOT / "docs" / "command_line.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator():
    return load_generator()


@pytest.fixture(scope="module")
def page(generator):
    return generator.reference()


def test_every_option_of_every_command_is_explained_once_in_its_section(generator, page):
    sections = dict(
        zip(re.findall(r"^## (.*)$", page, re.MULTILINE), re.split(r"^## .*$", page, flags=re.MULTILINE)[1:])
    )
    parsers = generator.parsers()
    assert list(sections) == list(parsers)
    assert {"train", "predict", "sagemaker train"} <= set(sections)
    for name, parser in parsers.items():
        terms = re.findall(r"^(`.*)\n:   \S", sections[name], re.MULTILINE)
        named = [option for term in terms for option in re.findall(r"`([\w-]+)", term)]
        for action in parser._actions:
            if action.dest != "help" and action.help != argparse.SUPPRESS:
                assert named.count((action.option_strings or [action.dest])[0]) == 1, (name, action.dest)


@pytest.mark.parametrize(
    "words",
    [
        "`--max_length N`\n:   Maximum tokens of a protein, with the special tokens; ",
        "longer proteins are cropped. Default: `512`.",
        "`--label_column VALUE [VALUE ...]`",
        "`--crop {ends,head,tail}`",
        "`--freeze_backbone`\n:   Train only the pooling and the head.\n",
        "```text\nprotbert-classify train --data proteins.fasta --output_dir runs/mine\n",
        "`--output VALUE`\n:   the table to write: .csv, .tsv, .jsonl or .parquet. Required.",
        r"`'loc=(?P<label>\S+)'`",
        "`--no_cache_embeddings`",
        "`--lr_scheduler_type VALUE`",
    ],
)
def test_the_page_says_what_an_option_takes_and_its_default(page, words):
    assert words in page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_names_an_option_that_does_not_exist(generator, path):
    text = path.read_text().replace("\\\n", " ")
    text = re.sub(r"^.*\b(aws|docker|benchmarks\.\w+) .*$", "", text, flags=re.MULTILINE)  # others' commands
    known = {*OTHERS, "build-arg", generator.PLUGINS.removeprefix("--"), "help", "version"}
    for parser in generator.parsers().values():
        known |= {option.removeprefix("--") for action in parser._actions for option in action.option_strings}
    options = set(re.findall(r"(?<![\w-])--([a-z]+(?:[_-][a-z0-9]+)*)", text))
    assert sorted(options - known) == []
    assert options or path.name not in ("serving.md", "sagemaker.md")
