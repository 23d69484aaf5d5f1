"""Decisions of a training on several processes: the main process decides, the others follow."""

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list, gather_object

from ..errors import OptionError, ProteinClassifierError

T = TypeVar("T")


def on_main_process(decide: Callable[[], T], is_main: bool) -> T:
    """Call a function on the main process and return its result on all of them; its errors are raised on all of them.

    If each process decided for itself, they could disagree: another machine has another disk.

    Args:
        decide: Called on the main process only.
        is_main: Whether this is the main process.
    """
    outcome: list = [None, None]
    if is_main:
        try:
            outcome[0] = decide()
        except ProteinClassifierError as error:
            outcome[1] = error
    outcome = broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def check_same_on_every_process(value: Any, what: str, advice: str) -> None:
    """Raise on all processes if one of them has something else than the main process.

    Args:
        value: What this process has.
        what: What it is, in the plural, for the message.
        advice: What to do about it.

    Raises:
        OptionError: Names the first process that has something else.
    """
    values = gather_object([value])
    other = [rank for rank, found in enumerate(values) if found != values[0]]
    if other:
        raise OptionError(f"{what} of process {other[0]} are not those of the main process; {advice}")


def check_on_every_process(is_there: bool, what: str, advice: str) -> None:
    """Raise on all processes if one of them lacks something.

    Args:
        is_there: Whether this process has it.
        what: What it is, for the message.
        advice: What to do about it.

    Raises:
        OptionError: Names the first process that lacks it.
    """
    missing = [rank for rank, there in enumerate(gather_object([is_there])) if not there]
    if missing:
        raise OptionError(f"{what} is not on the disk of process {missing[0]}; {advice}")
