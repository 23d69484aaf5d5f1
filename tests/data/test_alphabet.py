import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protbert_classify.data.alphabet import LETTERS, RARE, STANDARD, clean, space, unspace
from protbert_classify.errors import InputError, SequenceError

residues = st.text(LETTERS, min_size=1, max_size=300)


def test_the_20_and_the_6_rare_letters_are_the_whole_alphabet():
    assert (len(STANDARD), RARE, LETTERS) == (20, "BJOUXZ", string.ascii_uppercase)


@pytest.mark.parametrize(
    "written",
    ["MKTAX", "mktax", "M K T A X", " m k\tt\r\nA X\n", "MKTAX*", "M K T A X *\n"],
    ids=["raw", "lower", "spaced", "wrapped", "stop", "spaced stop"],
)
def test_however_a_sequence_is_written_its_residues_are_the_same(written):
    assert clean(written) == "MKTAX"


@pytest.mark.parametrize("nothing", ["", " ", "\r\n", "*", " * "])
def test_a_sequence_of_nothing_is_refused(nothing):
    with pytest.raises(SequenceError, match="^no residues$"):
        clean(nothing)


@pytest.mark.parametrize("sequence", ["ATGGCCAAG" * 6, "augnc" * 10, "acgt" * 12 + "AC"])
def test_dna_and_rna_are_refused(sequence):
    with pytest.raises(SequenceError, match="^DNA or RNA: all letters are .* so translate it first$"):
        clean(sequence)


@pytest.mark.parametrize(
    "sequence",
    ["ATGGCCAAG" * 5, "ATGGCCAAG" * 6 + "M", "A" * 80, "AAT" * 30, "GAT" * 40],
    ids=["short", "one M", "alanine", "antifreeze", "no C"],
)
def test_a_protein_rich_in_alanine_is_none(sequence):
    assert clean(sequence) == sequence


@pytest.mark.parametrize(
    ("sequence", "character", "position"),
    [
        ("MK1T", "1", 3),
        ("M K-T", "-", 3),
        ("M*KT", "*", 2),
        ("MKT**", "*", 4),
        ("MK.", ".", 3),
        ("\x00MK", "\x00", 1),
        ("mkıt", "ı", 3),  # dotless i: its upper case is I
        ("MſK", "ſ", 2),  # long s: its upper case is S
        ("straße", "ß", 5),  # its upper case is SS
        ("MKﬁ", "ﬁ", 3),  # a ligature
        ("\u212aMT", "\u212a", 1),  # the Kelvin sign looks like K
        ("MАT", "А", 2),  # a Cyrillic A
    ],
)
def test_the_first_character_that_is_no_residue_is_named_with_its_position(sequence, character, position):
    with pytest.raises(SequenceError) as caught:
        clean(sequence)
    assert str(caught.value).startswith(f"{character!r} at position {position} is not a residue; expected letters A-Z")
    assert isinstance(caught.value, InputError) and caught.value.exit_code == 2


@given(st.text())
@example("ı")
@example("ſ")
@example("K")
@example("A\u2028")
def test_clean_never_makes_a_residue_out_of_anything_else(text):
    try:
        cleaned = clean(text)
    except SequenceError as error:
        assert "\n" not in str(error)
    else:
        written = "".join(text.split()).removesuffix("*")
        assert written.isascii() and written.isalpha() and cleaned == written.upper()


@given(residues)
def test_clean_leaves_clean_residues_alone(sequence):
    assert clean(sequence) == clean(sequence.lower()) == clean(space(sequence) + "*") == sequence


@given(st.text(LETTERS, max_size=300))
def test_spacing_can_be_undone(sequence):
    assert space(sequence) == " ".join(sequence)
    assert unspace(space(sequence)) == sequence
