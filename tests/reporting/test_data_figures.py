import numpy as np
import pytest

from protbert_classify.reporting.data_figures import cut_share, draw_class_balance, draw_length_histogram
from protbert_classify.reporting.figures import save_figure
from tests.reporting.test_figures import size, texts


@pytest.mark.parametrize(
    "lengths, max_residues",
    [
        ({"train": [50, 400, 13100], "validation": [60], "test": np.array([70, 80])}, 510),
        ({"train": [50, 400, 13100]}, None),
        ({"train": [1]}, 510),
        ({"train": [300, 300, 300], "test": [300]}, 300),
    ],
    ids=["usual", "no limit", "one residue", "one length"],
)
def test_a_length_histogram_is_drawn(tmp_path, lengths, max_residues):
    save_figure(draw_length_histogram(lengths, max_residues), tmp_path / "lengths.png")
    assert size(tmp_path / "lengths.png") == pytest.approx((870, 525), abs=30)


def test_the_bars_of_each_split_are_its_share_in_the_range():
    figure = draw_length_histogram({"train": [100, 101, 2000, 2010], "test": [100, 2010]}, 510)
    steps = [patch for patch in figure.axes[0].patches if patch.get_label().startswith(("train", "test"))]
    assert {patch.get_label() for patch in steps} == {"train (4)", "test (2)"}
    for patch in steps:
        heights = patch.get_xy()[:, 1]
        assert sorted(set(np.round(heights, 6))) == [0, 50]  # half are short and half are long, in % of the split


def test_the_share_of_cut_proteins_is_in_the_title():
    assert cut_share([510, 511, 9, 600, 700, 2], 510) == 0.5
    figure = draw_length_histogram({"train": [510, 511], "test": [9, 600, 700, 2]}, 510)
    assert "50.0% of the proteins are longer than the cap and are cut" in texts(figure)
    assert "cap: 510 residues" in texts(figure)


def test_splits_differ_in_more_than_colour():
    figure = draw_length_histogram({"train": [5, 9], "validation": [5, 9], "test": [5, 9]}, None)
    assert len({patch.get_linestyle() for patch in figure.axes[0].patches}) == 3


def test_each_bar_of_the_class_balance_has_its_number_and_share():
    figure = draw_class_balance({"train": {"Nucleus": 30, "Golgi": 10}, "test": {"Nucleus": 0, "Golgi": 4}})
    assert [axes.get_title("left") for axes in figure.axes] == ["train: 40 proteins", "test: 4 proteins"]
    widths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes]
    assert widths == [[30, 10], [0, 4]]
    assert {"30 (75.0%)", "10 (25.0%)", "0 (0.0%)", "4 (100.0%)"} <= set(texts(figure))


def test_an_empty_split_is_drawn(tmp_path):
    save_figure(draw_class_balance({"train": {"Nucleus": 3}, "test": {"Nucleus": 0}}), tmp_path / "balance.png")
    assert size(tmp_path / "balance.png")
