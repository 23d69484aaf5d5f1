"""A message that a reader searches for is one that the package says."""

import ast
import re

import pytest

import protbert_classify
from tests.docs.pages import ROOT

MESSAGES = re.findall(r"^### `(.*)`$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
HOLE = "\0"  # in place of what an f-string fills in


@pytest.fixture(scope="module")
def texts():
    """All texts of the package, f-strings with a hole for each value."""
    found = []
    for path in ROOT.joinpath(protbert_classify.__name__).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_there_are_the_messages_of_twenty_and_more_errors():
    assert len(MESSAGES) >= 20 and len(set(MESSAGES)) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_the_package_says_it(message, texts):
    parts = [part.strip() for part in re.split(r"\.{3}", message)]
    pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    assert any(pattern.search(text) for text in texts)
