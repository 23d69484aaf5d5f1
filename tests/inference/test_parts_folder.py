"""The parts of a prediction: whole or not there, and never those of another input."""

import os
import threading
import time
from pathlib import Path

import pytest

from protbert_classify.errors import OptionError, ProteinClassifierError
from protbert_classify.inference import parts_folder as module
from protbert_classify.inference.parts_folder import PartsFolder


@pytest.fixture
def output(tmp_path):
    return str(tmp_path / "predictions.csv")


def begun(output, resume=False, **settings):
    parts = PartsFolder(output)
    parts.begin({"model": "m"} | settings, resume)
    return parts


def text(content):
    return lambda path: Path(path).write_text(content) and None


def test_parts_come_back_in_order(output):
    parts = begun(output)
    for number in (1, 10, 0, *range(2, 10)):
        parts.write(number, "ab", text(str(number)))
    assert [Path(path).read_text() for path in parts.await_all(11)] == [str(number) for number in range(11)]


def test_a_part_that_was_not_written_to_its_end_does_not_count(output):
    parts = begun(output)

    def cut(path):
        Path(path).write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError):
        parts.write(0, "ab", cut)
    assert parts.count == 0
    assert not begun(output, resume=True).has(0, "ab")


def test_going_on_finds_what_is_there(output):
    begun(output).write(3, "ab", text("x"))
    parts = begun(output, resume=True)
    assert parts.has(3, "ab") and not parts.has(2, "ab")


def test_another_input_is_found_out(output):
    begun(output).write(3, "ab", text("x"))
    with pytest.raises(OptionError, match=r"the input is not the one .* \(part 4 differs\)"):
        begun(output, resume=True).has(3, "cd")


def test_other_settings_are_named(output):
    begun(output, precision="float32").write(0, "ab", text("x"))
    with pytest.raises(OptionError, match="resume: precision was float32 and is now int8, since .*predictions.csv was"):
        begun(output, resume=True, precision="int8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": "cd", "precision": "int8"}, "resume: precision was float32 and is now int8, since"),
        ({"crop": "head", "max_length": 512}, "crop was ends and is now head, max_length was 62 and is now 512"),
        ({"weights": "cd", "model": "runs/b"}, "resume: the model was runs/a and is now runs/b, since"),
        ({"weights": "cd"}, "resume: the weights or the configuration in runs/a have changed, since"),
        ({"format": 2}, "resume: the version of protbert_classify is another one, since"),
    ],
)
def test_what_differs_is_said_in_words_and_not_as_a_digest(output, changes, words):
    settings = {"model": "runs/a", "weights": "ab", "crop": "ends", "max_length": 62, "precision": "float32"}
    begun(output, **settings).write(0, "ab", text("x"))
    with pytest.raises(OptionError) as caught:
        begun(output, resume=True, **settings | changes)
    assert words in str(caught.value) and "ab" not in str(caught.value).replace(output, "")


def test_a_model_that_was_moved_is_gone_on_with(output):
    begun(output, model="runs/a", weights="ab").write(0, "ab", text("x"))
    assert begun(output, resume=True, model="runs/b", weights="ab").has(0, "ab")


def test_beginning_anew_forgets_what_was_there(output):
    begun(output).write(0, "ab", text("x"))
    assert begun(output).count == 0


def test_an_unfinished_one_is_not_overwritten_unasked(output):
    begun(output)
    with pytest.raises(OptionError, match="was begun before.*set resume to continue, or overwrite to start again"):
        PartsFolder(output).check(resume=False, overwrite=False)
    PartsFolder(output).check(resume=True, overwrite=False)
    PartsFolder(output).check(resume=False, overwrite=True)
    with pytest.raises(OptionError, match="exclude each other"):
        PartsFolder(output).check(resume=True, overwrite=True)


def test_an_output_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(OptionError, match="is a folder; expected the name of a file"):
        PartsFolder(str(tmp_path)).check(False, False)


def test_other_processes_are_waited_for(output, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.01)
    parts = begun(output)
    parts.write(0, "ab", text("0"))
    late = threading.Thread(target=lambda: (time.sleep(0.1), PartsFolder(output).write(1, "ab", text("1"))))
    late.start()
    assert [Path(path).read_text() for path in parts.await_all(2)] == ["0", "1"]
    late.join()


def test_parts_of_a_longer_input_are_not_counted(output, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.01)
    parts = begun(output)
    parts.write(0, "ab", text("0"))
    parts.write(5, "ab", text("5"))
    late = threading.Thread(target=lambda: (time.sleep(0.1), PartsFolder(output).write(1, "ab", text("1"))))
    late.start()
    assert [Path(path).read_text() for path in parts.await_all(2)] == ["0", "1"]
    late.join()


def test_processes_that_write_elsewhere_are_given_up_with_a_reason(output, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.01)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with pytest.raises(ProteinClassifierError, match="2 parts of .* are missing; do all machines see the folder"):
        begun(output).await_all(2)


def test_nothing_is_left_once_it_is_discarded(output):
    parts = begun(output)
    parts.write(0, "ab", text("x"))
    parts.discard()
    assert not os.path.exists(parts.folder)
