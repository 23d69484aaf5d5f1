"""A running endpoint: proteins in, predictions out."""

import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property, partial
from typing import Any, Literal

from botocore.config import Config
from botocore.exceptions import ClientError

from ..data.column_names import ColumnNames
from ..data.reader import read_records
from ..data.records import Place, Record
from ..errors import OptionError, ProteinClassifierError
from ..inference.parts_folder import PartsFolder
from ..inference.streaming import FORMAT, PredictionSummary, begun, check_table, predict_parts
from ..inference.writers import Column, Prediction, table_for
from ..serving import client
from ..serving.requests import JSON, JSON_LINES
from .hosting import LONGEST, REAL_TIME
from .session import PREFIX, Session, if_there, is_missing, split_uri, translate_errors
from .status import clean_up, delete_endpoint, endpoint_config, log_place

PROTEINS = 64  # of a request: SageMaker waits 60 s for the answer of a real-time endpoint
PART = 1024  # proteins of a file between two savings; a queue has so many at once
PATIENCE = 300.0  # seconds to repeat a request that a busy endpoint refused; a serverless one starts in that time
PAUSE = 2.0  # seconds before the first repetition, twice as long before each further one
ASYNC_POLL = 1.0  # seconds between two looks for an answer in S3
ASYNC_WAIT = 7200.0  # seconds for an answer; SageMaker forgets a request that waited six hours


class TooSlow(ProteinClassifierError):
    """There was no answer in the time that SageMaker gives a real-time endpoint."""


class Predictor(AbstractContextManager):
    """An endpoint. As a context manager, it deletes the endpoint at the end, whatever happens.

    Args:
        endpoint_name: Of an endpoint that [`deploy`] created; the first request raises OptionError if there is none.
        session: See [`open_session`].
    """

    def __init__(self, endpoint_name: str, session: Session) -> None:
        self.endpoint_name, self.session = endpoint_name, session
        self.proteins_per_request = PROTEINS
        # an answer that did not come in time is not requested again: it would be computed twice
        config = Config(read_timeout=REAL_TIME + 10, connect_timeout=10, retries={"total_max_attempts": 1})
        self._runtime = session.boto_session.client("sagemaker-runtime", config=config)
        self._s3 = session.boto_session.client("s3")

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            self.delete()
        else:  # the error of the block is the one to raise
            clean_up(self.session, self.endpoint_name)

    def predict(self, sequences: str | Sequence[str], top_k: int | None | Literal["predicted"] = "predicted") -> Any:
        """Classify sequences.

        Args:
            sequences: A protein, or any number of them; raw, spaced or lower case.
            top_k: Number of classes to return, best first; None for all. By default, the predicted ones.

        Returns:
            What [`ProteinClassificationPipeline`] returns: for a protein `{"label", "score"}`, or a list of them with
            `top_k` other than 1 or where a protein can have several labels; for a list of proteins a list.

        Raises:
            SequenceError: A character that is not a residue; nothing was sent.
            ProteinClassifierError: The endpoint failed.
        """
        residues = client.cleaned([sequences] if isinstance(sequences, str) else sequences)
        answers = self._send(residues, JSON, len, partial(client.json_inputs, top_k=top_k), client.json_answer)
        found = [prediction for answer in answers for prediction in answer]
        return found[0] if isinstance(sequences, str) else found

    def predict_file(
        self,
        source: str,
        output: str,
        *,
        columns: ColumnNames | None = None,
        strict: bool = False,
        resume: bool = False,
        overwrite: bool = False,
    ) -> PredictionSummary:
        """Classify the proteins of a file through the endpoint; see [`inference.predict.predict_file`].

        Raises:
            InputError: A source or an option that cannot be used; with `strict`, a record.
            ProteinClassifierError: The endpoint failed.
            KeyboardInterrupt: Ctrl-C; finished parts are kept.
        """
        parts = PartsFolder(output)
        check_table(source, output)
        parts.check(resume, overwrite)
        config = endpoint_config(self.session, self.endpoint_name)["EndpointConfigName"]  # a new one, a new model
        records = client.short_enough(begun(read_records(source, columns)))
        first = Record(Place("first", 1, "first"), "", "M")
        table = table_for(output, self._table([first])[1])  # fails at once if the endpoint does not answer
        settings = {"format": FORMAT, "endpoint": self.endpoint_name, "endpoint_config": config, "part_size": PART}
        parts.begin(settings, resume)

        def classify(some: list[Record], bar: Any) -> list[Prediction]:
            predictions, _ = self._table(some)
            bar.update(len(some))
            return predictions

        return predict_parts(parts, records, table, classify, size=PART, source=source, strict=strict)

    def delete(self) -> None:
        """Delete the endpoint, its configuration and its model; see [`delete_endpoint`]."""
        delete_endpoint(self.endpoint_name, self.session)

    def _table(self, records: Sequence[Record]) -> tuple[list[Prediction], list[Column]]:
        """Classify checked records, all at once if the endpoint has a queue; and the columns of the table."""
        answers = self._send(records, JSON_LINES, client.line_size, client.json_lines, client.table_answer)
        return [prediction for predictions, _ in answers for prediction in predictions], answers[0][1]

    def _send(
        self, proteins: Sequence[Any], kind: str, size: Callable[[Any], int], encode: Callable, decode: Callable
    ) -> list[Any]:
        """The answers to as many requests as needed; a queue gets all of them before the first is waited for."""
        parts = list(client.split(proteins, size, self.proteins_per_request))
        pending = [self._submit(encode(part), kind) for part in parts]
        answers = []
        for part, answer in zip(parts, pending, strict=True):
            try:
                answers.append(decode(answer(), len(part)))
            except TooSlow:
                if len(part) == 1:
                    raise
                self.proteins_per_request = min(self.proteins_per_request, (len(part) + 1) // 2)
                answers += self._send(part, kind, size, encode, decode)
        return answers

    @cached_property
    def _queue(self) -> dict[str, Any] | None:
        """Where requests wait for an asynchronous endpoint; None if it answers at once."""
        return endpoint_config(self.session, self.endpoint_name).get("AsyncInferenceConfig")

    def _submit(self, body: bytes, kind: str) -> Callable[[], bytes]:
        """A function that gives the answer to a request: it waits for the queue's, or sends the request itself."""
        if self._queue is None:
            return partial(self._invoke, body, kind)
        output = self._queue["OutputConfig"]
        key = output.get("KmsKeyId")
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
        bucket, name = split_uri(output["S3OutputPath"])[0], f"{self.endpoint_name}/input/{secrets.token_hex(16)}"
        with translate_errors(f"send a request to the endpoint {self.endpoint_name}"):
            self._s3.put_object(Bucket=bucket, Key=f"{PREFIX}/{name}", Body=body, **encryption)
            places = self._runtime.invoke_endpoint_async(
                EndpointName=self.endpoint_name,
                InputLocation=f"s3://{bucket}/{PREFIX}/{name}",
                ContentType=kind,
                Accept=kind,
                InvocationTimeoutSeconds=LONGEST,
            )
        return partial(self._wait, places["OutputLocation"], places.get("FailureLocation"))

    def _invoke(self, body: bytes, kind: str) -> bytes:
        deadline, pause = time.monotonic() + PATIENCE, PAUSE
        request = {"EndpointName": self.endpoint_name, "Body": body, "ContentType": kind, "Accept": kind}
        while True:
            with translate_errors(f"send a request to the endpoint {self.endpoint_name}"):
                try:
                    return self._runtime.invoke_endpoint(**request)["Body"].read()
                except ClientError as error:
                    if not _is_busy(error) or time.monotonic() > deadline:
                        raise self._reason(error) from None
            time.sleep(pause)
            pause = min(2 * pause, 30.0)

    def _reason(self, error: ClientError) -> Exception:
        """What the container said, if it was the container that failed, or that it was too slow, or is gone."""
        if is_missing(error):
            return OptionError(f"endpoint {self.endpoint_name}: there is none of this name any more")
        if error.response["Error"]["Code"] != "ModelError":
            return error
        if "timed out" in str(error).lower():
            return TooSlow(
                f"endpoint {self.endpoint_name}: no answer within {REAL_TIME} s, the longest that SageMaker waits; use "
                "instances with a GPU, or an asynchronous endpoint"
            )
        said = str(error.response.get("OriginalMessage") or error.response["Error"]["Message"])
        return self._container_error(said, f" ({error.response.get('OriginalStatusCode')})")

    def _container_error(self, text: str, status: str = "") -> ProteinClassifierError:
        """What a container said, in one line: ours in `error`, Hugging Face's in `message`.

        The proteins were checked before they were sent, so it is not an error of the input.
        """
        with suppress(ValueError, AttributeError):
            said = json.loads(text)
            text = str(said.get("error") or said.get("message") or text)
        reason = f"{' '.join(text.split())[:500] or 'it does not say why'}; {log_place('Endpoint', self.endpoint_name)}"
        return ProteinClassifierError(f"endpoint {self.endpoint_name}: its container failed{status}: {reason}")

    def _wait(self, output: str, failure: str | None) -> bytes:
        """The answer of a queue, once it is in S3."""
        deadline = time.monotonic() + ASYNC_WAIT
        while time.monotonic() < deadline:
            if (answer := self._object(output)) is not None:
                return answer
            if failure and (error := self._object(failure)) is not None:
                raise self._container_error(error.decode(errors="replace"))
            time.sleep(ASYNC_POLL)
        late = f"no answer at {output} after {ASYNC_WAIT:.0f} s; {log_place('Endpoint', self.endpoint_name)}"
        raise ProteinClassifierError(f"endpoint {self.endpoint_name}: {late}")

    def _object(self, uri: str) -> bytes | None:
        bucket, key = split_uri(uri)
        with translate_errors(f"fetch the answer of {self.endpoint_name}"):
            found = if_there(self._s3.get_object, Bucket=bucket, Key=key)
        return None if found is None else found["Body"].read()


def _is_busy(error: ClientError) -> bool:
    """Whether the endpoint, or its container, will take the request later."""
    code, status = error.response["Error"]["Code"], error.response.get("OriginalStatusCode")
    not_ready = ("ModelNotReadyException", "ServiceUnavailable", "ThrottlingException")
    return code in not_ready or (code == "ModelError" and int(status or 0) in (429, 503))
