"""The report of a run: one self-contained HTML page, without network or scripts."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from ..runs.files import DATA, FIGURES, REPORT, STATE, write_atomically
from ..runs.finished_run import Run
from ..version import __version__
from .captioned_figures import FigureFolder, data_pictures, training_pictures
from .evaluated_split import EvaluatedSplit, evaluated_auxiliary_tasks, evaluated_split
from .formatting import capitalised, count
from .identity_section import identity_section
from .members import member_sections
from .page import render
from .report_registry import report_of
from .run_description import arguments, circumstances, split_table, summary
from .sections import Cards, Section, Text

TEMPLATE = "report.html.jinja"


def write_report(run: Run, output: str | os.PathLike[str] | None = None) -> str:
    """Draw the pictures of a run into its `figures/` and write the page.

    Args:
        run: As `read_run` gives it.
        output: Of the page; `report.html` in the run's folder if not given.

    Returns:
        The path of the page.

    Raises:
        DataError: The run's metrics are damaged.
    """
    path = os.fspath(output) if output is not None else os.path.join(run.folder, REPORT)
    page = render(TEMPLATE, page_content(run))
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    write_atomically(path, lambda part: Path(part).write_text(page, encoding="utf-8"))
    return path


def page_content(run: Run) -> dict[str, Any]:
    """What the template shows; draws the pictures."""
    found = evaluated_split(run)
    auxiliary = evaluated_auxiliary_tasks(run, found.split) if found is not None else []
    report = report_of(run.task)
    picture = FigureFolder(os.path.join(run.folder, FIGURES)).picture
    return {
        "name": os.path.basename(os.path.abspath(run.folder)),
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "version": __version__,
        "evaluated_on": f"On {count(found.metrics['proteins'], f'{found.split} protein')}" if found else None,
        "headline": _cards(found) if found else None,
        "summary": summary(run, report.asked(run.task), report.sentences(run, found) if found else None),
        "data": {"pictures": data_pictures(run, picture), "splits": split_table(run)},
        "training": {"pictures": training_pictures(run, picture), "member": _first_member(run)},
        "sections": [
            *report.sections(run, found, picture),
            identity_section(run, found),
            *member_sections(run, found),
            *(_auxiliary_section(run, other, place) for place, other in enumerate(auxiliary, 1)),
        ],
        "arguments": arguments(run),
        "circumstances": circumstances(run),
        "files": {"data": DATA, "state": STATE},
    }


def _first_member(run: Run) -> str | None:
    """The folder of a member of an ensemble; None for a single model."""
    names = run.record.get("members")
    return os.path.join(run.folder, names[0]) if names else None


def _cards(found: EvaluatedSplit) -> Cards:
    return Cards(report_of(found.task).headline(found), f"Metrics of the {found.split} proteins")


def _auxiliary_section(run: Run, found: EvaluatedSplit, place: int) -> Section:
    """The metrics of an auxiliary task."""
    proteins = count(found.known, f"{found.split} protein")
    words = f"Learned beside {run.task.name}, and measured on the {proteins} whose answer is known."
    parts = (Text(words), _cards(found), report_of(found.task).table(found))
    name = found.task.name
    return Section(f"auxiliary-{place}", f"Auxiliary task: {name}", parts, capitalised(name))
