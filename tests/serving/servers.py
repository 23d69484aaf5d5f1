"""A real server in a process of its own, on loopback, for as long as a test needs it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.training.runs import ROOT, command, environment

CHILD = os.path.join(os.path.dirname(__file__), "child.py")
HOST = "127.0.0.1"
STARTING = 60  # seconds, at most


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """What a test sees of a server: answers, counts, the log, and its end."""

    def __init__(self, process, port, folder):
        self.process, self.port, self.folder = process, port, folder

    def request(self, method, path, body=None, **headers):
        """Keywords are headers, `content_type` for Content-Type."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, names)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def invoke(self, body, content_type="application/json", **headers):
        body = json.dumps(body) if isinstance(body, (dict, list)) else body
        return self.request("POST", "/invocations", body, content_type=content_type, **headers)

    def metric(self, name, **labels):
        text = self.request("GET", "/metrics").body.decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def answers(self):
        """Whether anybody is there."""
        try:
            return self.request("GET", "/ping").status
        except OSError:
            return None

    def log(self):
        """Its lines of JSON."""
        return [json.loads(line) for line in self.errors().splitlines() if line.startswith("{")]

    def errors(self):
        return (self.folder / "stderr").read_text()

    def output(self):
        return (self.folder / "stdout").read_text()

    def wait_for(self, *statuses):
        """Until /ping answers with one of these."""
        deadline = time.monotonic() + STARTING
        while self.answers() not in statuses:
            assert self.process.poll() is None, self.errors()
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.02)

    def stop(self, signal):
        self.process.send_signal(signal)
        return self.process.wait(timeout=60)


def free_port():
    with socket.create_server((HOST, 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(model, folder, *options, held=(), threads="1"):
    """Serve a model.

    Args:
        folder: For its output, and for the files that hold a server which is `held`.
        options: Of the command.
        held: `loading`, `passing`: what must wait for the test to remove a file of that name; see child.py.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    arguments = ["--model", str(model), "--port", str(port), "--device", "cpu", *options]
    for name in held:
        (folder / name).touch()
    line = [sys.executable, CHILD, str(folder), *arguments] if held else command("serve", *arguments)
    with open(folder / "stdout", "w") as out, open(folder / "stderr", "w") as err:
        process = subprocess.Popen(line, stdout=out, stderr=err, env=environment(OMP_NUM_THREADS=threads), cwd=ROOT)
    server = Server(process, port, folder)
    try:
        server.wait_for(*((200, 503) if "loading" in held else (200,)))
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)
