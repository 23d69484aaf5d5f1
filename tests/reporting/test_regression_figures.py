import numpy as np
import pytest

from protbert_classify.reporting.figures import save_figure
from protbert_classify.reporting.regression_figures import (
    MOST_POINTS,
    draw_errors_by_length,
    draw_number_histogram,
    draw_predicted_and_true,
)
from protbert_classify.reporting.regression_report import error_table
from tests.reporting.test_figures import size, texts

NAN = float("nan")


def test_points_are_the_known_numbers_against_the_predicted_ones(tmp_path):
    references = np.array([[1.0, NAN], [2.0, 20.0], [4.0, 30.0]])
    figure = draw_predicted_and_true(references, references + [[1.0, 2.0]] * 3, ["a", "b"])
    points = [axes.lines[1].get_xydata().tolist() for axes in figure.axes]
    assert points == [[[1, 2], [2, 3], [4, 5]], [[20, 22], [30, 32]]]
    for axes in figure.axes:
        assert axes.get_xlim() == axes.get_ylim(), "the dashed line is the diagonal"
    assert {"a (3 proteins)", "b (2 proteins)"} <= set(texts(figure))
    save_figure(figure, tmp_path / "scatter.png")
    assert size(tmp_path / "scatter.png")


def test_errors_are_drawn_around_nought_and_what_was_cut_is_hatched():
    figure = draw_errors_by_length(np.array([50, 70, 3000]), np.array([[1.0], [-4.0], [2.0]]), ["a"], 62)
    (axes,) = figure.axes
    assert axes.lines[0].get_xydata().tolist() == [[50, 1], [70, -4], [3000, 2]]
    assert axes.get_ylim()[0] == -axes.get_ylim()[1] < -4
    assert axes.get_xlim()[0] < 50 and axes.get_xlim()[1] > 3000
    assert "cap: 62 residues" in texts(figure)
    assert {"100", "300", "1,000", "3,000"} <= {label.get_text() for label in axes.get_xticklabels()}


@pytest.mark.parametrize("draw", [draw_predicted_and_true, draw_number_histogram])
@pytest.mark.parametrize("targets", [1, 2, 4])
@pytest.mark.parametrize("proteins", [1, 40, MOST_POINTS + 1])
def test_any_number_of_proteins_and_targets_is_drawn_without_a_warning(tmp_path, recwarn, draw, targets, proteins):
    values = np.random.default_rng(0).normal(size=(proteins, targets))
    save_figure(draw(values, values[::-1], [f"number {place}" for place in range(targets)]), tmp_path / "figure.png")
    assert size(tmp_path / "figure.png")
    assert not [str(warning.message) for warning in recwarn]


def test_of_very_many_proteins_cells_show_how_many_lie_there():
    values = np.random.default_rng(0).normal(size=(5000, 1))
    figure = draw_predicted_and_true(values, values, ["a"])
    assert "proteins" in texts(figure) and not any("$" in text for text in texts(figure))
    (cells,) = figure.axes[0].collections
    assert cells.get_array().sum() == 5000


def test_numbers_of_which_none_is_known_have_an_empty_panel(tmp_path):
    values = np.array([[1.0, NAN], [2.0, NAN]])
    for figure in (
        draw_predicted_and_true(values, np.ones((2, 2)), ["a", "b"]),
        draw_number_histogram(values, np.ones((2, 2)), ["a", "b"]),
        draw_errors_by_length(np.array([5, 6]), values, ["a", "b"], None),
    ):
        save_figure(figure, tmp_path / "figure.png")


def test_the_distributions_have_the_same_bins():
    figure = draw_number_histogram(np.array([[0.0], [1.0], [10.0]]), np.array([[4.0], [5.0], [5.5]]), ["a"])
    true, predicted = figure.axes[0].patches
    assert true.get_xy()[:, 0].min() == predicted.get_xy()[:, 0].min()
    assert {"true", "predicted"} <= set(texts(figure))


def test_errors_are_averaged_within_ranges_of_length():
    errors = np.array([[1.0, NAN], [-3.0, 4.0], [5.0, NAN]])
    assert error_table(np.array([50, 60, 5000]), errors, 1000) == [
        ["1–100", "2", "2", "4"],
        ["over 2,000", "1", "5", "–"],
    ]
