"""Arguments of another type than they should be: Python would complain somewhere deep below."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import OptionError


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Refuse what is no whole number within bounds.

    Raises:
        OptionError: What was found, and what was expected.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"{name}={value!r}: expected a whole number")
    if value < least or (most is not None and value > most):
        raise OptionError(f"{name}={value}: expected {least:,} {f'to {most:,}' if most is not None else 'or more'}")


def instance_of(name: str, value: Any, kind: type | tuple[type, ...], expected: str) -> None:
    """Refuse a value of another type; None is one, too.

    Raises:
        OptionError: What was found, and what was expected.
    """
    if not isinstance(value, kind):
        raise OptionError(f"{name}={value!r}: expected {expected}")


def texts(name: str, values: Any) -> None:
    """Refuse what is no list of texts; a text is a sequence of texts, but was not meant as one.

    Raises:
        OptionError: What was found.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(v, str) for v in values):
        raise OptionError(f"{name}={values!r}: expected a list of texts")


def text_mapping(name: str, values: Any) -> None:
    """Refuse what is no mapping of text to text.

    Raises:
        OptionError: What was found.
    """
    if not isinstance(values, Mapping) or not all(isinstance(part, str) for pair in values.items() for part in pair):
        raise OptionError(f"{name}={values!r}: expected names and values, all of them texts, as a dict")
