"""The page of a search: a reader finds the best options and how each trial ended."""

import re

import pytest

from protbert_classify.reporting.search_figures import draw_options, draw_trials
from protbert_classify.reporting.search_page import metric_name, space_text, trial_rows, write_search_page
from protbert_classify.runs.search_trials import Search, Trial

SPACE = {
    "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    "classifier_dropout": {"low": 0.0, "high": 0.5, "log": False},
    "pooling": ["mean", "light_attention"],
}


def trial(number, value, ended="finished", rate=1e-4, pooling="mean"):
    options = {"learning_rate": rate, "classifier_dropout": 0.25, "pooling": pooling}
    return Trial(number, options, value, 2.0, 90.0, ended)


@pytest.fixture
def search():
    trials = [
        trial(1, 0.412),
        trial(2, 0.731, rate=0.000345, pooling="light_attention"),
        trial(3, 0.15, "pruned"),
        trial(4, None, "diverged", rate=0.0009),
    ]
    return Search("mcc", True, SPACE, trials)


def test_the_page_has_the_best_options_and_each_trial(search, tmp_path):
    (tmp_path / "mine").mkdir()
    write_search_page(str(tmp_path / "mine" / "search.html"), search)
    page = (tmp_path / "mine" / "search.html").read_text()
    assert "<h1>mine: search</h1>" in page
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    assert ["learning_rate", "0.000345", "1e-05 to 0.001, on a logarithmic scale"] in cells
    assert ["pooling", "light_attention", "mean, light_attention"] in cells
    assert ["2", "0.000345", "0.25", "light_attention", "0.731", "2", "90 s", "finished, the best"] in cells
    assert ["3", "0.0001", "0.25", "mean", "0.150", "2", "90 s", "pruned"] in cells
    assert ["4", "0.0009", "0.25", "mean", "–", "2", "90 s", "diverged"] in cells
    assert "1 pruned, 1 diverged" in page and "6 min" in page
    assert page.count("data:image/png;base64,") == 2
    assert (tmp_path / "mine" / "search" / "figures" / "options.png").is_file()


def test_a_name_that_looks_like_html_is_escaped(search, tmp_path):
    (tmp_path / "<b>").mkdir()
    write_search_page(str(tmp_path / "<b>" / "search.html"), search)
    assert "<h1>&lt;b&gt;: search</h1>" in (tmp_path / "<b>" / "search.html").read_text()


def test_the_figure_shows_each_trial_that_has_a_value_and_the_best_so_far(search):
    axes = draw_trials(search, "validation MCC").axes[0]
    finished, pruned, best = (points.get_offsets().tolist() for points in axes.collections)
    assert finished == [[1, 0.412], [2, 0.731]] and pruned == [[3, 0.15]] and best == [[2, 0.731]]
    line = next(line for line in axes.get_lines() if line.get_label() == "best so far")
    assert line.get_ydata().tolist() == [0.412, 0.731, 0.731, 0.731]


def test_each_option_has_a_panel_on_its_own_scale(search):
    rate, dropout, pooling = draw_options(search, "validation MCC").axes
    assert (rate.get_xscale(), dropout.get_xscale()) == ("log", "linear")
    assert rate.get_xlabel() == "learning rate"
    assert rate.collections[0].get_offsets().tolist() == [[1e-4, 0.412], [0.000345, 0.731]]
    assert [label.get_text() for label in pooling.get_xticklabels()] == ["mean", "light_attention"]
    assert pooling.collections[0].get_offsets().tolist() == [[0, 0.412], [1, 0.731]]
    assert all("$" not in label.get_text() for label in rate.get_xticklabels())
    low, high = rate.get_xlim()
    assert low < 1e-5 and high > 1e-3


def test_metrics_and_ranges_are_named_for_people(search):
    assert metric_name("mcc") == "validation MCC" and metric_name("loss") == "validation loss"
    assert space_text([4, 8]) == "4, 8" and space_text({"low": 0.0, "high": 0.5, "log": False}) == "0 to 0.5"
    assert trial_rows(search)[0][-1] == "finished"
