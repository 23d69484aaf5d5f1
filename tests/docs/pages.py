"""The README and the pages of the documentation, and the code blocks in them."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROG = "protbert-classify"
RUN = (PROG, "curl", "aws")  # the programs that a test runs

# first word of a command that a test cannot run as it stands -> why
NOT_RUN = {
    "make": "sets up an environment; CI runs each of these",
    "docker": "builds an image from an index of packages; tests/sagemaker/containers.py runs what the image does",
    "pip": "installs packages; tests/test_wheel.py installs the wheel",
    "hf": "asks for a token; the tests have one",
    "accelerate": "for several GPUs; tests/training/test_distributed.py launches two processes on a CPU",
    "python": "benchmarks, which take minutes",
}
NOT_RUN_COMMANDS = {"demo": "takes minutes; tests/commands/test_demo.py runs a short one"}


class Block(NamedTuple):
    """A fenced block: where it begins, its language, the name of the file that it is, if any, and its text."""

    line: int
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            language, _, more = token.info.partition(" ")
            title = more.removeprefix('title="').removesuffix('"')
            found.append(Block(token.map[0] + 1, language, title, token.content))
    return found


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a shell block, in words."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def command_lines(page: Path) -> list[list[str]]:
    """All commands of a page, in order."""
    return [words for block in blocks(page) if block.language == "bash" for words in commands(block)]


def redirection(words: list[str]) -> tuple[list[str], str | None]:
    """A command, and the file that its output goes to, if any."""
    return (words[:-2], words[-1]) if words[-2:-1] == [">"] else (words, None)


def own_command(words: list[str]) -> list[str] | None:
    """The command of ours that a command line begins or launches; None for others."""
    words, _ = redirection(words)
    if words[0] == PROG:
        return words[1:]
    if words[0] == "accelerate" and "protbert_classify" in words:
        return words[words.index("protbert_classify") + 1 :]
    if words[0] == "accelerate" and "examples/train.py" in words:
        return ["train", *words[words.index("examples/train.py") + 1 :]]
    return None
