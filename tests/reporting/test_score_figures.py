import numpy as np
import pytest

from protbert_classify.evaluation.by_length import accuracy_by_length
from protbert_classify.evaluation.calibration import calibration
from protbert_classify.evaluation.decision import Decision
from protbert_classify.model.tasks import Task
from protbert_classify.reporting.figures import save_figure
from protbert_classify.reporting.score_figures import (
    draw_accuracy_by_length,
    draw_reliability,
    draw_score_histogram,
    length_range,
)
from tests.reporting.test_figures import size, texts


def test_the_reliability_diagram_shows_the_bins(tmp_path):
    scores = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]])
    task = Task(name="location", problem_type="single_label_classification", labels=["a", "b"])
    measured = calibration(Decision(task, scores, scores > 0.5), [0, 0, 0, 1])
    figure = draw_reliability(measured)
    axes, below = figure.axes
    points = axes.lines[1].get_xydata().tolist()
    assert points == [pytest.approx([0.65, 0.5]), pytest.approx([0.95, 1.0])]
    assert [bar.get_height() for bar in below.patches] == [2, 2]
    assert f"expected calibration error {measured['ece']:.3f}" in texts(figure)
    save_figure(figure, tmp_path / "reliability.png")
    assert size(tmp_path / "reliability.png")


def test_right_and_wrong_predictions_are_stacked_and_hatched_apart():
    figure = draw_score_histogram([0.97, 0.96, 0.52, 0.51, 1.0], [True, False, True, True, True])
    right, wrong = figure.axes[0].containers
    assert [bar.get_height() for bar in right][-1] == 2 and [bar.get_height() for bar in right][10] == 2
    assert [bar.get_height() for bar in wrong][-1] == 1
    assert wrong[-1].get_y() == 2
    assert right[0].get_hatch() != wrong[0].get_hatch()
    assert {"right (4)", "wrong (1)"} <= set(texts(figure))


def test_the_legend_of_the_scores_lies_on_no_bar():
    figure = draw_score_histogram([0.01] * 99 + [0.99], [True] * 100)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert not legend.get_window_extent().overlaps(figure.axes[0].get_window_extent())
    assert {"right (100)", "wrong (0)"} <= set(texts(figure))


def test_accuracy_by_length_marks_what_was_cut(tmp_path):
    ranges = accuracy_by_length([True, True, False, True], [50, 60, 70, 3000], 62)
    figure = draw_accuracy_by_length(ranges, 62, 0.75)
    bars = {bar.get_x() + bar.get_width() / 2: bar for bar in figure.axes[0].patches}
    assert [bars[place].get_height() for place in sorted(bars)] == [1, 0, 1]
    assert [bool(bars[place].get_hatch()) for place in sorted(bars)] == [False, True, True]
    assert "all proteins, 0.75" in texts(figure)
    save_figure(figure, tmp_path / "lengths.png")
    assert size(tmp_path / "lengths.png")


def test_ranges_in_words():
    ranges = accuracy_by_length([True, True], [1150, 13100])
    assert [length_range(found) for found in ranges] == ["801–1,200", "over 2,000"]
