"""What the README shows is what the scripts printed."""

import re

import pytest

from .conftest import ROOT

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.stem)
def test_every_table_that_a_benchmark_printed_stands_on_the_benchmarks_page(result):
    assert result.read_text() in (ROOT / "benchmarks" / "README.md").read_text()


def test_the_readme_has_no_table_of_numbers_that_no_benchmark_printed():
    printed = "".join(path.read_text() for path in RESULTS)
    numbers = (ROOT / "README.md").read_text().split("## Numbers")[1].split("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", numbers, re.MULTILINE)
    assert tables and [table for table in tables if table not in printed] == []


def test_the_readme_names_no_option_that_does_not_exist():
    from protbert_classify.commands import estimate, evaluate, predict, push, report
    from protbert_classify.commands.train import help_text

    text = (ROOT / "README.md").read_text()
    parsers = [command._parser() for command in (estimate, evaluate, predict, push, report)]
    elsewhere = {"config_file", "project"}  # of accelerate and of trackio
    elsewhere |= {action.dest for parser in parsers for action in parser._actions}
    options = set(re.findall(r"--([a-z]+(?:_[a-z]+)*)", text)) - elsewhere
    assert options, "the README shows options"
    assert [name for name in sorted(options) if f"--{name}\n" not in help_text()] == []
