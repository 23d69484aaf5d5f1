"""Why a request is not answered with calls, and the HTTP status that says so.

Any other [`InputError`], such as a character that is no residue, is status 400; a model whose scores are no numbers is
no client's fault.
"""

from ..errors import InputError, ModelError, ProteinClassifierError


class Refusal(ProteinClassifierError):
    """A request that is not answered with calls.

    Args:
        reason: For the client.
        retry_after: Seconds after which it may try again; None if that would not help.
    """

    status = 400

    def __init__(self, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class NotAcceptable(Refusal, InputError):
    """An answer was asked for in a format that there is not."""

    status = 406


class TooSlow(Refusal, InputError):
    """The body of a request did not arrive in time."""

    status = 408


class TooLarge(Refusal, InputError):
    """More bytes or proteins than a request may have."""

    status = 413


class UnsupportedContent(Refusal, InputError):
    """A body in a format that cannot be read."""

    status = 415


class Unprocessable(Refusal, InputError):
    """JSON of another shape than expected, or a protein longer than the limit."""

    status = 422


class QueueFull(Refusal):
    """More proteins wait than may."""

    status = 429


class NotReady(Refusal):
    """The model is being loaded, or the server is about to stop."""

    status = 503


def status_of(error: ProteinClassifierError) -> int:
    """The HTTP status for an error."""
    if isinstance(error, Refusal):
        return error.status
    return 400 if isinstance(error, InputError) and not isinstance(error, ModelError) else 500
