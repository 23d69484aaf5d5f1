"""The Hugging Face inference container: its toolkit's order of calls, around the code of a model.tar.gz.

Arguments: the folder of the unpacked archive, a port. Nothing here knows of this package: what serves is the wheel that
the archive's requirements name.
"""

import importlib.util
import json
import os
import sys
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

MODEL = "/opt/ml/model"  # what the environment and the requirements call the folder


def install(folder):
    """What `pip install -r requirements.txt` does, but for the dependencies, which are there."""
    with open(os.path.join(folder, "code", "requirements.txt")) as file:
        for line in file.read().splitlines():
            if line.endswith(".whl"):
                site = os.path.join(folder, "..", "site")
                zipfile.ZipFile(line.replace(MODEL, folder)).extractall(site)
                sys.path.insert(0, site)


def load(folder):
    """The module that the environment names."""
    code = os.environ["SAGEMAKER_SUBMIT_DIRECTORY"].replace(MODEL, folder)
    path = os.path.join(code, os.environ["SAGEMAKER_PROGRAM"])
    specification = importlib.util.spec_from_file_location("inference", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class Handler(BaseHTTPRequestHandler):
    hooks = model = None

    def do_GET(self):
        self._answer(200, "application/json", b"{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind, accept = self.headers["Content-Type"], self.headers.get("Accept", "application/json")
        try:
            asked = self.hooks.input_fn(body.decode() if kind == "application/json" else body, kind)
            answer = self.hooks.output_fn(self.hooks.predict_fn(asked, self.model), accept)
            self._answer(200, accept, answer.encode())
        except Exception as error:
            reason = {"code": 400, "type": "InternalServerException", "message": str(error)}
            self._answer(400, "application/json", json.dumps(reason).encode())

    def _answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    folder, port = sys.argv[1:]
    install(folder)
    Handler.hooks = load(folder)
    Handler.model = Handler.hooks.model_fn(folder)
    HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
