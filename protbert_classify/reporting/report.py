"""A run as one HTML page that needs nothing but itself: no network, no script, its pictures inside."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from ..version import __version__
from . import facts
from .judged import judged
from .pictures import Drawer, class_pictures, data_pictures, length_pictures, score_pictures, training_pictures
from .run_folder import DATA, FIGURES, PREDICTIONS, REPORT, STATE, Run
from .whole_file import write_whole

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
    page = render(page_content(run))
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    write_whole(path, lambda part: Path(part).write_text(page, encoding="utf-8"))
    return path


def page_content(run: Run) -> dict[str, Any]:
    """What the template shows; draws the pictures."""
    found = judged(run)
    picture = Drawer(os.path.join(run.folder, FIGURES)).picture
    return {
        "name": os.path.basename(os.path.abspath(run.folder)),
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "version": __version__,
        "split": found.split if found else None,
        "proteins": found.metrics["proteins"] if found else 0,
        "headline": facts.headline(run, found) if found else [],
        "summary": facts.summary(run, found),
        "data": {"pictures": data_pictures(run, picture), "splits": facts.split_table(run)},
        "training": {"pictures": training_pictures(run, picture)},
        "classes": {
            "pictures": class_pictures(found, run.labels, picture) if found else [],
            "table": facts.class_table(found) if found else [],
            "confusions": facts.confusion_table(found) if found else [],
        },
        "scores": {"pictures": score_pictures(run, picture)},
        "lengths": {"pictures": length_pictures(run, picture), "table": facts.length_table(run)},
        "mistakes": facts.mistake_table(run),
        "predicted": run.predictions is not None,
        "arguments": facts.arguments(run),
        "circumstances": facts.circumstances(run),
        "files": {"data": DATA, "state": STATE, "predictions": PREDICTIONS},
    }


def render(content: dict[str, Any]) -> str:
    """The page; what users wrote, such as accessions and labels, is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(__file__)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(content)
