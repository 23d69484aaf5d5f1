"""The numbers of the pages are those that scripts printed, and the picture shows what the demo printed."""

import re

import pytest

from protbert_classify.commands.demo import NAMED
from tests.docs.pages import ROOT

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
PRINTED = "".join(path.read_text() for path in RESULTS)
README = (ROOT / "README.md").read_text()
BENCHMARKS = (ROOT / "docs" / "benchmarks.md").read_text()
RESULTS_PAGE = (ROOT / "docs" / "results.md").read_text()


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.stem)
def test_every_table_that_a_benchmark_printed_stands_on_the_page_of_all_tables(result):
    assert result.read_text() in (ROOT / "benchmarks" / "README.md").read_text()


@pytest.mark.parametrize(
    "text",
    [README.split("## Results")[1].split("\n## ")[0], BENCHMARKS, RESULTS_PAGE],
    ids=["README", "benchmarks", "results"],
)
def test_every_table_of_results_was_printed_by_a_benchmark(text):
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert tables and [table for table in tables if table not in PRINTED] == []


def test_every_benchmark_is_on_the_page():
    shown = set(re.findall(r"python -m benchmarks\.(\w+)", BENCHMARKS))
    assert shown == {path.stem for path in RESULTS} - {"profile_cpu"}


def test_every_number_in_the_words_of_the_page_was_printed():
    words = re.sub(r"^\|.*$|\(https?://\S+\)", "", BENCHMARKS, flags=re.MULTILINE)
    numbers = re.findall(r"\d+(?:\.\d+)+|\d+e-\d+", words)
    assert len(numbers) >= 6
    assert [number for number in numbers if number not in PRINTED] == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_the_picture_shows_predictions_that_the_demo_printed():
    printed = {row[0]: row[1:] for row in re.findall(r"^(\w{6})  .*  (\S+) +(0\.\d\d)$", README, re.MULTILINE)}
    assert set(printed) == set(NAMED)
    table = (ROOT / "docs" / "images" / "overview.svg").read_text().split(">score</text>")[1]
    texts = re.findall(r"<text [^>]*>([^<]+)</text>", table)
    rows = list(zip(texts[::3], texts[1::3], texts[2::3], strict=True))
    assert len(rows) == 4
    assert [printed[accession] for accession, *_ in rows] == [(location, score) for _, location, score in rows]
    bars = re.findall(r'class="share" [^>]*width="([\d.]+)"', table)
    assert [float(width) / 80 for width in bars] == pytest.approx([float(score) for *_, score in rows])
