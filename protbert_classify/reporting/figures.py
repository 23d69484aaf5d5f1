"""The common style of figures: colours for colour-blind readers, sizes for print, and saving."""

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..runs.files import write_atomically

DPI = 150
WIDTH = 5.8  # inches of a usual figure, half the page
WIDE = 11.4  # inches of one with several panels
# Okabe and Ito 2008, "Color Universal Design", https://jfly.uni-koeln.de/color/
BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
# each series has one of these besides its colour: pictures are also printed in grey
LINES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#666666"
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    "text.parse_math": False,  # labels are the user's: a $ in one is a $
}
LONGEST_NAME = 34


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Draw in the common style, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def in_style(*args: Any, **kwargs: Any) -> Any:
        with _style():
            return draw(*args, **kwargs)

    return in_style


def new_figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float], **options: Any) -> Any:
    """A figure and its axes, as `pyplot.subplots` gives them; `size` in inches."""
    # matplotlib is slow to import, and a figure made without pyplot needs no display and leaks no state
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a PNG, whole or not at all; its folder is made."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with _style():
        options = {"dpi": DPI, "format": "png", "bbox_inches": "tight", "pad_inches": 0.08}
        write_atomically(path, lambda part: figure.savefig(part, **options))


def short_names(names: Sequence[str]) -> list[str]:
    """Names that leave room for the picture: of long ones the ends, where they differ."""
    half = (LONGEST_NAME - 1) // 2
    return [name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}" for name in names]


def shades() -> Any:
    """Of matrices: cividis, whose lightness is even for all kinds of colour vision (Nuñez et al. 2018,
    doi:10.1371/journal.pone.0199239), here from white to dark, so that small numbers do not shine."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    depth = np.linspace(0, 1, 256)[:, None]
    ink = np.minimum(1, 0.15 + 1.7 * depth)
    return ListedColormap(1 - ink * (1 - colormaps["cividis_r"](depth[:, 0])[:, :3]))


def _style() -> AbstractContextManager[None]:
    import matplotlib

    style: dict[Any, Any] = {**matplotlib.rcParamsDefault, "backend": "agg", **STYLE}
    return matplotlib.rc_context(style)
