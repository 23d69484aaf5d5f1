"""What the README shows is what the scripts printed."""

import re

import pytest

from .conftest import ROOT

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.stem)
def test_every_table_of_the_readme_is_one_that_a_benchmark_printed(result):
    table = "\n".join(line for line in result.read_text().splitlines() if line.startswith("|"))
    assert table in (ROOT / "README.md").read_text()
    assert table in (ROOT / "benchmarks" / "README.md").read_text()


def test_the_readme_names_no_option_that_does_not_exist():
    from protbert_classify.commands.train import help_text

    text = (ROOT / "README.md").read_text()
    elsewhere = {"model", "input", "output", "config_file", "help"}
    options = set(re.findall(r"--([a-z]+(?:_[a-z]+)*)", text)) - elsewhere
    assert options, "the README shows options"
    assert [name for name in sorted(options) if f"--{name}\n" not in help_text()] == []
