"""A shell for the commands of a page: ours, curl to the server that the page starts, and AWS' command line."""

import json
import os
import signal
import subprocess
from contextlib import AbstractContextManager, ExitStack, redirect_stdout
from pathlib import Path

from protbert_classify.commands import main as run_command
from tests.docs.aws import Request
from tests.docs.pages import NOT_RUN, NOT_RUN_COMMANDS, PROG, redirection
from tests.serving.servers import HOST, running

PAGE_ADDRESS = f"{HOST}:8080"  # of a server, as a page writes it; here it gets a free port


class Shell(AbstractContextManager):
    """Runs command lines; a server that one of them starts answers until the `with` block ends.

    Args:
        account: Of AWS, if the page needs one.
    """

    def __init__(self, account=None):
        self.account = account
        self.server = None
        self.stack = ExitStack()

    def __exit__(self, *error):
        with self.stack:
            if self.server is not None and error[0] is None:
                assert self.server.stop(signal.SIGTERM) == 0, self.server.errors()

    def run(self, words, place):
        """Run a command; `place` is where it stands."""
        if words[0] in NOT_RUN or (words[0] == PROG and words[1] in NOT_RUN_COMMANDS):
            return
        print("$", *words, flush=True)
        words, target = redirection(words)
        run = {PROG: self._run_own, "curl": self._run_curl, "aws": self._run_aws}[words[0]]
        if target is None:
            run(words[1:], place)
        else:
            with open(target, "w", encoding="utf-8") as file, redirect_stdout(file):
                run(words[1:], place)

    def _run_own(self, words, place):
        if words[0] == "serve":
            return self._serve(words[1:])
        if self.account is not None:
            self.account.make_deletable(words)
        code = run_command(words)
        assert code == 0, f"{place}: {PROG} {' '.join(words)}: exit code {code}"

    def _serve(self, words):
        at = words.index("--model")
        model = os.path.abspath(words[at + 1])
        self.server = self.stack.enter_context(running(model, Path("server"), *words[:at], *words[at + 2 :]))

    def _run_curl(self, words, place):
        """An answer must be one to proteins: curl itself is content with a refusal."""
        assert any(PAGE_ADDRESS in word for word in words), f"{place}: a request to another server"
        words = [word.replace(PAGE_ADDRESS, f"{HOST}:{self.server.port}") for word in words]
        done = subprocess.run(["curl", "--silent", "--show-error", *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{place}: {done.stderr}"
        answer = json.loads(done.stdout)
        answers = answer if isinstance(answer, list) else [answer]
        assert answers and all("score" in protein for protein in answers), f"{place}: {done.stdout}"

    def _run_aws(self, words, place):
        request = Request(words)
        self.account.client(request.service, request.operation)(**request.parameters)
