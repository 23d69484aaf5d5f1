"""The report for several classes a protein: metrics of each label, confusions, and the scores."""

from collections.abc import Sequence

import numpy as np

from ..evaluation.calibration import BINS, calibration
from ..evaluation.metrics import NAMES
from ..evaluation.mistakes import confident_mistakes, confusions, frequent_confusions
from ..evaluation.references import known_references
from ..model.tasks import Task
from ..runs.files import PREDICTIONS
from ..runs.finished_run import Run
from .captioned_figures import CaptionedFigure
from .class_figures import draw_class_bars, draw_confusion_matrix, draw_label_counts
from .evaluated_split import EvaluatedSplit
from .formatting import Rows, capitalised, count, interval_text, with_interval
from .lengths import accuracy_parts
from .run_description import OPTIMISTIC, best_and_worst
from .score_figures import draw_reliability, draw_score_histogram
from .score_quality import calibration_sentences, score_parts
from .sections import Card, Figures, Part, Section, Table, Text, left_out
from .task_report import FORWARD, CardFigure, Draw, TaskReport, length_section

WIDE_MATRIX = 12  # more classes than these want the whole width of the page
ON_TOP = ("micro_f1", "macro_f1", "jaccard", "subset_accuracy", "mcc")
MEANINGS = {
    "micro_f1": "F1 over all labels of all proteins",
    "macro_f1": "mean F1 of the labels",
    "jaccard": "mean overlap of predicted and true labels",
    "subset_accuracy": "share of proteins with exactly the true labels",
    "mcc": "mean Matthews correlation of the labels",
}
PER_CLASS = ("precision", "recall", "f1", "mcc", "average_precision")
SHORT_SHARE = "share with exactly the true labels"
CODE = f"""\
with torch.inference_mode():
    scores = {FORWARD}.sigmoid()[0]
margin = scores - THRESHOLDS
predicted = (margin >= 0) | (margin == margin.max())  # at least one class
print({{model.config.id2label[index]: float(scores[index]) for index in predicted.nonzero()[:, 0].tolist()}})"""


class MultiLabelReport(TaskReport):
    """Of `multi_label_classification`."""

    def asked(self, task: Task) -> str:
        return f"with {count(len(task.labels), 'class')}, of which a protein may have several,"

    def headline(self, found: EvaluatedSplit) -> list[Card]:
        return [
            Card(
                capitalised(NAMES[key]),
                f"{found.metrics[key]:.3f}",
                interval_text(found.intervals.get(key)),
                MEANINGS[key],
            )
            for key in ON_TOP
        ]

    def sentences(self, run: Run, found: EvaluatedSplit) -> list[str]:
        proteins, per_class = found.metrics["proteins"], found.metrics["per_class"]
        exact = round(found.metrics["subset_accuracy"] * proteins)
        words = f"It predicts exactly the true labels of {exact:,} of {count(proteins, f'{found.split} protein')}"
        sentences = [f"{words}{_baseline(found)}."]
        if found.split == "validation":
            sentences.append(OPTIMISTIC)
        never = [n for n, values in per_class.items() if values["support"] and values["precision"] is None]
        sentences += best_and_worst(per_class, never)
        if found.predictions is not None:
            true, chosen, _ = _known(found)
            ece = calibration(*found.predictions)["ece"]
            sentences += [
                f"A protein has {true.sum(1).mean():.2f} labels on average and is given {chosen.sum(1).mean():.2f}.",
                f"The scores of all labels are off by {ece:.3f} on average (expected calibration error).",
            ]
        return [*sentences, *calibration_sentences(run, found)]

    def sections(self, run: Run, found: EvaluatedSplit | None, picture: Draw) -> list[Section]:
        return [
            Section("classes", "Classes", self._classes(found, picture)),
            Section("scores", "Scores", _scores(found, picture)),
            length_section("Accuracy by length", run, _lengths(run, found, picture)),
            Section("mistakes", "Most confidently wrong labels", _mistakes(run, found), "Mistakes"),
        ]

    def _classes(self, found: EvaluatedSplit | None, picture: Draw) -> list[Part]:
        if found is None:
            return [left_out("metrics of each class. The run had neither test nor validation proteins.")]
        note = f"{NOTE} {NO_INTERVAL}" if found.intervals else NOTE
        parts: list[Part] = [Figures(class_pictures(found, picture)), self.table(found), Text(note, "note")]
        rows = confusion_table(found)
        header = ["true class", "predicted in error", "proteins", "of the true class"]
        return [*parts, *([Table(header, rows, [2, 3], "Most frequent confusions")] if rows else [])]

    def table(self, found: EvaluatedSplit) -> Table:
        header = ["class", "proteins", *(NAMES[name] for name in PER_CLASS), "threshold"]
        sure = ", with 95% intervals" if found.intervals else ""
        return Table(header, class_table(found), list(range(1, 8)), f"Each class, {found.split} proteins{sure}")

    def introduction(self, labels: Sequence[str]) -> str:
        return f"Predicts by its sequence which of {len(labels)} classes a protein belongs to, one or several:"

    def code(self, task: Task) -> str:
        thresholds = "torch.tensor(model.config.thresholds)" if task.thresholds else "0.5"
        return CODE.replace("THRESHOLDS", thresholds)

    def limits(self, task: Task, found: EvaluatedSplit | None) -> list[str]:
        return [
            f"It always predicts at least one of its {len(task.labels)} classes, also for a protein that belongs to "
            "none of them, for\n  fragments, and for sequences that are not proteins.",
            FITTED if task.thresholds else "A class is predicted from a score of 0.5 on.",
        ]

    def card_figures(self, found: EvaluatedSplit) -> list[CardFigure]:
        intervals = {name: found.intervals.get(f"per_class_{name}", []) for name in PER_CLASS}
        figure = draw_class_bars(found.metrics["per_class"], intervals, PER_CLASS)
        return [CardFigure("per_class", figure, f"Metrics of each class, {found.split} proteins")]

    def calibration_figure(self, found: EvaluatedSplit) -> CardFigure | None:
        if found.predictions is None:
            return None
        alt = "Reliability diagram: of the labels with a score, how many a protein has"
        return CardFigure("reliability", _reliability(found), alt)

    def calibration_text(self, found: EvaluatedSplit) -> str:
        assert found.predictions is not None
        ece = calibration(*found.predictions)["ece"]
        error = f"the expected calibration error is **{ece:.3f}** ({BINS} bins; 0 is best)"
        return f"Over the scores of all labels, {error}."


FITTED = (
    "A class is predicted from its own threshold on, chosen on validation proteins: the scores of two classes cannot\n"
    "  be compared."
)
NOTE = "A class is predicted from its threshold on."
NO_INTERVAL = "(–): no interval, as resampling predictions that are all right, or all wrong, gives the same again."


def _known(found: EvaluatedSplit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The true and the predicted labels that can be compared, (n, C) bool, and which proteins these are, (N,) bool."""
    assert found.predictions is not None
    decision, references = found.predictions
    known = known_references(references)
    rows = np.asarray(known.any(1))
    return ((references == 1) & known)[rows], (decision.chosen & known)[rows], rows


def _baseline(found: EvaluatedSplit) -> str:
    """How good it would be to give all proteins the most frequent label."""
    if found.predictions is None:
        return ""
    true, _, _ = _known(found)
    largest = int(true.sum(0).argmax())
    alone = int((true[:, largest] & (true.sum(1) == 1)).sum())
    return f"; predicting only {found.task.labels[largest]} for all of them would be exact for {alone:,}"


def class_table(found: EvaluatedSplit) -> Rows:
    """For each class: its name, proteins, its metrics with their intervals, and its threshold."""
    rows = []
    for index, (label, values) in enumerate(found.metrics["per_class"].items()):
        scores = []
        for name in PER_CLASS:
            intervals = found.intervals.get(f"per_class_{name}")
            undefined = name == "mcc" and values["precision"] is None  # never predicted: 0 only in the mean
            scores.append(with_interval(None if undefined else values[name], intervals[index] if intervals else None))
        rows.append([label, f"{values['support']:,}", *scores, f"{values['threshold']:.3f}"])
    return rows


def confusion_table(found: EvaluatedSplit) -> Rows:
    """The most frequent confusions: a true class, one that is predicted in error, proteins, and their share."""
    if found.predictions is None:
        return []
    labels, support = found.task.labels, _known(found)[0].sum(0)
    return [
        [labels[pair["true"]], labels[pair["predicted"]], f"{pair['proteins']:,}", f"{pair['share']:.0%}"]
        for pair in frequent_confusions(confusions(*found.predictions), support)
    ]


def class_pictures(found: EvaluatedSplit, picture: Draw) -> list[CaptionedFigure]:
    """How good each class is predicted; what is predicted in error, and how many labels proteins get."""
    per_class, labels = found.metrics["per_class"], found.task.labels
    intervals = {name: found.intervals.get(f"per_class_{name}", []) for name in PER_CLASS}
    bars = picture(
        "per_class",
        draw_class_bars(per_class, intervals, PER_CLASS),
        "Precision (of the proteins with the predicted label, how many have it), recall (of those that have it, how "
        "many are given it), F1, Matthews correlation, and average precision, which depends on no threshold; the "
        f"number of proteins in brackets{', and the black line is the 95% interval' if found.intervals else ''}.",
        f"Bars of five metrics of {len(labels)} classes; the table has the numbers.",
        wide=True,
    )
    if found.predictions is None:
        return [bars]
    true, chosen, _ = _known(found)
    matrix = confusions(*found.predictions)
    wide = len(labels) > WIDE_MATRIX
    return [
        picture(
            "confusions",
            draw_confusion_matrix(matrix, labels, normalised=True, support=true.sum(0)),
            "Of the proteins with a true label (row), the share that is given it (diagonal), and the share that is "
            "given another label that it does not have (other cells). A row need not add up to 100%.",
            f"Matrix of {len(labels)} true labels by predicted ones; the table of confusions below has its largest "
            "cells.",
            wide,
        ),
        picture(
            "label_counts",
            draw_label_counts(true.sum(1), chosen.sum(1)),
            "How many labels proteins have, and how many they are given.",
            f"Bars of the number of labels. On average {true.sum(1).mean():.2f} true and {chosen.sum(1).mean():.2f} "
            "predicted.",
        ),
        bars,
    ]


def _reliability(found: EvaluatedSplit) -> object:
    assert found.predictions is not None
    return draw_reliability(calibration(*found.predictions), "labels", "share of true labels", "scores")


def _scores(found: EvaluatedSplit | None, picture: Draw) -> list[Part]:
    """Whether scores say what they promise."""
    if found is None or found.predictions is None:
        return [left_out(f"reliability diagram and score histogram. The run has no {PREDICTIONS}.")]
    decision, references = found.predictions
    predicted = decision.chosen & known_references(references)
    scores, right = decision.scores[predicted], references[predicted] == 1
    means = [f"{scores[part].mean():.2f}" if part.any() else "none" for part in (right, ~right)]
    pictures = [
        picture(
            "reliability",
            _reliability(found),
            "Where a label has a score of 0.8, do 80% of the proteins have it? All labels count, predicted or not. "
            "Points below the dashed line are too sure, points above it too modest; lines are 95% intervals, bars "
            "below count the scores.",
            f"Reliability diagram; the expected calibration error is {calibration(decision, references)['ece']:.3f}.",
        ),
        picture(
            "scores",
            draw_score_histogram(scores, right, "score of the predicted label", "predicted labels"),
            "Scores of the predicted labels, wrong ones hatched. Low scores occur where the threshold of a class is "
            "low, or where no class reaches its threshold and the nearest one is predicted.",
            f"Histogram of scores. Mean score of right labels: {means[0]}; of wrong labels: {means[1]}.",
        ),
    ]
    return [Figures(pictures), *score_parts(found)]


def _lengths(run: Run, found: EvaluatedSplit | None, picture: Draw) -> list[Part]:
    if found is None or found.predictions is None:
        return []
    true, chosen, _ = _known(found)
    overall, share = found.metrics["subset_accuracy"], "proteins with exactly the true labels"
    return accuracy_parts(run, (true == chosen).all(1), overall, picture, share, SHORT_SHARE, "exactly right")


def _mistakes(run: Run, found: EvaluatedSplit | None) -> list[Part]:
    """The wrong labels of the highest scores: accession, residues, true labels, the wrong one and its score."""
    if found is None or found.predictions is None or run.predictions is None:
        return [left_out(f"the run has no {PREDICTIONS}.")]
    lengths, labels = run.predictions.lengths, found.task.labels
    rows = [
        [
            mistake["id"],
            "–" if lengths is None else f"{lengths[mistake['index']]:,}",
            ", ".join(labels[index] for index in mistake["true"]) or "none",
            labels[mistake["predicted"]],
            f"{mistake['score']:.3f}",
        ]
        for mistake in confident_mistakes(run.predictions.ids, *found.predictions)
    ]
    if not rows:
        return [Text("No test protein is given a wrong label.")]
    words = "Test proteins whose wrong labels have the highest scores. "
    header = ["accession", "residues", "true labels", "wrong label", "its score"]
    return [
        Text(f"{words}Some will be mistakes of the model, others labels that the data lack."),
        Table(header, rows, [1, 4]),
    ]
