"""The memory of a server under thousands of clients that send large bodies slowly, and whether it still answers."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from tests.training.runs import ROOT, environment

from .servers import running

resource = pytest.importorskip("resource")  # not on Windows
pytestmark = pytest.mark.slow

CLIENTS = 4000
BODY = 6 * 2**20
BOUND = 512 * 2**20  # bytes beside the model, as docs/serving.md states
PATIENCE = 10  # seconds for an answer meanwhile, on a machine that also runs the clients


@contextmanager
def many_files(count):
    """Let this process, and those that it starts, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"at most {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Flood:
    """The clients; `last` is what they said last."""

    def __init__(self, process):
        self.process, self.last = process, {"open": 0, "sent": 0, "statuses": {}}
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.last = json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.reader.join(60)
        self.process.wait(60)
        self.process.stdout.close()


@contextmanager
def flood(folder, port, **spec):
    path = folder / "flood.json"
    path.write_text(json.dumps({"port": port, "clients": CLIENTS, "body": BODY, **spec}))
    line = [sys.executable, "-m", "tests.serving.flood", str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with many_files(CLIENTS + 200):
        process = subprocess.Popen(line, env=environment(), cwd=ROOT, **pipes)
    clients = Flood(process)
    try:
        yield clients
    finally:
        clients.end()


@pytest.mark.parametrize(
    ("chunk", "pause"),
    [
        pytest.param(1024, 2.0, id="within the bytes in flight"),
        pytest.param(8192, 2.0, id="beyond the bytes in flight"),
    ],
)
def test_4000_slow_clients_with_6_mib_bodies_take_bounded_memory_and_others_are_answered(model, tmp_path, chunk, pause):
    with running(model, tmp_path / "server") as server:
        assert server.invoke({"inputs": ["MKT"] * 100}).status == 200
        memory = psutil.Process(server.process.pid).memory_info
        before, most, slowest = memory().rss, 0, 0.0
        with flood(tmp_path, server.port, chunk=chunk, pause=pause) as clients:
            deadline = time.monotonic() + 60
            while server.metric("protbert_classify_connections") < 0.95 * CLIENTS:
                assert time.monotonic() < deadline, clients.last
                time.sleep(0.5)
            end = time.monotonic() + 20
            while time.monotonic() < end:
                start = time.monotonic()
                assert server.invoke({"inputs": ["MKT", "MKV"]}).status == 200
                slowest = max(slowest, time.monotonic() - start)
                most = max(most, memory().rss)
                time.sleep(0.2)
            print(f"{(most - before) / 2**20:.0f} MiB more, slowest answer {slowest:.2f} s", clients.last)
            assert clients.last["open"] > 0.95 * CLIENTS
            beyond = clients.last["sent"] > 64 * 2**20
            assert ("503" in clients.last["statuses"]) == beyond
        assert most - before < BOUND
        assert slowest < PATIENCE
        deadline = time.monotonic() + 60
        while server.metric("protbert_classify_bytes_in_flight") or server.metric("protbert_classify_connections") > 1:
            assert time.monotonic() < deadline, "connections stay after their clients left"
            time.sleep(0.2)
        assert server.invoke({"inputs": "MKT"}).status == 200
        assert "Traceback" not in server.errors()


# JSON that takes the most memory when it is parsed, and a request of the most proteins
EXPANDING = (b'{"inputs": [' + b'{"":1},' * (BODY // 7 - 10) + b"1]}", 422)
FULL = (json.dumps({"inputs": ["M" * 6000] * 1000}).encode(), 200)


@pytest.mark.parametrize("request_body, status", [EXPANDING, FULL], ids=["expanding", "full"])
def test_40_clients_that_send_6_mib_at_full_speed_take_bounded_memory(model, tmp_path, request_body, status):
    with running(model, tmp_path / "server") as server:
        assert server.invoke({"inputs": ["MKT"] * 100}).status == 200
        memory = psutil.Process(server.process.pid).memory_info
        before, most = memory().rss, 0
        with ThreadPoolExecutor(40) as clients:
            answers = [clients.submit(server.invoke, request_body) for _ in range(160)]
            while not all(answer.done() for answer in answers):
                most = max(most, memory().rss)
                time.sleep(0.05)
        statuses = [answer.result().status for answer in answers]
        print(f"{(most - before) / 2**20:.0f} MiB more", {status: statuses.count(status) for status in set(statuses)})
        assert status in statuses and set(statuses) <= {status, 429, 503}
        assert most - before < BOUND
        assert server.metric("protbert_classify_bytes_in_flight") == 0
