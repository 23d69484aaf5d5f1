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
from protbert_classify.serving.requests import JSON_LINES
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


class Listening(contextlib.AbstractContextManager):
    """A container whose process answers on loopback; its log is in `folder`.

    Attributes:
        url: Where it answers, once it is up.
        process: Ends with all that it started.
    """

    def __init__(self, folder, port):
        self.folder, self.port = Path(folder), port
        self.url = f"http://127.0.0.1:{port}"

    def __exit__(self, *_):
        self.stop()

    def wait(self):
        """Until /ping says 200, which is all that SageMaker waits for.

        Raises:
            RuntimeError: It does not; what SageMaker says, and the end of the log as its cause.
        """
        deadline = time.monotonic() + STARTING
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # nothing listens yet
                if ask(f"{self.url}/ping", timeout=10)[0] == 200:
                    return self
            time.sleep(0.05)
        raise RuntimeError(UNHEALTHY) from RuntimeError((self.folder / "log").read_text(errors="replace")[-4000:])

    def post(self, body, content_type, accept):
        """Invoke the model; returns status, Content-Type and body of the answer."""
        return ask(f"{self.url}/invocations", body, content_type, accept)

    def stop(self):
        self.process.kill()
        self.process.wait(30)


class OwnImage(Listening):
    """The image of docker/Dockerfile: `protbert-classify serve` around a model.tar.gz.

    Args:
        folder: Of the unpacked archive and the log.
        archive: Bytes of model.tar.gz.
        variables: Of PrimaryContainer of CreateModel.
    """

    def __init__(self, folder, archive, variables):
        super().__init__(folder, free_port())
        model = unpacked(archive, self.folder / "model")
        line = [sys.executable, "-m", "protbert_classify", "serve", "--model", model, "--port", str(self.port)]
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COV"))}
        environment = {**outside, "OMP_NUM_THREADS": "1", **variables}
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=log, env=environment, cwd=self.folder)


def answer_stubbed(body, content_type, accept):
    """Without a model: a row of a table for each line of JSON; or else the length of each protein as its label."""
    if content_type == JSON_LINES:
        return 200, accept, "".join(_row(json.loads(line)) for line in body.splitlines()).encode()
    return 200, accept, json.dumps([{"label": len(text), "score": 1.0} for text in json.loads(body)["inputs"]]).encode()


def _row(protein):
    row = {"id": protein["id"], "description": protein["description"], "length": len(protein["sequence"])}
    scores = {"location": "Nucleus", "score": 0.75, "Cytoplasm": 0.25, "Nucleus": 0.75}
    return json.dumps({**row, **scores, "truncated": False}) + "\n"


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
    """A container without a process, for an image of the name `stub`: answers with what it is given.

    Attributes:
        answer: Called with body, Content-Type and Accept of a request.
        asked: (Content-Type, Accept, body) of every request.
    """

    def __init__(self):
        self.answer, self.asked = answer_stubbed, []

    def post(self, body, content_type, accept):
        self.asked.append((content_type, accept, body))
        return self.answer(body, content_type, accept)
