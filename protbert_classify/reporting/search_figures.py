"""Figures of a search over hyperparameters: the value of each trial, and the value against each option."""

import math
from collections.abc import Sequence
from typing import Any

from ..runs.search_trials import FINISHED, PRUNED, Search, Trial
from .figures import BLUE, GREY, VERMILLION, WIDE, new_figure, short_names, styled

IN_A_ROW = 3  # panels
HEIGHT = 3.2  # inches of a row
# how a trial ended -> how it is drawn
DRAWN: dict[str, dict[str, Any]] = {
    FINISHED: {"color": BLUE, "marker": "o", "s": 34},
    PRUNED: {"color": GREY, "marker": "x", "s": 30, "linewidths": 1.3},
}
BEST: dict[str, Any] = {"facecolors": "none", "edgecolors": VERMILLION, "marker": "o", "s": 130, "linewidths": 1.8}


@styled
def draw_trials(search: Search, metric: str) -> Any:
    """The value of each trial in their order, and the best of the finished ones so far.

    Args:
        search: With trials.
        metric: Its name, for people.
    """
    figure, axes = new_figure(size=(WIDE, HEIGHT + 0.3))
    _points(axes, search, lambda trial: float(trial.number))
    steps = [(trial.number, best) for trial, best in zip(search.trials, search.best_so_far()) if best is not None]
    if steps:
        numbers, values = zip(*steps)
        axes.plot(numbers, values, color=BLUE, linewidth=1.2, drawstyle="steps-post", label="best so far")
    for number in (trial.number for trial in search.trials if trial.value is None or trial.ended not in DRAWN):
        axes.axvline(number, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlim(0.4, len(search.trials) + 0.6)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("trial")
    axes.set_ylabel(metric)
    axes.grid(axis="y")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


@styled
def draw_options(search: Search, metric: str) -> Any:
    """The value of each trial against each option, a panel each.

    Args:
        search: With trials.
        metric: Its name, for people.
    """
    names = list(search.space)
    columns = min(IN_A_ROW, len(names))
    rows = math.ceil(len(names) / columns)
    size = (WIDE * columns / IN_A_ROW, HEIGHT * rows)
    figure, grid = new_figure(rows, columns, size=size, squeeze=False, sharey=True)
    panels = list(grid.flat)
    for axes, name in zip(panels, names):
        _draw_option(axes, search, name)
    for axes in panels[len(names) :]:
        axes.remove()
    for row in grid:
        row[0].set_ylabel(metric)
    return figure


def _draw_option(axes: Any, search: Search, name: str) -> None:
    space = search.space[name]
    if isinstance(space, list):
        places = {value: float(place) for place, value in enumerate(space)}
        _points(axes, search, lambda trial: places.get(trial.options.get(name)))
        axes.set_xticks(range(len(space)), short_names([str(value) for value in space]))
        axes.set_xlim(-0.5, len(space) - 0.5)
    else:
        _points(axes, search, lambda trial: trial.options.get(name))
        _set_range(axes, **space)
    axes.set_xlabel(name.replace("_", " "))
    axes.grid()


def _set_range(axes: Any, low: float, high: float, log: bool) -> None:
    """Show all that was searched, and a little room for the points at its ends."""
    if not log:
        room = 0.04 * (high - low)
        axes.set_xlim(low - room, high + room)
        return
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    decades = math.log10(high / low)
    room = 10 ** (0.04 * decades)
    axes.set_xscale("log")
    axes.set_xlim(low / room, high * room)
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades >= 1.5 else (1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _points(axes: Any, search: Search, place: Any) -> None:
    """The trials that have a value, and a ring around the best."""
    for ended, style in DRAWN.items():
        found = _placed([trial for trial in search.trials if trial.ended == ended], place)
        if found:
            axes.scatter(*zip(*found), label=ended, zorder=3, **style)
    best = search.best
    if best is not None:
        axes.scatter(*zip(*_placed([best], place)), label="best", zorder=4, **BEST)


def _placed(trials: Sequence[Trial], place: Any) -> list[tuple[float, float]]:
    found = [(place(trial), trial.value) for trial in trials if trial.ended in DRAWN]
    return [(x, y) for x, y in found if x is not None and y is not None]
