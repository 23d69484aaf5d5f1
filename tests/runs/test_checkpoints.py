import os

import pytest

from protbert_classify.runs.checkpoints import (
    checkpoints,
    mark_complete,
    newest_complete_checkpoint,
    remove_old_checkpoints,
)
from tests.training.child import trained


@pytest.fixture
def run(tmp_path):
    """Make checkpoints: steps that are whole, and steps that a kill left half-written."""

    def make(whole=(), half=()):
        for step in (*whole, *half):
            (tmp_path / f"checkpoint-{step}").mkdir()
            (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_text("")
        for step in whole:
            mark_complete(str(tmp_path / f"checkpoint-{step}"), step)
        return str(tmp_path)

    return make


def steps(folder):
    return [int(path.rsplit("-", 1)[1]) for path in checkpoints(folder)]


def test_checkpoints_are_ordered_by_step_not_by_name(run):
    assert steps(run(whole=[9, 10, 100])) == [9, 10, 100]


@pytest.mark.parametrize(("whole", "half"), [([5, 10], [15]), ([9, 10], [])])
def test_a_half_written_checkpoint_is_never_resumed_from(run, whole, half):
    assert os.path.basename(newest_complete_checkpoint(run(whole, half))) == "checkpoint-10"


def test_a_copy_whose_marker_came_before_its_files_is_not_resumed_from(run, tmp_path):
    folder = run(whole=[10, 20])
    (tmp_path / "checkpoint-20" / "optimizer.pt").write_text("moments")
    mark_complete(str(tmp_path / "checkpoint-20"), 20)
    (tmp_path / "checkpoint-20" / "optimizer.pt").write_text("mom")
    assert os.path.basename(newest_complete_checkpoint(folder)) == "checkpoint-10"
    (tmp_path / "checkpoint-20" / "optimizer.pt").unlink()
    assert os.path.basename(newest_complete_checkpoint(folder)) == "checkpoint-10"


def test_no_complete_checkpoint_is_none(run, tmp_path):
    assert newest_complete_checkpoint(run(half=[5])) is None
    assert newest_complete_checkpoint(str(tmp_path / "nowhere")) is None


@pytest.mark.parametrize(
    ("limit", "best", "left"),
    [
        (2, None, [15, 20]),
        (2, 5, [5, 20]),
        (2, 20, [15, 20]),
        (3, 10, [10, 15, 20]),
        (1, None, [20]),
        (1, 5, [5, 20]),  # the best and the newest always stay
        (9, 5, [5, 10, 15, 20]),
        (None, 5, [5, 10, 15, 20]),
    ],
)
def test_the_best_and_the_newest_stay(run, limit, best, left):
    folder = run(whole=[5, 10, 15, 20])
    remove_old_checkpoints(folder, limit, f"elsewhere/checkpoint-{best}" if best else None)
    assert steps(folder) == left


def test_a_half_written_checkpoint_of_a_killed_run_does_not_crowd_out_a_whole_one(run):
    folder = run(whole=[5, 10], half=[15])
    remove_old_checkpoints(folder, 1, None)
    assert os.path.basename(newest_complete_checkpoint(folder)) == "checkpoint-10"
    assert steps(folder) == [10]


def test_the_remains_of_an_interrupted_deletion_do_not_stop_the_next_one(run, tmp_path):
    folder = run(whole=[5, 10])
    (tmp_path / "checkpoint-5.removed").mkdir()
    (tmp_path / "checkpoint-5.removed" / "optimizer.pt").write_text("")
    remove_old_checkpoints(folder, 1, None)
    assert sorted(os.listdir(folder)) == ["checkpoint-10"]


def test_a_run_keeps_as_many_checkpoints_as_asked_all_of_them_whole(tmp_path):
    result = trained(
        str(tmp_path),
        validation=12,
        num_train_epochs=6,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
    )
    folder = str(tmp_path / "run")
    left = steps(folder)
    assert len(left) == 2
    assert left[-1] == 48
    assert os.path.basename(result["best"]) in {f"checkpoint-{step}" for step in left}
    assert os.path.basename(newest_complete_checkpoint(folder)) == "checkpoint-48"
    assert all(os.path.isfile(os.path.join(path, "complete.json")) for path in checkpoints(folder))
