"""What several processes do alike: the first decides, all others follow."""

from collections.abc import Callable
from typing import TypeVar

from accelerate.utils import broadcast_object_list, gather_object

from ..errors import OptionError, ProteinClassifierError

T = TypeVar("T")


def agree(decide: Callable[[], T], is_first: bool) -> T:
    """What the first process decides, on all of them; an error of it is raised on all of them.

    Deciding for themselves, processes could find different things: another machine has another disk.

    Args:
        decide: Called on the first process only.
        is_first: Whether this is it.
    """
    outcome: list = [None, None]
    if is_first:
        try:
            outcome[0] = decide()
        except ProteinClassifierError as error:
            outcome[1] = error
    outcome = broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def check_everywhere(is_there: bool, what: str, advice: str) -> None:
    """Refuse, on all processes alike, what one of them does not have.

    Raises:
        OptionError: Names it and says what to do.
    """
    missing = [rank for rank, there in enumerate(gather_object([is_there])) if not there]
    if missing:
        raise OptionError(f"{what} is not on the disk of process {missing[0]}; {advice}")
