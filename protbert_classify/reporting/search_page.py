"""The page of a search over hyperparameters: its trials as figures and as a table."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from ..evaluation.metrics import NAMES
from ..runs.files import SEARCH, write_atomically
from ..runs.search_trials import DIVERGED, FINISHED, NO_MEMORY, PRUNED, Search, Trial
from ..version import __version__
from .captioned_figures import FigureFolder
from .formatting import Rows, capitalised, count, duration, option_value
from .page import render
from .search_figures import draw_options, draw_trials
from .sections import Card, Cards, Figures, Section, Table, Text

TEMPLATE = "search.html.jinja"
OPTIMISTIC = (
    "The best value is that of validation proteins that chose the epoch and the options: it is somewhat too good. No "
    "trial saw the test proteins; the training with the best options is evaluated on them."
)


def write_search_page(path: str, search: Search) -> None:
    """Write one self-contained page, and its pictures into `search/figures` beside it.

    Args:
        path: Of the page, in the folder of the run.
        search: With trials, of which one at least is finished.
    """
    folder = os.path.dirname(os.path.abspath(path))
    page = render(TEMPLATE, page_content(folder, search))
    write_atomically(path, lambda part: Path(part).write_text(page, encoding="utf-8"))


def page_content(folder: str, search: Search) -> dict[str, Any]:
    """What the template shows; draws the pictures."""
    metric = metric_name(search.metric)
    return {
        "name": os.path.basename(folder),
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "version": __version__,
        "head": [_cards(search, metric), Text(OPTIMISTIC, "note")],
        "sections": [
            Section("best", "Best options", [_best_table(search)]),
            Section("trials", "Trials", _trial_parts(folder, search, metric)),
        ],
    }


def metric_name(metric: str) -> str:
    """A validation metric for people."""
    return f"validation {NAMES.get(metric, metric.replace('_', ' '))}"


def _cards(search: Search, metric: str) -> Cards:
    best = search.best
    assert best is not None and best.value is not None
    failed = [f"{search.ended(how)} {how}" for how in (DIVERGED, NO_MEMORY) if search.ended(how)]
    others = [f"{search.ended(PRUNED)} pruned", *failed]
    cards = [
        Card(capitalised(metric), f"{best.value:.3f}", f"trial {best.number}", "the best of the finished trials"),
        Card("Trials", f"{len(search.trials)}", ", ".join(others), f"{search.ended(FINISHED)} trained to the end"),
        Card("Time", duration(search.seconds), "", "of all trials together"),
    ]
    return Cards(cards, "The search in numbers")


def _best_table(search: Search) -> Table:
    best = search.best
    assert best is not None
    rows = [
        [name, option_value(best.options[name]), space_text(space)]
        for name, space in search.space.items()
        if name in best.options
    ]
    return Table(["option", "best", "searched"], rows, [1])


def space_text(space: Any) -> str:
    """The range of an option, or its values."""
    if isinstance(space, list):
        return ", ".join(map(option_value, space))
    scale = ", on a logarithmic scale" if space["log"] else ""
    return f"{option_value(space['low'])} to {option_value(space['high'])}{scale}"


def _trial_parts(folder: str, search: Search, metric: str) -> list[Any]:
    picture = FigureFolder(os.path.join(folder, SEARCH, "figures")).picture
    best = search.best
    assert best is not None and best.value is not None
    pictures = [
        picture(
            "trials",
            draw_trials(search, metric),
            f"The best {metric} of each trial in their order; crosses are trials that were stopped early (pruned), "
            "dotted lines those that diverged (NaN) or ran out of memory.",
            f"The best trial is {best.number} with {best.value:.3f}; the table below has the numbers.",
            wide=True,
        ),
        picture(
            "options",
            draw_options(search, metric),
            f"The {metric} of each trial against each option. Where the points are as high everywhere, the option "
            "matters little.",
            "Panels of points, one for each option; the table below has the numbers.",
            wide=True,
        ),
    ]
    ends = f"{count(search.ended(FINISHED), 'trial')} trained to the end"
    header = ["trial", *(name.replace("_", " ") for name in search.space), metric, "epochs", "time", "ended"]
    numbers = [0, *(place for place, space in enumerate(search.space.values(), 1) if not isinstance(space, list))]
    behind = 1 + len(search.space)
    table = Table(header, trial_rows(search), [*numbers, behind, behind + 1, behind + 2], f"All trials; {ends}")
    return [Figures(pictures), table]


def trial_rows(search: Search) -> Rows:
    """A row for each trial."""
    best = search.best
    return [
        [
            str(trial.number),
            *(option_value(trial.options.get(name, "–")) for name in search.space),
            "–" if trial.value is None else f"{trial.value:.3f}",
            f"{trial.epochs:g}",
            duration(trial.seconds),
            _ended(trial, best),
        ]
        for trial in search.trials
    ]


def _ended(trial: Trial, best: Trial | None) -> str:
    return f"{trial.ended}, the best" if best is not None and trial.number == best.number else trial.ended
