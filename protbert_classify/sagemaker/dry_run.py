"""What would be sent to AWS: a session that asks, but changes nothing, and keeps what it was told to change."""

import json
from collections import Counter
from typing import Any

ASKING = ("Get", "Head", "List", "Describe", "Simulate")  # operations that change nothing
ANSWERS: dict[str, dict[str, Any]] = {  # what the next step needs of one that was not done
    "CreateMultipartUpload": {"UploadId": "dry-run"},
    "UploadPart": {"ETag": "dry-run"},
    "PutObject": {"ETag": "dry-run"},
    "PutScalingPolicy": {"PolicyARN": "the ARN of the policy above"},
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
        requests: (operation, request) of SageMaker, its scaling and its alarms, in order.
        uploads: Addresses in S3, in order.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.uploads: list[str] = []

    def watch(self, boto_session: Any) -> None:
        """Stand between AWS and every client that this session makes from now on."""
        boto_session.events.register("provide-client-params", self._note)
        boto_session.events.register("before-call", self._answer)

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        operation = str(model.name)
        if operation in ("PutObject", "CreateMultipartUpload"):
            self.uploads.append(f"s3://{params['Bucket']}/{params['Key']}")
        elif not operation.startswith(ASKING) and model.service_model.service_name != "s3":
            self.requests.append((operation, dict(params)))

    def _answer(self, model: Any, **_: Any) -> tuple[_Done, dict[str, Any]] | None:
        operation = str(model.name)
        if operation.startswith(ASKING):
            return None
        if operation in LAST:
            raise Finished
        return _Done(), dict(ANSWERS.get(operation, {}))

    def text(self) -> str:
        """All of it, to read: the uploads, several of a folder in one line, then each request as JSON."""
        folders = Counter(map(_folder, self.uploads))
        lines = [f"upload {uri}" for uri in self.uploads if folders[_folder(uri)] == 1]
        lines += [f"upload {count} files to {folder}/" for folder, count in folders.items() if count > 1]
        for operation, request in self.requests:
            lines += ["", operation, json.dumps(request, indent=2, default=str)]
        return "\n".join(lines).strip()


def _folder(uri: str) -> str:
    """Where an upload goes; the SDK's own scripts, in many folders, are one."""
    before, drivers, _ = uri.partition("/sm_drivers/")
    return before + drivers.rstrip("/") if drivers else uri.rsplit("/", 1)[0]
