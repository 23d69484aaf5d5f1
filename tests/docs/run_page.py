"""Run the blocks of a page in order, as its reader would: `python -m tests.docs.run_page PAGE`, in a folder of its own.

Blocks with a title are written to files of that name. Python blocks share their names, as the cells of a notebook.
"""

import sys
from pathlib import Path

from protbert_classify.commands import main as run_command
from tests.docs.pages import NOT_RUN, NOT_RUN_COMMANDS, PROG, blocks, commands


def main(page: Path) -> None:
    names = {"__name__": "__main__"}
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        elif block.language == "bash":
            for words in commands(block):
                run(words, f"{page}:{block.line}")


def run(words: list[str], place: str) -> None:
    if words[0] in NOT_RUN or (words[0] == PROG and words[1] in NOT_RUN_COMMANDS):
        return
    assert words[0] == PROG, f"{place}: no way to run {words[0]}"
    print("$", *words, flush=True)
    code = run_command(words[1:])
    assert code == 0, f"{place}: {' '.join(words)}: exit code {code}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
