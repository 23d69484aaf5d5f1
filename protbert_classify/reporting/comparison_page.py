"""The comparison of runs as an HTML page."""

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..evaluation.comparison import Comparison, Difference
from ..evaluation.metrics import NAMES
from ..model.tasks import Task
from ..runs.files import write_atomically
from ..version import __version__
from .captioned_figures import Draw, FigureFolder
from .comparison_table import OF_CLASSES, SHOWN, Compared, label_rows, metric_rows, test_sentence
from .figures import BLUE, GREY, WIDTH, new_figure, short_names, styled
from .formatting import capitalised
from .page import render
from .sections import Beside, Part, Section, Table, Text

TEMPLATE = "comparison.html.jinja"
MEANING = (
    "Differences are this run minus the first. Their 95% intervals come from a paired bootstrap, which draws the same "
    "proteins for both runs. If an interval does not contain 0, the difference is probably not due to the choice of "
    "test proteins; training with another seed may still change it."
)
ROW = 0.3  # inches of one class


def write_page(path: str, task: Task, proteins: int, comparisons: Sequence[Compared], drawn: str = "") -> None:
    """Write one self-contained page.

    Args:
        path: Where to.
        task: That the runs answer.
        proteins: Test proteins.
        comparisons: The first run, another run, and how they differ.
        drawn: What the bootstrap drew; see [`drawn_text`].
    """
    with tempfile.TemporaryDirectory() as folder:
        picture = FigureFolder(folder).picture
        sections = [_section(place, *compared, picture) for place, compared in enumerate(comparisons)]
    content = {
        "first": comparisons[0][0],
        "others": [other for _, other, _ in comparisons],
        "task": task.name,
        "proteins": proteins,
        "meaning": f"{MEANING} {capitalised(drawn)}." if drawn else MEANING,
        "sections": sections,
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "version": __version__,
    }
    page = render(TEMPLATE, content)
    write_atomically(os.path.abspath(path), lambda part: Path(part).write_text(page, encoding="utf-8"))


def _section(place: int, first: str, other: str, comparison: Comparison, picture: Draw) -> Section:
    metrics = Table(["metric", first, other, "difference (95% interval)"], metric_rows(comparison), [1, 2, 3])
    name = SHOWN[not comparison.tests]
    found = [one for one in comparison.differences if one.label is not None and one.name == name]
    drawn = picture(
        f"differences_{place}",
        draw_differences(found, NAMES[name]),
        f"Difference in {NAMES[name]} and its 95% interval, to the right of the line if {other} is better.",
        f"Differences in {NAMES[name]}; the table below has the numbers.",
    )
    header, *rows = label_rows(first, other, comparison)
    kind = "class" if comparison.tests else "number"
    title = f"{NAMES[name]} of each {kind}"
    each = Table([kind, *header[1:]], rows, list(range(1, len(header))), title)
    parts: list[Part] = [Beside(drawn, metrics)]
    if comparison.tests:
        parts.append(Text(f"{test_sentence(first, other, comparison.tests[0])}."))
        parts += [each, Text(OF_CLASSES, "note")]
    else:
        parts.append(each)
    return Section(f"run-{place}", f"{other} against {first}", parts, other)


@styled
def draw_differences(found: Sequence[Difference], name: str) -> Any:
    """Differences of classes or numbers with their intervals, a row each.

    Args:
        found: One metric, of each class.
        name: Of the metric, for people.
    """
    figure, axes = new_figure(size=(WIDTH, 1.1 + ROW * len(found)))
    axes.axvline(0, color=GREY, linewidth=1)
    for row, one in enumerate(found):
        if one.value is None:
            axes.text(0, row, " no proteins", va="center", fontsize=8.5, color=GREY)
            continue
        if one.interval is not None:
            axes.plot(one.interval, [row, row], color="black", linewidth=1.2, marker="|", markersize=6)
        axes.plot(one.value, row, marker="o", color=BLUE, markersize=6)
    axes.set_yticks(range(len(found)), short_names([one.label or "" for one in found]))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlabel(f"difference in {name}")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    return figure
