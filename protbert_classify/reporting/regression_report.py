"""The report for numbers: correlations and errors, the largest errors, and errors by length."""

from collections.abc import Sequence

import numpy as np

from ..evaluation.by_length import edges
from ..evaluation.metrics import NAMES, WATCHED
from ..evaluation.mistakes import largest_errors
from ..model.tasks import REGRESSION, Task
from ..runs.files import PREDICTIONS
from ..runs.finished_run import Run
from .evaluated_split import EvaluatedSplit
from .formatting import Rows, capitalised, interval_text, listed, with_interval
from .lengths import cap, known_lengths
from .regression_figures import draw_errors_by_length, draw_number_histogram, draw_predicted_and_true
from .run_description import OPTIMISTIC
from .score_figures import length_range
from .sections import Beside, Card, Figures, Part, Section, Table, Text, left_out
from .task_report import FORWARD, CardFigure, Draw, TaskReport, length_section

MEANINGS = {
    "spearman": "correlation of the ranks",
    "pearson": "linear correlation",
    "r2": "share of the variance that is explained",
    "mae": "mean absolute error",
}
DIGITS = {"mae": ".3g"}  # it has a unit, and may be of any size
CODE = f"""\
with torch.inference_mode():
    numbers = {FORWARD}[0]
UNDONEprint({{model.config.id2label[index]: float(number) for index, number in enumerate(numbers)}})"""
UNDONE = "numbers = numbers * torch.tensor(model.config.target_std) + torch.tensor(model.config.target_mean)\n"


class RegressionReport(TaskReport):
    """Of `regression`."""

    answers = "Numbers"
    has_scores = False

    def asked(self, task: Task) -> str:
        return f"to predict {listed(task.labels)}"

    def headline(self, found: EvaluatedSplit) -> list[Card]:
        several = len(found.task.labels) > 1
        return [
            Card(
                f"Mean {NAMES[key]}" if several else NAMES[key],
                f"{found.metrics[key]:{DIGITS.get(key, '.3f')}}",
                interval_text(found.intervals.get(key), DIGITS.get(key, ".3f")),
                f"{MEANINGS[key]}, whatever the units" if several and key == "mae" else MEANINGS[key],
            )
            for key in WATCHED[REGRESSION]
        ]

    def sentences(self, run: Run, found: EvaluatedSplit) -> list[str]:
        per_target = found.metrics["per_target"]
        sentences = [
            f"{capitalised(name)} is off by {values['mae']:.3g} on average{_baseline(found, index)}."
            for index, (name, values) in enumerate(per_target.items())
            if values["mae"] is not None
        ]
        if found.split == "validation":
            sentences.append(OPTIMISTIC)
        ranked = {name: values["spearman"] for name, values in per_target.items() if values["spearman"] is not None}
        if len(ranked) > 1:
            best, worst = max(ranked, key=ranked.__getitem__), min(ranked, key=ranked.__getitem__)
            sentences.append(
                f"Best ranked is {best} (Spearman {ranked[best]:.2f}), worst {worst} ({ranked[worst]:.2f})."
            )
        return sentences

    def sections(self, run: Run, found: EvaluatedSplit | None, picture: Draw) -> list[Section]:
        return [
            Section("numbers", "Numbers", self._numbers(found, picture)),
            length_section("Errors by length", run, _lengths(run, found, picture)),
            Section("mistakes", "Largest errors", _mistakes(run, found)),
        ]

    def _numbers(self, found: EvaluatedSplit | None, picture: Draw) -> list[Part]:
        if found is None:
            return [left_out("metrics of each number. The run had neither test nor validation proteins.")]
        parts: list[Part] = []
        if found.predictions is not None:
            decision, references = found.predictions
            wide = len(found.task.labels) > 1
            scatter = picture(
                "predicted_and_true",
                draw_predicted_and_true(references, decision.scores, found.task.labels),
                f"Predicted against true numbers, {found.split} proteins: on the dashed line they are equal; a cloud "
                "that is flatter than the line means that extremes are predicted too near to the mean.",
                f"Scatter of predicted against true {listed(found.task.labels)}; the table has the correlations.",
                wide,
            )
            histogram = picture(
                "distribution",
                draw_number_histogram(references, decision.scores, found.task.labels),
                "How true and predicted numbers are distributed. Predictions are usually nearer to the mean; a single "
                "narrow peak means that the model hardly tells proteins apart.",
                f"Histograms of true and predicted {listed(found.task.labels)}.",
                wide,
            )
            parts.append(Figures([scatter, histogram]))
        else:
            parts.append(left_out(f"predicted against true numbers. The run has no {PREDICTIONS}."))
        return [*parts, self.table(found)]

    def table(self, found: EvaluatedSplit) -> Table:
        header = ["number", "proteins", *(NAMES[name] for name in WATCHED[REGRESSION])]
        sure = ", with 95% intervals" if found.intervals else ""
        return Table(header, target_table(found), [1, 2, 3, 4, 5], f"Each number, {found.split} proteins{sure}")

    def introduction(self, labels: Sequence[str]) -> str:
        return f"Predicts {'a number' if len(labels) == 1 else f'{len(labels)} numbers'} for a protein by its sequence:"

    def code(self, task: Task) -> str:
        return CODE.replace("UNDONE", UNDONE if task.mean is not None and task.std is not None else "")

    def limits(self, task: Task, found: EvaluatedSplit | None) -> list[str]:
        return [
            "It returns numbers for any sequence, also for fragments and for sequences that are not proteins, and says "
            "nothing\n  about how sure they are. Outside the range of the training proteins they mean little."
        ]

    def card_figures(self, found: EvaluatedSplit) -> list[CardFigure]:
        if found.predictions is None:
            return []
        decision, references = found.predictions
        figure = draw_predicted_and_true(references, decision.scores, found.task.labels)
        alt = f"Predicted against true numbers of the {found.split} proteins"
        return [CardFigure("predicted_and_true", figure, alt)]


def _baseline(found: EvaluatedSplit, target: int) -> str:
    """How far the mean of the training proteins would be off."""
    if found.predictions is None or found.task.mean is None:
        return ""
    references = found.predictions[1][:, target]
    off = float(np.nanmean(np.abs(references - found.task.mean[target])))
    return f"; the mean of the training proteins would be off by {off:.3g}"


def target_table(found: EvaluatedSplit) -> Rows:
    """For each number: its name, proteins, and its metrics with their intervals."""
    rows = []
    for index, (name, values) in enumerate(found.metrics["per_target"].items()):
        cells = []
        for metric in WATCHED[REGRESSION]:
            intervals = found.intervals.get(f"per_target_{metric}")
            interval = intervals[index] if intervals else None
            cells.append(with_interval(values[metric], interval, DIGITS.get(metric, ".2f")))
        rows.append([name, f"{values['n']:,}", *cells])
    return rows


def _lengths(run: Run, found: EvaluatedSplit | None, picture: Draw) -> list[Part]:
    """Whether long proteins fare as well as short ones; nothing without lengths."""
    lengths = known_lengths(run)
    if found is None or found.predictions is None or lengths is None:
        return []
    decision, references = found.predictions
    rows = ~np.isnan(references).all(1)
    errors = (decision.scores - references)[rows]
    labels = found.task.labels
    hatched = "; in the hatched range proteins are longer than the cap, and the model saw only a part of them"
    hatched = "" if cap(run) is None else hatched
    drawn = picture(
        "errors_by_length",
        draw_errors_by_length(lengths, errors, labels, cap(run)),
        f"Predicted minus true numbers by the length of the protein{hatched}. A cloud off the dashed line is a bias.",
        "Scatter of errors by length; the table has their means.",
        wide=len(labels) > 1,
    )
    table = Table(
        ["residues", "proteins", *(f"MAE of {label}" if len(labels) > 1 else "MAE" for label in labels)],
        error_table(lengths, errors, cap(run)),
        list(range(1, 2 + len(labels))),
        "Mean absolute error by length",
    )
    return [Beside(drawn, table)] if len(labels) == 1 else [Figures([drawn]), table]


def error_table(lengths: np.ndarray, errors: np.ndarray, max_residues: int | None) -> Rows:
    """For each range of length that has proteins: residues, proteins, and the mean absolute error of each number.

    Args:
        lengths: (N,), residues.
        errors: (N, C), predicted - true, NaN where unknown.
        max_residues: Of the longest protein that the model reads whole; a range ends there.
    """
    rows = []
    for lower, upper in edges(max_residues):
        inside = (lengths > lower) & (lengths <= (np.inf if upper is None else upper))
        if inside.any():
            known = [column[~np.isnan(column)] for column in errors[inside].T]
            means = [f"{np.abs(column).mean():.3g}" if len(column) else "–" for column in known]
            rows.append([length_range({"lower": lower, "upper": upper}), f"{int(inside.sum()):,}", *means])
    return rows


def _mistakes(run: Run, found: EvaluatedSplit | None) -> list[Part]:
    """The largest errors: accession, residues, which number, true, predicted, and their difference."""
    if found is None or found.predictions is None or run.predictions is None:
        return [left_out(f"the run has no {PREDICTIONS}.")]
    lengths, labels = run.predictions.lengths, found.task.labels
    several = len(labels) > 1
    rows = [
        [
            error["id"],
            "–" if lengths is None else f"{lengths[error['index']]:,}",
            *([labels[error["target"]]] if several else []),
            *(f"{error[name]:.4g}" for name in ("true", "predicted", "error")),
        ]
        for error in largest_errors(run.predictions.ids, *found.predictions)
    ]
    header = ["accession", "residues", *(["number"] if several else []), "true", "predicted", "predicted - true"]
    measured = ", each measured by the spread of its number" if several else ""
    words = f"Test proteins with the largest errors{measured}. Some will be mistakes of the model, others of the data."
    return [Text(words), Table(header, rows, [1, *range(len(header) - 3, len(header))])]
