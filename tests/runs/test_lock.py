"""Two trainings must not write to one folder."""

import glob
import os
import signal
import subprocess
import sys
import time

import pytest

from protbert_classify.errors import OptionError
from protbert_classify.runs.lock import FolderLock
from tests.training.runs import TINY, call, complaints, easy_records, environment, fasta

HOLD = """
import sys, time
from protbert_classify.runs.lock import FolderLock

with FolderLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that has the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, env=environment(), text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_is_of_one_training_until_that_ends_however_it_ends(tmp_path, other):
    with (
        pytest.raises(OptionError, match="another training writes to it; wait for it, or stop it"),
        FolderLock(str(tmp_path)),
    ):
        raise AssertionError("two of them")
    with FolderLock(str(tmp_path), wanted=False):
        pass
    held = glob.glob("/proc/self/fd/*")
    for _ in range(3):
        with pytest.raises(OptionError):
            FolderLock(str(tmp_path)).take()
    assert len(glob.glob("/proc/self/fd/*")) == len(held), "a refusal leaves no descriptor open"
    other.send_signal(signal.SIGKILL)
    other.wait()
    for _ in range(2):  # one after the other, in one process, too
        with FolderLock(str(tmp_path)) as lock:
            lock.take()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_yet_is_taken_when_it_is(tmp_path):
    folder = str(tmp_path / "run")
    with FolderLock(folder) as lock:
        os.mkdir(folder)
        lock.take()
        done = subprocess.run([sys.executable, "-c", HOLD, folder], env=environment(), capture_output=True, text=True)
        assert "another training writes to it" in done.stderr


def test_a_trainer_inside_a_command_shares_its_lock_and_does_not_give_it_back(tmp_path):
    with FolderLock(str(tmp_path)):
        with FolderLock(str(tmp_path)):
            pass
        done = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path)], env=environment(), capture_output=True, text=True
        )
        assert "another training writes to it" in done.stderr


FORK = """
import os, sys, time
from protbert_classify.runs.lock import FolderLock

with FolderLock(sys.argv[1]):
    if os.fork() == 0:  # as the worker of a data loader
        print(os.getpid(), flush=True)
    time.sleep(600)
"""


def test_a_worker_that_outlives_a_killed_training_does_not_hold_its_folder(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", FORK, str(tmp_path)], stdout=subprocess.PIPE, env=environment(), text=True
    )
    worker = int(parent.stdout.readline())
    try:
        with pytest.raises(OptionError, match="another training writes to it"):
            FolderLock(str(tmp_path)).take()
        parent.kill()
        parent.wait()
        os.kill(worker, 0)  # it is still there
        with FolderLock(str(tmp_path)):
            pass
    finally:
        parent.kill()
        os.kill(worker, signal.SIGKILL)
        parent.stdout.close()


@pytest.mark.slow
def test_a_run_that_is_still_at_work_is_not_gone_on_with(tmp_path, other):
    data = tmp_path / "easy.fasta"
    data.write_text(fasta(easy_records()))
    began = time.monotonic()
    done = call("train", "--data", data, "--output_dir", tmp_path, "--resume", *TINY)
    assert done.returncode == 2 and time.monotonic() - began < 60
    (line,) = complaints(done.stderr)
    assert line.startswith(f"protbert-classify train: {tmp_path}: another training writes to it")
