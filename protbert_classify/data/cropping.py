"""The rule for cropping: which residues of a protein are kept if it is longer than the model reads."""

from ..errors import OptionError
from ..model.configuration import CROPS


def check_crop(crop: str) -> None:
    """Raise OptionError unless it is one of `ends`, `head` and `tail`."""
    if crop not in CROPS:
        raise OptionError(f"crop={crop!r}: expected one of {', '.join(CROPS)}")


def cropped(residues: bytes, room: int | None, crop: str) -> bytes:
    """The residues that are kept.

    Args:
        residues: A byte for each.
        room: How many fit; None for no limit.
        crop: `ends` keeps the N- and C-terminal halves, where the sorting signals are, and of an odd number one more at
            the N terminus; `head` and `tail` keep one end.
    """
    if room is None or len(residues) <= room:
        return residues
    if crop == "head":
        return residues[:room]
    if crop == "tail":
        return residues[-room:]
    back = room // 2
    return residues[: room - back] + residues[len(residues) - back :]
