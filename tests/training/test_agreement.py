"""Processes decide alike, whatever each of them finds on its own disk."""

import shutil

import pytest

from protbert_classify.errors import OptionError
from protbert_classify.training.agreement import agree, check_everywhere
from tests.training.runs import two_processes

RUN = {"proteins": 16, "num_train_epochs": 2, "save_strategy": "epoch", "save_total_limit": 5, "own_disk": True}


def test_one_process_decides_for_itself():
    assert agree(lambda: "here", is_first=True) == "here"
    with pytest.raises(OptionError, match="no"):
        agree(_refuse, is_first=True)
    check_everywhere(True, "a file", "do this")
    with pytest.raises(OptionError, match="a file is not on the disk of process 0; do this"):
        check_everywhere(False, "a file", "do this")


def _refuse():
    raise OptionError("no")


@pytest.mark.slow
def test_machines_without_a_shared_disk_resume_together_or_not_at_all(tmp_path):
    """One that resumed while the other started again would wait for it forever, or train another model."""
    first = two_processes(tmp_path, **RUN)
    assert [result["steps"] for result in first] == [4, 4]
    for result in two_processes(tmp_path, **RUN, resume=True):
        assert "checkpoint-4 is not on the disk of process 1; several machines need one folder" in result["error"]
    shutil.copytree(tmp_path / "run0", tmp_path / "run1", dirs_exist_ok=True)
    longer = RUN | {"num_train_epochs": 3}
    assert [result["steps"] for result in two_processes(tmp_path, **longer, resume=True)] == [6, 6]


@pytest.mark.slow
def test_what_the_first_process_does_not_have_no_process_resumes_from(tmp_path):
    two_processes(tmp_path, **RUN)
    shutil.copytree(tmp_path / "run0", tmp_path / "run1", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "run0")
    for result in two_processes(tmp_path, **RUN, resume=True):
        assert "has no complete checkpoint to resume from" in result["error"]
