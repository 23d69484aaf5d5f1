import pytest

from protbert_classify.data.cropping import check_crop, cropped
from protbert_classify.errors import OptionError


@pytest.mark.parametrize(
    ("room", "crop", "kept"),
    [
        (4, "ends", b"ABFG"),
        (5, "ends", b"ABCFG"),
        (1, "ends", b"A"),
        (3, "head", b"ABC"),
        (3, "tail", b"EFG"),
        (7, "ends", b"ABCDEFG"),
        (None, "head", b"ABCDEFG"),
    ],
)
def test_a_long_protein_keeps_the_ends_that_were_asked_for(room, crop, kept):
    assert cropped(b"ABCDEFG", room, crop) == kept


def test_an_unknown_crop_is_refused_with_those_there_are():
    check_crop("tail")
    with pytest.raises(OptionError, match="crop='middle': expected one of ends, head, tail"):
        check_crop("middle")
