"""Run the blocks of a page in order, as its reader would: `python -m tests.docs.run_page PAGE`, in a folder of its own.

Blocks with a title are written to files of that name. Python blocks share their names, as the cells of a notebook.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from tests.docs.account import reader_account
from tests.docs.pages import blocks, command_lines, commands
from tests.docs.shell import Shell


def main(page: Path) -> None:
    needs_account = any("sagemaker" in words[:2] for words in command_lines(page))
    with ExitStack() as stack:
        account = stack.enter_context(reader_account(Path("account"))) if needs_account else None
        shell = stack.enter_context(Shell(account))
        names = {"__name__": "__main__"}
        for block in blocks(page):
            if block.title:
                Path(block.title).parent.mkdir(exist_ok=True)
                Path(block.title).write_text(block.text, encoding="utf-8")
            if block.language == "python":
                exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
            elif block.language == "bash":
                for words in commands(block):
                    shell.run(words, f"{page}:{block.line}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
