"""What would be sent to AWS: a session that asks, but changes nothing, and keeps what it was told to change."""

import json
from collections import Counter
from typing import Any

ASKING = ("Get", "Head", "List", "Describe", "Simulate")  # operations that change nothing
ANSWERS: dict[str, dict[str, Any]] = {  # what the next step needs of one that was not done
    "CreateMultipartUpload": {"UploadId": "dry-run"},
    "UploadPart": {"ETag": "dry-run"},
    "PutObject": {"ETag": "dry-run"},
}
LAST = ("CreateTrainingJob", "CreateHyperParameterTuningJob")  # the SDK looks at what it made; here is nothing


class Finished(Exception):
    """The last request of a dry run was reached."""


class _Done:
    status_code = 200
    headers: dict[str, str] = {}


class DryRun:
    """Keeps every change that a session is asked for, and makes none.

    Attributes:
        requests: (operation, request as it would go over the wire) of SageMaker and its scaling, in order.
        uploads: Addresses in S3, in order.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.uploads: list[str] = []

    def watch(self, boto_session: Any) -> None:
        """Stand between AWS and every client that this session makes from now on."""
        for operation in ("PutObject", "CreateMultipartUpload"):
            boto_session.events.register(f"provide-client-params.s3.{operation}", self._note_upload)
        boto_session.events.register("before-call", self._before_call)

    def _before_call(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[_Done, dict[str, Any]] | None:
        operation = str(model.name)
        if operation.startswith(ASKING):
            return None
        if model.service_model.service_name != "s3":
            self.requests.append((operation, json.loads(params["body"] or "{}")))
        if operation in LAST:
            raise Finished
        return _Done(), dict(ANSWERS.get(operation, {}))

    def _note_upload(self, params: dict[str, Any], **_: Any) -> None:
        self.uploads.append(f"s3://{params['Bucket']}/{params['Key']}")

    def text(self) -> str:
        """All of it, to read: the uploads, several of a folder in one line, then each request as JSON."""
        folders = Counter(uri.rsplit("/", 1)[0] for uri in self.uploads)
        lines = [f"upload {uri}" for uri in self.uploads if folders[uri.rsplit("/", 1)[0]] == 1]
        lines += [f"upload {count} files to {folder}/" for folder, count in folders.items() if count > 1]
        for operation, request in self.requests:
            lines += ["", operation, json.dumps(request, indent=2)]
        return "\n".join(lines).strip()
