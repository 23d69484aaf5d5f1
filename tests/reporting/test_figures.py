import subprocess
import sys

import numpy as np
import pytest

from protbert_classify.reporting.figures import save_confusion_matrix, save_length_histogram


def size(path):
    """Width and height in pixels, from the header of a PNG."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) > 1000
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


@pytest.mark.parametrize(
    "matrix, labels",
    [
        ([[5, 1, 0], [2, 7, 1], [0, 0, 3]], ["Endoplasmic.reticulum", "Lysosome/Vacuole", "Nucleus"]),
        ([[5, 1], [0, 0]], ["Nucleus", "never seen"]),
        ([[0, 0], [0, 0]], ["nothing", "at all"]),
        ([[4]], ["only"]),
        (np.diag(range(1, 12)), [f"Location {index}" for index in range(11)]),
    ],
    ids=["usual", "a class without proteins", "no proteins", "one class", "eleven classes"],
)
def test_a_confusion_matrix_is_drawn(tmp_path, matrix, labels):
    save_confusion_matrix(tmp_path / "matrix.png", matrix, labels)
    width, height = size(tmp_path / "matrix.png")
    assert width > height > 400


def test_more_classes_make_a_larger_picture(tmp_path):
    for classes in (2, 10):
        save_confusion_matrix(tmp_path / f"{classes}.png", np.eye(classes, dtype=int), [str(i) for i in range(classes)])
    assert size(tmp_path / "10.png") > size(tmp_path / "2.png")


def test_a_class_without_proteins_raises_no_warning(tmp_path, recwarn):
    save_confusion_matrix(tmp_path / "matrix.png", [[5, 1], [0, 0]], ["a", "b"])
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


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
    save_length_histogram(tmp_path / "lengths.png", lengths, max_residues)
    assert size(tmp_path / "lengths.png") == (1050, 600)


def test_the_share_of_cropped_proteins_is_in_the_title(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    titles = []
    monkeypatch.setattr(Axes, "set_title", lambda self, title: titles.append(title))
    save_length_histogram(tmp_path / "lengths.png", {"train": [510, 511], "test": [9, 600, 700, 2]}, 510)
    assert titles == ["50.0% of the proteins are longer than 510 residues and are cropped"]


def test_a_server_without_display_can_draw(tmp_path):
    code = (
        "import sys; from protbert_classify.reporting.figures import *;"
        f"save_confusion_matrix({str(tmp_path / 'matrix.png')!r}, [[1]], ['a']);"
        f"save_length_histogram({str(tmp_path / 'lengths.png')!r}, {{'train': [5]}}, None);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"MPLBACKEND": "tkagg", "HOME": str(tmp_path)})
    assert size(tmp_path / "matrix.png") and size(tmp_path / "lengths.png")
