"""The containers that SageMaker would run, as processes here."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from protbert_classify.sagemaker.packaging import unpack
from tests.serving.servers import free_port

TOOLKIT = Path(__file__).with_name("container.py")
STARTING = 120  # seconds, at most


class Container:
    """A process that serves a model.tar.gz.

    Args:
        folder: Of the unpacked archive and the log.
        archive: Bytes of model.tar.gz.
        wanted: PrimaryContainer of CreateModel.
    """

    def __init__(self, folder, archive, wanted):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        (self.folder / "model.tar.gz").write_bytes(archive)
        model = str(self.folder / "model")
        unpack(str(self.folder / "model.tar.gz"), model)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        line = [sys.executable, str(TOOLKIT), model, str(port)]
        if "huggingface" not in wanted["Image"]:  # an image of ours
            line = [sys.executable, "-m", "protbert_classify", "serve", "--model", model, "--port", str(port)]
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COV"))}
        environment = {**outside, "OMP_NUM_THREADS": "1", **wanted.get("Environment", {})}
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=log, env=environment, cwd=self.folder)

    def wait(self):
        """Until it answers /ping; raises what SageMaker says if it does not."""
        deadline = time.monotonic() + STARTING
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/ping", timeout=5).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(
            "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
            "CloudWatch logs for this endpoint."
        )

    def post(self, body, content_type, accept):
        headers = {"Content-Type": content_type or "application/octet-stream", "Accept": accept or "*/*"}
        request = urllib.request.Request(f"{self.url}/invocations", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read()

    def stop(self):
        self.process.kill()
        self.process.wait(30)


def answer_stubbed(body, content_type, accept):
    """The length of each protein of a request in JSON as its label."""
    return 200, accept, json.dumps([{"label": len(text), "score": 1.0} for text in json.loads(body)["inputs"]]).encode()


class Stub:
    """A container without a process, for an image of the name `stub`: answers with what it is given."""

    def __init__(self):
        self.answer = answer_stubbed

    def wait(self):
        pass

    def stop(self):
        pass

    def post(self, body, content_type, accept):
        return self.answer(body, content_type, accept)
