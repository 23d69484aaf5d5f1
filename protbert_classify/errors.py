"""The exceptions of this package; the command line turns each into one line and an exit code."""


class ProteinClassifierError(Exception):
    """The environment failed: a full disk, a missing file of the package, a broken network. Exit code 1."""

    exit_code = 1


class InputError(ProteinClassifierError, ValueError):
    """The user's input cannot be used. Exit code 2."""

    exit_code = 2


class SequenceError(InputError):
    """A sequence is empty or has a character that is not a residue."""


class DataError(InputError):
    """A file, a table or a record is not what was expected."""


class OptionError(InputError):
    """An option, or a combination of options, that cannot work."""


class ModelError(InputError):
    """A folder or repository that is not a model, or a model that does not fit the request."""


def first_line(error: Exception) -> str:
    """The first line of an error, without the advice for programmers that follows."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
