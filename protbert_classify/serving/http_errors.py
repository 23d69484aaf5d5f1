"""Why a request gets no predictions, and the HTTP status that says so.

Any other [`InputError`], such as a character that is not a residue, is status 400. A model whose scores are not numbers
is not the client's fault: status 500.
"""

from ..errors import InputError, ModelError, ProteinClassifierError


class Refusal(ProteinClassifierError):
    """A request that gets no predictions.

    Args:
        reason: What the client is told.
        retry_after: Seconds after which the client may try again; None if that would not help.
    """

    status = 400

    def __init__(self, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class NotAcceptable(Refusal, InputError):
    """The client accepts none of the formats of an answer."""

    status = 406


class TooSlow(Refusal, InputError):
    """The body of a request did not arrive in time."""

    status = 408


class TooLarge(Refusal, InputError):
    """A request of more bytes or proteins than the limits."""

    status = 413


class UnsupportedContent(Refusal, InputError):
    """A body in an unknown format, charset or encoding."""

    status = 415


class Unprocessable(Refusal, InputError):
    """Valid JSON of an unexpected shape, or a protein longer than the limit."""

    status = 422


class QueueFull(Refusal):
    """More proteins would wait than the limit."""

    status = 429


class NotReady(Refusal):
    """The model is still loading, or the server is shutting down."""

    status = 503


class TooBusy(Refusal):
    """The bodies of all requests together hold more bytes than the limit."""

    status = 503


def status_of(error: ProteinClassifierError) -> int:
    """The HTTP status for an error."""
    if isinstance(error, Refusal):
        return error.status
    return 400 if isinstance(error, InputError) and not isinstance(error, ModelError) else 500
