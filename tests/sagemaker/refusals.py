"""Errors as a user sees them."""

from contextlib import contextmanager

import pytest


@contextmanager
def refused(kind, match=None, text=""):
    """The block must raise an error of this kind: one line that matches a pattern, and has a text in it."""
    with pytest.raises(kind, match=match) as error:
        yield error
    said = str(error.value)
    assert said and "\n" not in said and text in said, said
