"""A running endpoint: proteins in, calls out; changed, scaled and deleted."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from ...data.column_names import ColumnNames
from ...data.records import Record, checked
from ...errors import OptionError
from ...inference.streaming import PredictionSummary
from ...inference.writers import Column, Prediction
from ...serving.requests import JSON, JSON_LINES
from ..payloads import PROTEINS, cleaned, json_answer, json_inputs, json_line, rows_of, sized, split
from .autoscaling import PER_INSTANCE, autoscale
from .deletion import cleaned_up, delete_endpoint
from .invocation import Body, Queued, RealTime, TooSlow
from .lifecycle import MAX_WAIT, POLL, endpoint_config, existing_endpoint
from .updating import Change, update_endpoint
from .whole_file import predict_whole_file

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Predictor:
    """An endpoint. As a context manager, it deletes the endpoint in the end, whatever happens.

    Args:
        endpoint_name: Of an endpoint that [`deploy`] made.
        session: With AWS.
    """

    def __init__(self, endpoint_name: str, session: "Session") -> None:
        self.endpoint_name = endpoint_name
        self.session = session
        self.proteins_per_request = PROTEINS
        self._channel: RealTime | Queued | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.delete()
        else:  # what went wrong is told, not what came of it
            cleaned_up(self.endpoint_name, self.session)

    def predict(self, sequences: str | Sequence[str], top_k: int | None | Literal["predicted"] = "predicted") -> Any:
        """Classify sequences.

        Args:
            sequences: A protein, or any number of them; raw, spaced or lower case.
            top_k: Classes to return, best first; None for all. By default, the predicted ones.

        Returns:
            What [`ProteinClassificationPipeline`] returns: for a protein `{"label", "score"}`, or a list of them with
            `top_k` other than 1 or where a protein can have several labels; for a list of proteins a list.

        Raises:
            SequenceError: A character that is no residue; nothing was sent.
            ProteinClassifierError: What the endpoint said.
        """
        residues = cleaned([sequences] if isinstance(sequences, str) else sequences)
        calls = self._answers(residues, len, lambda some: Body(json_inputs(some, top_k), JSON, JSON), json_answer)
        return calls[0] if isinstance(sequences, str) else calls

    def rows(self, records: Iterable[Record]) -> Iterator[Prediction]:
        """Classify records, in their order, a request at a time.

        Raises:
            InputError: A record that cannot be classified.
            ProteinClassifierError: What the endpoint said.
        """
        for some in split(sized(map(checked, records)), _line_size):
            yield from self.table(some)[0]

    def table(self, records: Sequence[Record]) -> tuple[list[Prediction], list[Column]]:
        """Classify checked records, all at once if the endpoint has a queue; and the columns of the table."""
        answers = self._answers(
            records,
            _line_size,
            lambda some: Body(b"".join(map(json_line, some)), JSON_LINES, JSON_LINES),
            lambda answer, count: [(*rows_of(answer, count),)],
        )
        return [call for calls, _ in answers for call in calls], answers[0][1]

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
        """Classify the proteins of a source, as `protbert-classify predict` does, through the endpoint.

        Args:
            source: See [`read_unlabelled`].
            output: The .csv, .tsv, .jsonl or .parquet to write.
            columns: Names of a table's columns.
            strict: Stop at the first record that cannot be classified; else it goes to `<output>.rejected.csv`.
            resume: Continue with what an interrupted prediction left.
            overwrite: Forget it.

        Raises:
            InputError: A source or an option that cannot be used; with `strict`, a record.
            ProteinClassifierError: What the endpoint said.
            KeyboardInterrupt: Ctrl-C; what was done is kept.
        """
        answering = {
            "endpoint": self.endpoint_name,
            "endpoint_config": self.config["EndpointConfigName"],  # another one, another model
        }
        return predict_whole_file(
            self.table,
            answering,
            source,
            output,
            columns=columns,
            strict=strict,
            resume=resume,
            overwrite=overwrite,
        )

    def update(self, *, wait: bool = True, poll: float = POLL, max_wait: float = MAX_WAIT, **changes: Any) -> None:
        """Give it another model, instances or container; see [`update_endpoint`].

        Args:
            wait: Until it has changed.
            poll: Seconds between two looks.
            max_wait: Seconds.
            changes: `model`, `wheels`, `instance_type`, `instance_count`, `image_uri`, `environment`; see [`Change`].
        """
        known = [field.name for field in fields(Change)]
        for name in changes:
            if name not in known:
                raise OptionError(f"update: found {name}; expected {', '.join(known)}")
        change = Change(**changes)
        update_endpoint(self.session, self.endpoint_name, change, wait=wait, poll=poll, max_wait=max_wait)

    def autoscale(self, minimum: int, maximum: int, per_instance: float = PER_INSTANCE) -> None:
        """Let AWS choose the number of instances.

        Args:
            minimum: Instances; 0 is for asynchronous endpoints.
            maximum: Instances.
            per_instance: Requests that one is to have: a minute, or, asynchronous, waiting.

        Raises:
            OptionError: Bounds that cannot be, or an endpoint without instances.
        """
        autoscale(self.session, self.endpoint_name, self.config, minimum, maximum, per_instance)

    def delete(self) -> None:
        """Delete the endpoint, its configuration, model and scaling; see [`delete_endpoint`]."""
        delete_endpoint(self.endpoint_name, self.session, missing_ok=True)

    @property
    def config(self) -> dict[str, Any]:
        """What SageMaker says of its configuration; another one after an update."""
        described = existing_endpoint(self.session, self.endpoint_name)
        return endpoint_config(self.session, described["EndpointConfigName"])

    @property
    def channel(self) -> RealTime | Queued:
        """How requests get there."""
        if self._channel is None:
            queue = self.config.get("AsyncInferenceConfig")
            if queue is None:
                self._channel = RealTime(self.session, self.endpoint_name)
            else:
                output = queue["OutputConfig"]
                self._channel = Queued(self.session, self.endpoint_name, output["S3OutputPath"], output.get("KmsKeyId"))
        return self._channel

    def _answers(
        self,
        asked: Sequence[Asked],
        size: Callable[[Asked], int],
        encode: Callable[[Sequence[Asked]], Body],
        decode: Callable[[bytes, int], list[Told]],
    ) -> list[Told]:
        """Send what is asked in as many requests as it takes; a queue gets all of them before the first is awaited."""
        parts = list(split(asked, size, self.proteins_per_request))
        pending = [self.channel.submit(encode(part)) for part in parts]
        told: list[Told] = []
        for part, answer in zip(parts, pending, strict=True):
            try:
                told += decode(answer(), len(part))
            except TooSlow:
                if len(part) == 1:
                    raise
                self.proteins_per_request = min(self.proteins_per_request, (len(part) + 1) // 2)
                told += self._answers(part, size, encode, decode)
        return told


def attach(endpoint_name: str, session: "Session") -> Predictor:
    """A predictor of an endpoint that is there.

    Raises:
        OptionError: There is none of this name.
    """
    existing_endpoint(session, endpoint_name)
    return Predictor(endpoint_name, session)


def _line_size(record: Record) -> int:
    return len(json_line(record))
