"""The OpenAPI document against the server, by schemathesis; and its patterns of text against the parser."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.serving.openapi import CSV_TEXT, FASTA_TEXT, INVOCATIONS
from protbert_classify.serving.requests import CSV, FASTA, read_query
from tests.training.runs import environment

from .servers import HOST, running

EXAMPLES = 100  # of each operation and phase


def generated(pattern):
    return st.from_regex(re.compile(pattern), fullmatch=True)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(fasta=generated(FASTA_TEXT["pattern"]), table=generated(CSV_TEXT["pattern"]))
def test_files_that_match_the_documented_patterns_are_read(fasta, table):
    assert read_query(fasta.encode(), FASTA).records
    assert read_query(table.encode(), CSV).records


@pytest.mark.parametrize("kind", [FASTA, CSV])
def test_the_examples_match_the_patterns(kind):
    content = INVOCATIONS["requestBody"]["content"][kind]
    assert re.fullmatch(content["schema"]["pattern"], content["example"])


@pytest.mark.slow
def test_schemathesis_finds_nothing_in_the_whole_document(model, tmp_path):
    with running(model, tmp_path / "server") as server:
        location = f"http://{HOST}:{server.port}/openapi.json"
        options = ["--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", location, *options],
            capture_output=True,
            text=True,
            timeout=600,
            env=environment(),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "4 selected / 4 total" in done.stdout
        assert "✅ 4 passed" in done.stdout, done.stdout  # in each phase that applies
        assert server.metric("protbert_classify_requests_total", path="/invocations", status="200") > 50
        assert server.metric("protbert_classify_requests_total", status="500") == 0
        assert "Traceback" not in server.errors()
