import numpy as np
import pytest

from protbert_classify.evaluation.intervals import bootstrap_intervals
from protbert_classify.evaluation.metrics import classification_metrics
from protbert_classify.reporting.class_figures import draw_class_bars, draw_confusion_matrix, draw_label_counts
from protbert_classify.reporting.figures import save_figure
from tests.reporting.test_figures import size, texts


@pytest.mark.parametrize(
    "matrix, labels",
    [
        ([[5, 1, 0], [2, 7, 1], [0, 0, 3]], ["Endoplasmic.reticulum", "Lysosome/Vacuole", "Nucleus"]),
        ([[5, 1], [0, 0]], ["Nucleus", "never seen"]),
        ([[0, 0], [0, 0]], ["nothing", "at all"]),
        ([[4]], ["only"]),
        (np.diag(range(1, 12)), [f"Location {index}" for index in range(11)]),
        (np.diag(range(1, 41)), [f"A location with a long name, number {index}" for index in range(40)]),
    ],
    ids=["usual", "a class without proteins", "no proteins", "one class", "eleven classes", "forty classes"],
)
@pytest.mark.parametrize("normalised", [False, True])
def test_a_confusion_matrix_is_drawn_without_a_warning(tmp_path, recwarn, matrix, labels, normalised):
    save_figure(draw_confusion_matrix(matrix, labels, normalised=normalised), tmp_path / "matrix.png")
    width, height = size(tmp_path / "matrix.png")
    assert width > height > 150
    assert not [str(warning.message) for warning in recwarn]


def test_more_classes_make_a_larger_picture(tmp_path):
    for classes in (2, 10):
        figure = draw_confusion_matrix(np.eye(classes, dtype=int), [str(index) for index in range(classes)])
        save_figure(figure, tmp_path / f"{classes}.png")
    assert size(tmp_path / "10.png") > size(tmp_path / "2.png")


def test_a_thousand_classes_make_no_picture_without_end(tmp_path):
    labels = [f"fold {number}" for number in range(1000)]
    matrix = np.diag(np.arange(1, 1001))
    per_class = {
        label: {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": row} for row, label in enumerate(labels)
    }
    intervals = {"f1": [(0.1, 0.2 + row / 2000) for row in range(1000)]}
    save_figure(draw_confusion_matrix(matrix, labels), tmp_path / "matrix.png")
    bars = draw_class_bars(per_class, intervals)
    save_figure(bars, tmp_path / "bars.png")
    assert all(max(size(tmp_path / name)) < 6000 for name in ("matrix.png", "bars.png"))
    shown = [label.get_text() for label in bars.axes[0].get_yticklabels()]
    assert len(shown) == 100 and shown[0] == "fold 900 (900)" and shown[-1] == "fold 999 (999)"
    assert bars.axes[2].lines[0].get_xdata()[1] == 0.2 + 900 / 2000


def cells(figure):
    return {tuple(map(int, text.get_position())): text.get_text() for text in figure.axes[0].texts}


def test_counts_stand_in_their_cells():
    figure = draw_confusion_matrix([[199, 1], [0, 7]], ["a", "b"])
    assert cells(figure) == {(0, 0): "199", (1, 0): "1", (1, 1): "7"}  # (column, row); an empty cell is blank
    assert "206 of 207 proteins right" in texts(figure)


def test_normalised_rows_are_percent_of_the_true_class():
    figure = draw_confusion_matrix([[399, 1], [5, 15]], ["a", "b"], normalised=True)
    assert cells(figure) == {(0, 0): "100", (1, 0): "<1", (0, 1): "25", (1, 1): "75"}


def test_the_bars_are_the_metrics_and_the_lines_their_intervals():
    labels = ["a", "b", "unseen"]
    metrics = classification_metrics([0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1], labels)
    intervals = bootstrap_intervals(metrics["confusion_matrix"])
    figure = draw_class_bars(metrics["per_class"], intervals)
    for axes, name in zip(figure.axes, ("precision", "recall", "f1")):
        assert [bar.get_width() for bar in axes.patches] == [metrics["per_class"][label][name] for label in "ab"]
        assert [tuple(line.get_xdata()) for line in axes.lines] == [intervals[name][0], intervals[name][1]]
    assert texts(figure).count("no proteins") == 3
    assert {"a (3)", "b (3)", "unseen (0)"} <= set(texts(figure))


def test_a_class_that_is_never_predicted_has_no_precision_rather_than_one_of_nought():
    metrics = classification_metrics([0, 0, 0], [0, 0, 1], ["a", "b"])
    figure = draw_class_bars(metrics["per_class"], bootstrap_intervals(metrics["confusion_matrix"]))
    assert [len(axes.patches) for axes in figure.axes] == [1, 2, 2]
    assert texts(figure).count("never predicted") == 1


def test_a_matrix_of_several_labels_is_in_percent_of_the_proteins_with_each():
    figure = draw_confusion_matrix([[8, 2], [1, 4]], ["a", "b"], normalised=True, support=[10, 5])
    assert cells(figure) == {(0, 0): "80", (1, 0): "20", (0, 1): "20", (1, 1): "80"}
    assert "% of the proteins with the true label" in texts(figure) and "predicted" in texts(figure)
    counts = draw_confusion_matrix([[8, 2], [1, 4]], ["a", "b"], support=[10, 5])
    assert "12 of 15 true labels predicted" in texts(counts)


def test_bars_without_intervals_have_no_lines_and_metrics_that_are_not_there_say_why():
    per_class = {
        "a": {"precision": 0.5, "mcc": None, "support": 3},
        "b": {"precision": None, "mcc": 0.25, "support": 2},
        "c": {"precision": None, "mcc": None, "support": 0},
    }
    figure = draw_class_bars(per_class, {}, ("precision", "mcc"))
    assert [[bar.get_width() for bar in axes.patches] for axes in figure.axes] == [[0.5], [0.25]]
    assert [len(axes.lines) for axes in figure.axes] == [0, 0]
    written = texts(figure)
    assert (written.count("never predicted"), written.count("no proteins"), written.count("all proteins")) == (1, 2, 1)


def test_the_numbers_of_labels_are_counted():
    figure = draw_label_counts(np.array([1, 1, 2, 0]), np.array([1, 3, 1, 1]))
    true, predicted = figure.axes[0].containers[:2]
    assert [bar.get_height() for bar in true] == [1, 2, 1, 0]
    assert [bar.get_height() for bar in predicted] == [0, 3, 0, 1]
    assert true[0].get_hatch() != predicted[0].get_hatch()
