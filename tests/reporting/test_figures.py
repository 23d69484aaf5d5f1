import subprocess
import sys

import pytest

from protbert_classify.reporting.figures import (
    LONGEST_NAME,
    WIDTH,
    new_figure,
    save_figure,
    shades,
    short_names,
    styled,
)


def size(path):
    """Width and height in pixels, from the header of a PNG."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) > 1000
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def texts(figure):
    """Everything that is written in a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_a_figure_is_written_whole_and_its_folder_made(tmp_path):
    figure, axes = new_figure(size=(WIDTH, 3))
    axes.plot([0, 1], [0, 1])
    save_figure(figure, tmp_path / "new" / "line.png")
    assert size(tmp_path / "new" / "line.png") == pytest.approx((870, 450), abs=30)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["line.png"]


def test_a_failure_leaves_the_former_picture(tmp_path, monkeypatch):
    path = tmp_path / "line.png"
    path.write_bytes(b"former")
    figure, _ = new_figure(size=(2, 2))
    monkeypatch.setattr(figure, "savefig", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_figure(figure, path)
    assert [other.read_bytes() for other in tmp_path.iterdir()] == [b"former"]


def test_a_dollar_in_a_label_is_a_dollar_and_no_formula(tmp_path):
    @styled
    def draw():
        figure, axes = new_figure(size=(3, 3))
        axes.set_xticks([0, 1], ["$broken\\frac$", "a $ b"])
        return figure

    save_figure(draw(), tmp_path / "labels.png")  # as a formula it would raise


def test_a_users_own_style_changes_nothing():
    import matplotlib

    @styled
    def size_of_text():
        return matplotlib.rcParams["font.size"]

    with matplotlib.rc_context({"font.size": 30}):
        assert size_of_text() == 10
        assert matplotlib.rcParams["font.size"] == 30


def test_long_names_keep_both_ends():
    assert short_names(["Nucleus", "x" * LONGEST_NAME]) == ["Nucleus", "x" * LONGEST_NAME]
    long = [f"Mitochondrial intermembrane space, complex {number}" for number in (1, 2)]
    assert short_names(long) == ["Mitochondrial in…space, complex 1", "Mitochondrial in…space, complex 2"]


def test_a_darker_shade_is_always_more_printed_in_grey_too():
    colours = shades()([index / 20 for index in range(21)])
    lightness = [0.299 * red + 0.587 * green + 0.114 * blue for red, green, blue, _ in colours]
    assert lightness == sorted(lightness, reverse=True)
    assert lightness[0] > 0.95 and lightness[-1] < 0.2


def test_a_server_without_display_can_draw(tmp_path):
    code = (
        "import sys; from protbert_classify.reporting.figures import save_figure;"
        "from protbert_classify.reporting.class_figures import *;"
        "from protbert_classify.reporting.data_figures import *;"
        f"save_figure(draw_confusion_matrix([[1]], ['a']), {str(tmp_path / 'matrix.png')!r});"
        f"save_figure(draw_length_histogram({{'train': [5]}}, None), {str(tmp_path / 'lengths.png')!r});"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"MPLBACKEND": "tkagg", "HOME": str(tmp_path)})
    assert size(tmp_path / "matrix.png") and size(tmp_path / "lengths.png")
