"""Residues: the one place that cleans, refuses and spaces them."""

from ..errors import SequenceError

STANDARD = "ACDEFGHIKLMNPQRSTVWY"
# IUPAC's codes for ambiguous (B J X Z) and rare (O pyrrolysine, U selenocysteine) residues
RARE = "BJOUXZ"
LETTERS = "".join(sorted(STANDARD + RARE))

NUCLEOTIDES = "ACGTUN"  # these are residues as well; so many of them and no other are no protein
SHORTEST_DNA = 50

_LETTERS = LETTERS.encode()
_NUCLEOTIDES = NUCLEOTIDES.encode()


def clean(sequence: str) -> str:
    """The residues of a sequence: upper case, without whitespace, without one trailing stop `*`.

    Raises:
        SequenceError: Nothing is left, a character is not a residue (the message names it and its position, from 1),
            or it is DNA or RNA.
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
    residues = residues.upper()
    if len(residues) >= SHORTEST_DNA and is_nucleic_acid(residues):
        raise SequenceError("DNA or RNA: all letters are A, C, G, T, U or N; expected a protein, so translate it first")
    return residues


def is_nucleic_acid(residues: str) -> bool:
    """Whether all letters are nucleotides, and all four kinds are there: not so in a protein rich in alanine."""
    if residues.encode().translate(None, _NUCLEOTIDES):
        return False
    return {"A", "C", "G"} <= set(residues) and ("T" in residues or "U" in residues)


def space(residues: str) -> str:
    """`"MKT"` -> `"M K T"`, as ProtBERT's own tokenizer needs it."""
    spaced = bytearray(b" ") * max(2 * len(residues) - 1, 0)
    spaced[::2] = residues.encode("ascii")
    return spaced.decode("ascii")


def unspace(sequence: str) -> str:
    """`"M K T"` -> `"MKT"`."""
    return sequence.replace(" ", "")
