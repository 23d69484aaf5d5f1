"""Residues: the one place that cleans, refuses and spaces them."""

from ..errors import SequenceError

STANDARD = "ACDEFGHIKLMNPQRSTVWY"
# IUPAC's codes for ambiguous (B J X Z) and rare (O pyrrolysine, U selenocysteine) residues
RARE = "BJOUXZ"
LETTERS = "".join(sorted(STANDARD + RARE))

_LETTERS = LETTERS.encode()


def clean(sequence: str) -> str:
    """The residues of a sequence: upper case, without whitespace, without one trailing stop `*`.

    Raises:
        SequenceError: Nothing is left, or a character is not a residue; the message names it and its position (from 1).
    """
    residues = "".join(sequence.split())
    residues = residues.removesuffix("*")
    if not residues:
        raise SequenceError("no residues")
    # checked before upper(), which would turn letters of other alphabets (a dotless i) into residues
    if not residues.isascii() or residues.upper().encode().translate(None, _LETTERS):
        position, character = next(
            (i, c) for i, c in enumerate(residues, 1) if c.upper() not in LETTERS or ord(c) > 127
        )
        raise SequenceError(f"{character!r} at position {position} is not a residue; expected letters A-Z")
    return residues.upper()


def space(residues: str) -> str:
    """`"MKT"` -> `"M K T"`, as ProtBERT's own tokenizer needs it."""
    spaced = bytearray(b" ") * max(2 * len(residues) - 1, 0)
    spaced[::2] = residues.encode("ascii")
    return spaced.decode("ascii")


def unspace(sequence: str) -> str:
    """`"M K T"` -> `"MKT"`."""
    return sequence.replace(" ", "")
