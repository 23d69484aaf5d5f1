"""The parts of a report: sections with figures, tables and text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .captioned_figures import CaptionedFigure

Rows = list[list[str]]


@dataclass(frozen=True)
class Card:
    """A number in large type.

    Args:
        name: What it is.
        value: As it is shown.
        interval: How sure it is.
        meaning: In a few words.
    """

    name: str
    value: str
    interval: str
    meaning: str


@dataclass(frozen=True)
class Cards:
    """Numbers in large type, side by side; `label` says of what, for a screen reader."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]
    label: str


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        header: Names of the columns.
        rows: Its cells.
        numbers: Columns that are aligned to the right.
        title: Above it, if any.
    """

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Rows
    numbers: Sequence[int]
    title: str = ""


@dataclass(frozen=True)
class Figures:
    """Pictures, two in a row where there is room."""

    kind: ClassVar[str] = "figures"
    pictures: Sequence[CaptionedFigure]


@dataclass(frozen=True)
class Beside:
    """A picture and a table side by side."""

    kind: ClassVar[str] = "beside"
    picture: CaptionedFigure
    table: Table


@dataclass(frozen=True)
class Text:
    """A paragraph; `style` is empty, `note` or `left-out`."""

    kind: ClassVar[str] = "text"
    text: str
    style: str = ""


Part = Cards | Table | Figures | Beside | Text


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Args:
        anchor: Its name in addresses.
        title: Its heading.
        parts: What it shows.
        nav: What it is called at the top of the page; its title if empty.
    """

    anchor: str
    title: str
    parts: Sequence[Part]
    nav: str = ""


def left_out(text: str) -> Text:
    """Says what is not shown, and why."""
    return Text(f"Left out: {text}", "left-out")
