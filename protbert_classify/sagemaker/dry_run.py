"""A dry run: a session that may read from AWS but changes nothing, and records what it was asked to change."""

import json
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

READING = ("Get", "Head", "List", "Describe", "Simulate")  # the operations that change nothing
ANSWER = {"UploadId": "dry-run", "ETag": "dry-run"}  # to all others; uploads need it for their next step


class Finished(Exception):
    """A dry run reached its last request; the SDK would now look at the job that it created."""


class DryRun:
    """Records every change that a session is asked for, and makes none.

    Attributes:
        requests: (operation, request) of SageMaker, in order.
        uploads: Folder in S3 -> addresses of what goes there.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.uploads: dict[str, list[str]] = defaultdict(list)

    def watch(self, boto_session: Any) -> None:
        """Stand between AWS and every client that this session makes from now on."""
        boto_session.events.register("provide-client-params", self._record)
        boto_session.events.register("before-call", self._answer)

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name in ("PutObject", "CreateMultipartUpload"):
            uri = f"s3://{params['Bucket']}/{params['Key']}"
            self.uploads[_folder(uri)].append(uri)
        elif not model.name.startswith(READING) and model.service_model.service_name != "s3":
            self.requests.append((model.name, dict(params)))

    def _answer(self, model: Any, **_: Any) -> tuple[SimpleNamespace, dict[str, str]] | None:
        if model.name == "CreateTrainingJob":
            raise Finished
        return None if model.name.startswith(READING) else (SimpleNamespace(status_code=200, headers={}), {**ANSWER})

    def text(self) -> str:
        """Everything that would be sent: the uploads, a line for each folder, then each request as JSON."""
        whole = {folder: f"{len(uris)} files to {folder}/" for folder, uris in self.uploads.items()}
        lines = [f"upload {uris[0] if len(uris) == 1 else whole[folder]}" for folder, uris in self.uploads.items()]
        for operation, request in self.requests:
            lines += ["", operation, json.dumps(request, indent=2, default=str)]
        return "\n".join(lines).strip()


def _folder(uri: str) -> str:
    """The folder of an upload; the SDK's own scripts, in many folders, count as one."""
    before, drivers, _ = uri.partition("/sm_drivers/")
    return before + drivers.rstrip("/") if drivers else uri.rsplit("/", 1)[0]
