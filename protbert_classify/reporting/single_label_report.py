"""The report for one class a protein: confusions, metrics of each class, and whether scores can be trusted."""

from collections.abc import Sequence

import numpy as np

from ..evaluation.abstention import accuracy_at, risk_coverage
from ..evaluation.calibration import BINS, calibration, scored
from ..evaluation.metrics import NAMES, WATCHED
from ..evaluation.mistakes import confident_mistakes, frequent_confusions
from ..model.tasks import SINGLE_LABEL, Task
from ..runs.files import PREDICTIONS
from ..runs.finished_run import Run
from .captioned_figures import CaptionedFigure
from .class_figures import draw_class_bars, draw_confusion_matrix
from .evaluated_split import EvaluatedSplit
from .formatting import Rows, capitalised, count, interval_text, with_interval
from .lengths import accuracy_parts
from .run_description import OPTIMISTIC, best_and_worst
from .score_figures import draw_reliability, draw_risk_coverage, draw_score_histogram
from .score_quality import calibration_sentences, score_parts
from .sections import Card, Figures, Part, Section, Table, Text, left_out
from .set_section import set_section
from .task_report import FORWARD, CardFigure, Draw, TaskReport, length_section

WIDE_MATRIX = 12  # more classes than these want the whole width of the page
MEANINGS = {
    "accuracy": "share of right predictions",
    "mcc": "Matthews correlation",
    "macro_f1": "mean F1 of the classes",
    "balanced_accuracy": "mean recall of the classes",
    "ece": "expected calibration error",
}
PER_CLASS = ("precision", "recall", "f1", "mcc")
INTERVALS = {"mcc": "class_mcc"}  # of a class, where the metric of all classes has the same name
NOTE = "(–): no interval, as resampling predictions that are all right, or all wrong, gives the same again."
CODE = f"""\
with torch.inference_mode():
    scores = {FORWARD}.softmax(-1)[0]
print(model.config.id2label[int(scores.argmax())], float(scores.max()))"""


class SingleLabelReport(TaskReport):
    """Of `single_label_classification`."""

    def asked(self, task: Task) -> str:
        return f"of {len(task.labels)} classes"

    def headline(self, found: EvaluatedSplit) -> list[Card]:
        cards = [
            Card(capitalised(NAMES[key]), f"{found.metrics[key]:.3f}", interval_text(interval), MEANINGS[key])
            for key, interval in ((key, found.intervals[key]) for key in (*WATCHED[SINGLE_LABEL], "balanced_accuracy"))
            if key in found.metrics
        ]
        if found.predictions is not None:
            ece = calibration(*found.predictions)["ece"]
            before = found.metrics.get("uncalibrated_ece")
            than = "0 is best" if before is None else f"0 is best; {before:.3f} before calibration"
            cards.append(Card(NAMES["ece"], f"{ece:.3f}", MEANINGS["ece"], than))
        return cards

    def sentences(self, run: Run, found: EvaluatedSplit) -> list[str]:
        sentences = quality_sentences(found)
        if found.predictions is not None:
            sentences.append(score_sentence(found))
        return [*sentences, *calibration_sentences(run, found)]

    def sections(self, run: Run, found: EvaluatedSplit | None, picture: Draw) -> list[Section]:
        return [
            Section("classes", "Classes", self._classes(found, picture)),
            Section("scores", "Scores", _scores(found, picture)),
            set_section(run, found),
            length_section("Accuracy by length", run, _lengths(run, found, picture)),
            Section("mistakes", "Most confidently wrong", _mistakes(run, found), "Mistakes"),
        ]

    def _classes(self, found: EvaluatedSplit | None, picture: Draw) -> list[Part]:
        if found is None:
            words = "confusion matrix and metrics of each class. The run had neither test nor validation proteins."
            return [left_out(words)]
        parts: list[Part] = [Figures(class_pictures(found, picture)), self.table(found), Text(NOTE, "note")]
        rows = confusion_table(found)
        header = ["true class", "predicted", "proteins", "of the true class"]
        return [*parts, *([Table(header, rows, [2, 3], "Most frequent confusions")] if rows else [])]

    def table(self, found: EvaluatedSplit) -> Table:
        header = ["class", "proteins", *(NAMES[name] for name in PER_CLASS)]
        heading = f"Each class, {found.split} proteins, with 95% intervals"
        return Table(header, class_table(found), [1, 2, 3, 4, 5], heading)

    def introduction(self, labels: Sequence[str]) -> str:
        return f"Classifies a protein by its sequence into one of {len(labels)} classes:"

    def code(self, task: Task) -> str:
        return CODE

    def limits(self, task: Task, found: EvaluatedSplit | None) -> list[str]:
        return [
            f"It always names one of its {len(task.labels)} classes, also for a protein that belongs to none of them, "
            "for fragments,\n  and for sequences that are not proteins."
        ]

    def card_figures(self, found: EvaluatedSplit) -> list[CardFigure]:
        figure = draw_confusion_matrix(found.metrics["confusion_matrix"], found.task.labels)
        alt = f"Confusion matrix of the {found.split} proteins: true classes in rows, predicted ones in columns"
        return [CardFigure("confusion_matrix", figure, alt)]

    def calibration_figure(self, found: EvaluatedSplit) -> CardFigure | None:
        if found.predictions is None:
            return None
        alt = "Reliability diagram: of the predictions with a score, how many are right"
        return CardFigure("reliability", draw_reliability(calibration(*found.predictions)), alt)

    def calibration_text(self, found: EvaluatedSplit) -> str:
        assert found.predictions is not None
        score, right = scored(*found.predictions)
        ece = calibration(*found.predictions)["ece"]
        return (
            f"The expected calibration error is **{ece:.3f}** ({BINS} bins; 0 is best): the mean score of the\n"
            f"predictions is {score.mean():.2f}, and {right.mean():.0%} of them are right."
        )


def quality_sentences(found: EvaluatedSplit) -> list[str]:
    """How many predictions are right, and which classes are predicted best and worst."""
    proteins, per_class = found.metrics["proteins"], found.metrics["per_class"]
    right = sum(found.metrics["confusion_matrix"][index][index] for index in range(len(per_class)))
    largest = max(per_class, key=lambda name: per_class[name]["support"])
    sentences = [
        f"It predicts {right:,} of {count(proteins, f'{found.split} protein')} right; predicting {largest} for all "
        f"would be right for {per_class[largest]['support']:,}."
    ]
    if found.split == "validation":
        sentences.append(OPTIMISTIC)
    return sentences + best_and_worst(per_class, never_predicted(found))


def never_predicted(found: EvaluatedSplit) -> list[str]:
    """The classes that have proteins, but are never predicted."""
    predicted = np.asarray(found.metrics["confusion_matrix"]).sum(0)
    per_class = found.metrics["per_class"]
    return [name for name, number in zip(per_class, predicted) if not number and per_class[name]["support"]]


def score_sentence(found: EvaluatedSplit) -> str:
    """Whether the scores of the predictions are too high or too low on the whole."""
    assert found.predictions is not None
    scores, right = scored(*found.predictions)
    score, accuracy = float(scores.mean()), float(right.mean())
    difference = score - accuracy
    if abs(difference) < 0.005:
        return f"The mean score of its predictions, {score:.2f}, is as high as its accuracy."
    direction = "high" if difference > 0 else "low"
    return (
        f"The mean score of its predictions, {score:.2f}, is {abs(difference):.2f} too {direction} for an accuracy of "
        f"{accuracy:.2f}."
    )


def class_table(found: EvaluatedSplit) -> Rows:
    """For each class: its name, proteins, and precision, recall, F1 and MCC with their intervals; – where undefined."""
    rows = []
    for index, (label, values) in enumerate(found.metrics["per_class"].items()):
        pairs = [(values.get(name), found.intervals[INTERVALS.get(name, name)][index]) for name in PER_CLASS]
        scores = [with_interval(value, interval) for value, interval in pairs]
        rows.append([label, f"{values['support']:,}", *scores])
    return rows


def confusion_table(found: EvaluatedSplit) -> Rows:
    """The most frequent confusions: true and predicted class, proteins, and their share of the true class."""
    labels = list(found.metrics["per_class"])
    return [
        [labels[pair["true"]], labels[pair["predicted"]], f"{pair['proteins']:,}", f"{pair['share']:.0%}"]
        for pair in frequent_confusions(found.metrics["confusion_matrix"])
    ]


def class_pictures(found: EvaluatedSplit, picture: Draw) -> list[CaptionedFigure]:
    """What is called what, in counts and in shares, and how good the calls of each class are."""
    matrix, per_class, labels = found.metrics["confusion_matrix"], found.metrics["per_class"], found.task.labels
    wide = len(labels) > WIDE_MATRIX
    recalls = {name: values["recall"] for name, values in per_class.items() if values["recall"] is not None}
    spoken = "; ".join(f"{name} {recall:.2f}" for name, recall in recalls.items())
    return [
        picture(
            "confusion_matrix",
            draw_confusion_matrix(matrix, labels),
            f"Proteins of each true class (row) by predicted class (column), {found.split} proteins; the diagonal is "
            "right, and the shade is logarithmic so that rare confusions show.",
            f"Confusion matrix of {found.metrics['proteins']:,} proteins in counts; the table of confusions below has "
            "its largest cells.",
            wide,
        ),
        picture(
            "confusion_matrix_shares",
            draw_confusion_matrix(matrix, labels, normalised=True),
            "The same matrix in % of each row: where the proteins of a class go, whatever the size of the class; the "
            "diagonal is recall.",
            f"Row-normalised confusion matrix. Recall: {spoken}.",
            wide,
        ),
        picture(
            "per_class",
            draw_class_bars(per_class, found.intervals),
            "Precision (of the proteins predicted so, how many are), recall (of those that are, how many are predicted "
            "so) and F1 of each class, the number of proteins in brackets; the black line is the 95% interval.",
            f"Bars of precision, recall and F1 of {len(labels)} classes with 95% intervals; the table has the numbers.",
            wide=True,
        ),
    ]


def _scores(found: EvaluatedSplit | None, picture: Draw) -> list[Part]:
    """Whether scores say what they promise."""
    if found is None or found.predictions is None:
        return [left_out(f"reliability diagram and score histogram. The run has no {PREDICTIONS}.")]
    measured = calibration(*found.predictions)
    scores, right = scored(*found.predictions)
    means = [f"{scores[part].mean():.2f}" if part.any() else "none" for part in (right, ~right)]
    pictures = [
        picture(
            "reliability",
            draw_reliability(measured),
            "Of the predictions with a score of 0.8, are 80% right? Points below the dashed line are too sure, points "
            "above it too modest; lines are 95% intervals, bars below count the predictions.",
            f"Reliability diagram; the expected calibration error is {measured['ece']:.3f}.",
        ),
        picture(
            "scores",
            draw_score_histogram(scores, right),
            "Scores of the predictions, wrong ones hatched: the further the plain bars lie to the right of the hatched "
            "ones, the better a threshold on the score tells right from wrong.",
            f"Histogram of scores. Mean score of right predictions: {means[0]}; of wrong predictions: {means[1]}.",
        ),
        picture(
            "risk_coverage",
            draw_risk_coverage(risk_coverage(scores, right), len(scores)),
            "If only the proteins with the highest scores are answered, what share of the answers is right? "
            "predict --min_score chooses a point of this curve; the table has some of them.",
            f"Curve of accuracy against the share of proteins answered; with all, it is {right.mean():.3f}.",
        ),
    ]
    return [Figures(pictures), *score_parts(found), abstention_table(scores, right)]


def abstention_table(scores: np.ndarray, right: np.ndarray) -> Table:
    """What predictions with a minimum score would answer, and how much of it is right.

    Args:
        scores: (N,), of the predictions.
        right: (N,), bool.
    """
    rows = [
        [
            f"{part['min_score']:g}",
            f"{part['proteins']:,}",
            f"{part['share']:.0%}",
            with_interval(part["accuracy"], (part["low"], part["high"]), ".3f"),
        ]
        for part in accuracy_at(scores, right)
    ]
    header = ["--min_score", "proteins answered", "of all", "accuracy"]
    return Table(header, rows, [0, 1, 2, 3], "Accuracy with a minimum score, with 95% intervals")


def _lengths(run: Run, found: EvaluatedSplit | None, picture: Draw) -> list[Part]:
    if found is None or found.predictions is None:
        return []
    right, overall = scored(*found.predictions)[1], found.metrics["accuracy"]
    return accuracy_parts(run, right, overall, picture, "right predictions", "share of right predictions", "right")


def _mistakes(run: Run, found: EvaluatedSplit | None) -> list[Part]:
    """The most confidently wrong predictions: accession, residues, true and predicted class, and the scores of both."""
    if found is None or found.predictions is None or run.predictions is None:
        return [left_out(f"the run has no {PREDICTIONS}.")]
    decision, references = found.predictions
    lengths, labels = run.predictions.lengths, found.task.labels
    rows = [
        [
            mistake["id"],
            "–" if lengths is None else f"{lengths[mistake['index']]:,}",
            labels[mistake["true"][0]],
            labels[mistake["predicted"]],
            f"{mistake['score']:.3f}",
            f"{decision.scores[mistake['index'], mistake['true'][0]]:.3f}",
        ]
        for mistake in confident_mistakes(run.predictions.ids, decision, references)
    ]
    if not rows:
        return [Text("No test protein is predicted wrongly.")]
    header = ["accession", "residues", "true class", "predicted", "score", "score of the true class"]
    words = "Test proteins whose wrong class has the highest score. "
    return [Text(f"{words}Some will be mistakes of the model, others of the labels."), Table(header, rows, [1, 4, 5])]
