"""What the README shows is what the scripts printed."""

import re
from importlib import import_module

import pytest

from protbert_classify import ProteinClassifier
from protbert_classify.commands import PLUGINS
from protbert_classify.commands.sagemaker import ACTIONS

from .conftest import ROOT
from .training.runs import easy_records

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.stem)
def test_every_table_that_a_benchmark_printed_stands_on_the_benchmarks_page(result):
    assert result.read_text() in (ROOT / "benchmarks" / "README.md").read_text()


def test_the_readme_has_no_table_of_numbers_that_no_benchmark_printed():
    printed = "".join(path.read_text() for path in RESULTS)
    numbers = (ROOT / "README.md").read_text().split("## Numbers")[1].split("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", numbers, re.MULTILINE)
    assert tables and [table for table in tables if table not in printed] == []


@pytest.mark.parametrize("page", ["README.md", "docs/sagemaker.md", "docs/serving.md"])
def test_no_page_names_an_option_that_does_not_exist(page):
    from protbert_classify.commands.train import help_text

    text = re.sub(r"^.*\b(aws|docker) .*$", "", (ROOT / page).read_text(), flags=re.MULTILINE)  # others' commands
    known = {"config_file", "project", "data-binary"}  # of accelerate, trackio and curl
    known |= {PLUGINS.removeprefix("--")}
    known |= set(re.findall(r"--([a-z0-9_]+)\n", help_text()))
    for command in ["estimate", "evaluate", "predict", "push", "report", "serve", *map("sagemaker.{}".format, ACTIONS)]:
        parser = import_module(f"protbert_classify.commands.{command}")._parser()
        known |= {text.removeprefix("--") for action in parser._actions for text in action.option_strings}
    options = set(re.findall(r"--([a-z]+(?:[_-][a-z0-9]+)*)", text))
    assert options, "the page shows options"
    assert sorted(options - known) == []


@pytest.mark.slow
def test_the_first_code_of_the_readme_trains_in_python(tmp_path, monkeypatch, tiny_classifier, tokenizer, write_fasta):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    tiny_classifier().backbone.save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    data = write_fasta(easy_records())
    code = code.replace("Rostlab/prot_bert_bfd", str(tmp_path / "encoder"))
    code = code.replace("load_deeploc()", f"load_deeploc({data!r})")
    monkeypatch.chdir(tmp_path)
    exec(code, names := {})
    assert names["trainer"].state.global_step > 0
    saved = ProteinClassifier.from_pretrained("runs/protbert/model")
    assert saved.config.labels == names["proteins"]["train"].features["location"].names
