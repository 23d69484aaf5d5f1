"""One request to an endpoint: at once, or through S3 and the queue of an asynchronous one."""

import json
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from ...errors import InputError, OptionError, ProteinClassifierError
from ..aws import PREFIX
from ..calls import is_missing
from ..hosting import LONGEST, REAL_TIME
from ..refusals import told
from ..s3 import split_uri
from .lifecycle import log_place

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

BUSY = (429, 503)  # statuses of a container that will take the request later
NOT_READY = ("ModelNotReadyException", "ServiceUnavailable", "ThrottlingException")
PATIENCE = 300.0  # seconds to ask a busy one again; a serverless one starts in that time
PAUSE = 2.0  # seconds before the first time, twice that before the next
ASYNC_POLL = 1.0  # seconds between two looks for an answer in S3
ASYNC_WAIT = 7200.0  # for an answer: SageMaker forgets a request that waited six hours


class Body(NamedTuple):
    """A request."""

    content: bytes
    content_type: str
    accept: str


class TooSlow(ProteinClassifierError):
    """There was no answer in the time that SageMaker gives a real-time endpoint."""


class Refused(InputError):
    """The container says that the request is wrong."""


class RealTime:
    """A real-time or serverless endpoint.

    Args:
        session: With AWS.
        name: Of the endpoint.
    """

    def __init__(self, session: "Session", name: str) -> None:
        # an answer that did not come is not asked for again: it would be computed twice
        config = Config(read_timeout=REAL_TIME + 10, connect_timeout=10, retries={"total_max_attempts": 1})
        self.client = session.boto_session.client("sagemaker-runtime", config=config)
        self.name = name

    def submit(self, body: Body) -> Callable[[], bytes]:
        """Nothing is sent before the answer is asked for."""
        return partial(self.ask, body)

    def ask(self, body: Body) -> bytes:
        """The answer to a request.

        Raises:
            TooSlow: It did not come in time.
            Refused: The container says that the request is wrong.
            ProteinClassifierError: Another failure.
        """
        deadline, pause = time.monotonic() + PATIENCE, PAUSE
        while True:
            with told(f"ask the endpoint {self.name}"):
                try:
                    return self._invoke(body)
                except ReadTimeoutError:
                    raise self._too_slow() from None
                except ClientError as error:
                    if not _is_busy(error) or time.monotonic() > deadline:
                        self._explain(error)
                        raise
            time.sleep(pause)
            pause = min(2 * pause, 30.0)

    def _invoke(self, body: Body) -> bytes:
        answer = self.client.invoke_endpoint(
            EndpointName=self.name, Body=body.content, ContentType=body.content_type, Accept=body.accept
        )
        return answer["Body"].read()

    def _too_slow(self) -> TooSlow:
        return TooSlow(
            f"endpoint {self.name}: no answer within {REAL_TIME} s, the longest that SageMaker waits; take instances "
            "with a GPU, or an asynchronous endpoint"
        )

    def _explain(self, error: ClientError) -> None:
        """Raise what the container said, if it did, or that there is none."""
        if error.response["Error"]["Code"].startswith("Validation") and "not found" in str(error):
            raise OptionError(f"endpoint {self.name}: it is gone; somebody deleted it") from None
        if error.response["Error"]["Code"] != "ModelError":
            return
        status = int(error.response.get("OriginalStatusCode") or 0)
        if "timed out" in str(error).lower():
            raise self._too_slow() from None
        reason = container_reason(str(error.response.get("OriginalMessage") or error.response["Error"]["Message"]))
        if 400 <= status < 500:
            raise Refused(f"endpoint {self.name}: its container refused ({status}): {reason}") from None
        raise ProteinClassifierError(
            f"endpoint {self.name}: its container failed ({status}): {reason}; {log_place(self.name)}"
        ) from None


class Queued:
    """An asynchronous endpoint: requests and answers are objects in S3.

    Args:
        session: With AWS.
        name: Of the endpoint.
        output: Prefix in S3 of its answers; requests are put beside.
        kms_key: That encrypts them.
        timeout: Seconds to wait for an answer.
    """

    def __init__(
        self, session: "Session", name: str, output: str, kms_key: str | None, timeout: float = ASYNC_WAIT
    ) -> None:
        self.client = session.boto_session.client("sagemaker-runtime")
        self.s3 = session.boto_session.client("s3")
        self.name, self.timeout = name, timeout
        self.bucket = split_uri(output)[0]
        self.encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}

    def submit(self, body: Body) -> Callable[[], bytes]:
        """Put a request into the queue; what is returned waits for its answer."""
        key = f"{PREFIX}/{self.name}/input/{secrets.token_hex(16)}"
        with told(f"ask the endpoint {self.name}"):
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body.content, **self.encryption)
            places = self.client.invoke_endpoint_async(
                EndpointName=self.name,
                InputLocation=f"s3://{self.bucket}/{key}",
                ContentType=body.content_type,
                Accept=body.accept,
                InvocationTimeoutSeconds=LONGEST,
            )
        return partial(self._wait, places["OutputLocation"], places.get("FailureLocation"))

    def _wait(self, output: str, failure: str | None) -> bytes:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            with told(f"fetch the answer of {self.name}"):
                answer = self._object(output)
                refusal = self._object(failure) if answer is None and failure else None
            if answer is not None:
                return answer
            if refusal is not None:
                reason = container_reason(refusal.decode(errors="replace"))
                raise ProteinClassifierError(f"endpoint {self.name}: {reason}; {log_place(self.name)}")
            time.sleep(ASYNC_POLL)
        raise ProteinClassifierError(
            f"endpoint {self.name}: no answer at {output} after {self.timeout:.0f} s; {log_place(self.name)}"
        )

    def _object(self, uri: str) -> bytes | None:
        bucket, key = split_uri(uri)
        try:
            return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey") or is_missing(error):
                return None
            raise


def container_reason(text: str) -> str:
    """What a container said, in one line: ours in `error`, Hugging Face's in `message`."""
    try:
        said: Any = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, dict):
        text = str(said.get("error") or said.get("message") or text)
    return " ".join(text.split())[:500] or "it does not say why"


def _is_busy(error: ClientError) -> bool:
    code = error.response["Error"]["Code"]
    return code in NOT_READY or (code == "ModelError" and int(error.response.get("OriginalStatusCode") or 0) in BUSY)
