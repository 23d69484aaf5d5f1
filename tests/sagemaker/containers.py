"""The containers that SageMaker would run, as processes here; AWS' own image is in `serving_toolkit.py`."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from protbert_classify.errors import InputError
from protbert_classify.serving import hooks
from tests.serving.servers import free_port

STARTING = 180  # seconds, at most
UNHEALTHY = (
    "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
    "CloudWatch logs for this endpoint."
)


def ask(url, body=None, content_type=None, accept=None, timeout=300):
    """POST, or GET without a body; returns status, Content-Type and body of the answer."""
    headers = {"Content-Type": content_type or "application/octet-stream", "Accept": accept or "*/*"}
    request = urllib.request.Request(url, body, headers if body is not None else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def unpacked(archive, folder):
    """Unpack the bytes of a model.tar.gz as SageMaker does; returns the folder."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return str(folder)


class OwnImage:
    """The image of docker/Dockerfile: `protbert-classify serve` around a model.tar.gz.

    Args:
        folder: Of the unpacked archive and the log.
        archive: Bytes of model.tar.gz.
        variables: Of PrimaryContainer of CreateModel.
    """

    def __init__(self, folder, archive, variables):
        folder = Path(folder)
        model, port = unpacked(archive, folder / "model"), free_port()
        self.url = f"http://127.0.0.1:{port}"
        line = [sys.executable, "-m", "protbert_classify", "serve", "--model", model, "--port", str(port)]
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COV"))}
        environment = {**outside, "OMP_NUM_THREADS": "1", **variables}
        with open(folder / "log", "w") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=log, env=environment, cwd=folder)

    def wait(self):
        """Until /ping says 200; raises what SageMaker says if it does not."""
        deadline = time.monotonic() + STARTING
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if ask(f"{self.url}/ping", timeout=5)[0] == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(UNHEALTHY)

    def post(self, body, content_type, accept):
        return ask(f"{self.url}/invocations", body, content_type, accept)

    def stop(self):
        self.process.kill()
        self.process.wait(30)


def answer_stubbed(body, content_type, accept):
    """The length of each protein of a request in JSON as its label."""
    return 200, accept, json.dumps([{"label": len(text), "score": 1.0} for text in json.loads(body)["inputs"]]).encode()


class NoProcess:
    """A container without a process: up at once."""

    def wait(self):
        pass

    def stop(self):
        pass


class HooksInProcess(NoProcess):
    """The hooks with nothing around them, for an image of the name `hooks`: fast, and with the scores of the model."""

    def __init__(self, folder, archive):
        self.model = hooks.model_fn(unpacked(archive, folder))

    def post(self, body, content_type, accept):
        try:
            predictions = hooks.predict_fn(hooks.input_fn(body, content_type), self.model)
            return 200, accept, hooks.output_fn(predictions, accept).encode()
        except InputError as error:
            return 400, "application/json", json.dumps({"code": 400, "message": str(error)}).encode()


class Stub(NoProcess):
    """A container without a process, for an image of the name `stub`: answers with what it is given."""

    def __init__(self):
        self.answer = answer_stubbed

    def post(self, body, content_type, accept):
        return self.answer(body, content_type, accept)
