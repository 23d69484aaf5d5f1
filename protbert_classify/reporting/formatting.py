"""How numbers, durations and lists are written where people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

Rows = list[list[str]]  # of a table


def with_interval(value: float | None, interval: tuple[float, float] | None, digits: str = ".2f") -> str:
    """A cell with a number and, if it is known, its 95% interval."""
    if value is None:
        return "–"
    if interval is None:
        return f"{value:{digits}}"
    low, high = interval
    return f"{value:{digits}} ({'–' if low == high else f'{low:{digits}} to {high:{digits}}'})"


def interval_text(interval: tuple[float, float] | None, digits: str = ".3f") -> str:
    """The 95% interval below a number in large type."""
    # resampling predictions that are all right, or all wrong, always gives the same: that is no certainty
    if interval is None or interval[0] == interval[1]:
        return "no interval"
    return f"95%: {interval[0]:{digits}} to {interval[1]:{digits}}"


def capitalised(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def duration(seconds: float) -> str:
    """A duration in words: 45 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(number: float, noun: str) -> str:
    """A number and what it counts: 1 protein, 2,147 proteins."""
    written = f"{int(number):,}" if number == int(number) else f"{number:g}"
    return f"{written} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def option_value(value: Any) -> str:
    """The value of an option; of a number that was drawn, the first digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def options_text(options: Mapping[str, Any]) -> str:
    """Options in a line: `learning rate 0.0002, pooling mean`."""
    return ", ".join(f"{name.replace('_', ' ')} {option_value(value)}" for name, value in options.items())
