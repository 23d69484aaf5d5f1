"""The scores of the layers of a backbone as an HTML page."""

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from ..evaluation.layer_scores import LayerScores
from ..evaluation.metrics import NAMES
from ..model.tasks import REGRESSION
from ..runs.files import write_atomically
from ..version import __version__
from .captioned_figures import FigureFolder
from .figures import BLUE, COLOURS, GREY, LINES, MARKERS, WIDE, new_figure, styled
from .formatting import capitalised, count
from .layers_table import layers_header, layers_rows
from .page import render
from .sections import Figures, Part, Section, Table, Text

TEMPLATE = "layers.html.jinja"
CAUTION = (
    "These are scores on the proteins that the layer is chosen by, so that of the best one is a little too high; "
    "neighbouring layers often differ by chance. Measure the model that you train on test proteins."
)
NOT_TUNED = (
    "The backbone was not trained here. If it is fine-tuned, its layers learn the task, and differ less; a frozen "
    "backbone keeps this order."
)


def write_layers_page(path: str | os.PathLike[str], found: LayerScores, model: str, data: str, command: str) -> None:
    """Write one self-contained page.

    Args:
        path: Where to.
        found: The scores.
        model: The backbone's name.
        data: Where the proteins are from.
        command: Trains with the best layer.
    """
    with tempfile.TemporaryDirectory() as folder:
        picture = FigureFolder(folder).picture
        name = NAMES[found.metric]
        drawn = picture(
            "layers",
            draw_layers(found),
            f"{capitalised(name)} on validation proteins of a linear model on each layer; the dotted line marks the "
            "best one.",
            f"{name} of {found.last} layers, from {found.values[0]:.3f} on the first to {found.values[-1]:.3f} on the "
            f"last; best is layer {found.best} with {found.values[found.best - 1]:.3f}.",
            wide=True,
        )
    parts: list[Part] = [
        Figures([drawn]),
        Text(CAUTION, "note"),
        Text(NOT_TUNED, "note"),
        Table(layers_header(found), layers_rows(found), list(range(len(found.metrics) + 1)), "Each layer"),
    ]
    content = {
        "model": model,
        "data": data,
        "summary": _summary(found),
        "advice": command,
        "sections": [Section("layers", f"{capitalised(name)} by layer", parts)],
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "version": __version__,
    }
    page = render(TEMPLATE, content)
    write_atomically(os.path.abspath(path), lambda part: Path(part).write_text(page, encoding="utf-8"))


def _summary(found: LayerScores) -> str:
    kind = "ridge" if found.task.problem_type == REGRESSION else "logistic"
    return (
        f"{capitalised(found.verdict)}. A {kind} regression for {found.task.name} learned from "
        f"{count(found.train_proteins, 'training protein')} on each layer's hidden states, the mean over the residues "
        f"({found.width} values), and was measured on {count(found.validation_proteins, 'validation protein')}."
    )


@styled
def draw_layers(found: LayerScores) -> Any:
    """The metrics of the layers as lines, the one that decides in front; a dotted line at the best layer."""
    figure, axes = new_figure(size=(WIDE * 0.7, 3.6))
    numbers = range(1, found.last + 1)
    axes.axvline(found.best, color=GREY, linestyle=":", linewidth=1.2)
    for place, name in reversed(list(enumerate(found.metrics))):
        axes.plot(
            numbers,
            [scores[name] for scores in found.layers],
            color=BLUE if place == 0 else COLOURS[place],
            linestyle=LINES[place],
            marker=MARKERS[place],
            markersize=6 if place == 0 else 4,
            linewidth=2.2 if place == 0 else 1.2,
            label=NAMES[name],
        )
    step = max(1, -(-found.last // 24))
    axes.set_xticks(sorted({*range(step, found.last + 1, step), found.best}))
    axes.set_xlabel("layer")
    axes.set_ylabel("on validation proteins")
    axes.grid(axis="y")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1])
    return figure
