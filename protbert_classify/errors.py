"""What can go wrong, as one small tree; the command line turns each into one line and its exit code."""


class ProteinClassifierError(Exception):
    """The environment failed the work: a full disk, a missing file of ours, a broken network. Exit code 1."""

    exit_code = 1


class InputError(ProteinClassifierError, ValueError):
    """What the user gave cannot be used as it is. Exit code 2."""

    exit_code = 2


class SequenceError(InputError):
    """A sequence holds something that is no residue, or holds nothing."""


class DataError(InputError):
    """A file, a table or a record of it is not what was expected."""


class OptionError(InputError):
    """An option, or a combination of options, that cannot work."""


class ModelError(InputError):
    """A folder or repository that is no model, or a model that does not fit the request."""


def first_line(error: Exception) -> str:
    """What an error says, without the advice to its programmer that follows."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
