import errno
import json
import os
import shutil

import pytest

from protbert_classify.errors import OptionError
from protbert_classify.runs.checkpoints import mark_complete
from protbert_classify.runs.files import write_json
from protbert_classify.runs.output_dir import check_kept, claim_output_dir, claim_search, clear_output_dir
from protbert_classify.runs.writer import save_model


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


def add_checkpoint(folder, step=5, whole=True):
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    if whole:
        mark_complete(str(checkpoint), step)
    return str(checkpoint)


def test_a_new_or_empty_folder_is_free(folder):
    assert claim_output_dir(str(folder / "new"), False, False) is None
    assert claim_output_dir(str(folder), False, False) is None
    assert not (folder / "new").exists()


def test_a_folder_with_a_users_own_files_is_free(folder):
    (folder / "notes.txt").write_text("mine")
    assert claim_output_dir(str(folder), False, False) is None


def test_a_finished_run_is_refused_unless_told_otherwise(folder):
    (folder / "run.json").write_text("{}")
    with pytest.raises(OptionError, match="holds a finished run; set another output_dir, overwrite or resume"):
        claim_output_dir(str(folder), False, False)
    assert claim_output_dir(str(folder), False, True) is None
    assert claim_output_dir(str(folder), True, False) is None


def test_an_interrupted_run_is_refused_unless_told_otherwise(folder):
    checkpoint = add_checkpoint(folder)
    with pytest.raises(OptionError, match="holds checkpoints of an earlier run; set resume to continue it"):
        claim_output_dir(str(folder), False, False)
    assert claim_output_dir(str(folder), True, False) == checkpoint
    assert claim_output_dir(str(folder), False, True) is None


def test_a_run_killed_before_its_first_checkpoint_was_whole_starts_anew(folder):
    add_checkpoint(folder, whole=False)
    assert claim_output_dir(str(folder), False, False) is None
    assert claim_output_dir(str(folder), True, False) is None


def test_a_file_is_no_folder(folder):
    (folder / "file").write_text("")
    with pytest.raises(OptionError, match="is a file"):
        claim_output_dir(str(folder / "file"), False, False)


def test_resume_and_overwrite_contradict_each_other(folder):
    with pytest.raises(OptionError, match="exclude each other"):
        claim_output_dir(str(folder), True, True)


def test_overwriting_removes_what_a_run_writes_and_nothing_else(folder):
    for step, whole in ((5, True), (10, False)):
        add_checkpoint(folder, step, whole)
    for name in ("model", "figures", "data", "checkpoint-5.removed", "model.part"):
        (folder / name).mkdir()
        (folder / name / "file").write_text("")
    written = ("run.json", "metrics.json", "data.json", "trainer_state.json", "test_predictions.csv", "report.html")
    for name in (*written, "notes.txt", "checkpoint-mine"):
        (folder / name).write_text("")
    clear_output_dir(str(folder))
    assert sorted(os.listdir(folder)) == ["checkpoint-mine", "data", "notes.txt"]


def test_without_a_run_nothing_is_removed(folder):
    for name in ("model", "figures"):
        (folder / name).mkdir()
    (folder / "data.json").write_text("[]")
    clear_output_dir(str(folder))
    assert sorted(os.listdir(folder)) == ["data.json", "figures", "model"]


def test_a_run_is_unfinished_as_soon_as_one_file_of_it_is_removed(folder, monkeypatch):
    (folder / "run.json").write_text("{}")
    (folder / "model").mkdir()

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        clear_output_dir(str(folder))
    assert os.listdir(folder) == ["model"]


@pytest.mark.parametrize("name", ["model", "model/weights", "data.json", "checkpoint-5", "here/../model"])
def test_an_input_that_a_run_would_replace_is_refused(folder, name):
    add_checkpoint(folder)
    (folder / "here").mkdir()
    (folder / "model").mkdir()
    for file in ("model/weights", "data.json", "proteins.csv", "model.fasta"):
        (folder / file).write_text("")
    with pytest.raises(OptionError, match="data .*: output_dir .* would replace it; expected another output_dir"):
        check_kept(str(folder), data=str(folder / name))
    check_kept(str(folder), data=str(folder / "proteins.csv"), other=str(folder / "model.fasta"), third=None)
    check_kept(str(folder), model_name_or_path="Rostlab/prot_bert")


def test_a_search_is_removed_with_its_run_unless_it_stays_and_a_folder_of_that_name_is_left_alone(tmp_path):
    for folder in ("mine", "other"):
        for name in ("search/trials.csv", "search.html", "run.json"):
            write(tmp_path / folder / name, "{}")
    write(tmp_path / "mine" / "search" / "settings.json", "{}")
    clear_output_dir(str(tmp_path / "mine"), keep="search")
    assert sorted(os.listdir(tmp_path / "mine")) == ["search", "search.html"]
    clear_output_dir(str(tmp_path / "mine"))
    assert os.listdir(tmp_path / "mine") == []
    clear_output_dir(str(tmp_path / "other"))
    assert sorted(os.listdir(tmp_path / "other")) == ["search", "search.html"]


@pytest.mark.parametrize(
    ("resume", "searching", "message"),
    [
        (False, True, "holds a search; set resume to continue it, or overwrite to start again"),
        (False, False, "holds a search; set resume to continue it"),
        (True, False, "holds an unfinished search; resume it with the same search, or start again with overwrite"),
    ],
)
def test_an_unfinished_search_is_continued_by_a_search_only(tmp_path, resume, searching, message):
    write(tmp_path / "search" / "settings.json", "{}")
    with pytest.raises(OptionError, match=message):
        claim_search(str(tmp_path), resume, False, searching)
    claim_search(str(tmp_path), True, False, True)
    claim_search(str(tmp_path), False, True, searching)
    write(tmp_path / "run.json", "{}")
    claim_search(str(tmp_path), True, False, False)  # trained further, without a search


def test_a_training_without_a_search_is_not_resumed_by_one(tmp_path):
    claim_search(str(tmp_path), False, False, True)
    write(tmp_path / "run.json", "{}")
    with pytest.raises(OptionError, match="holds a training without a search; expected another output_dir"):
        claim_search(str(tmp_path), True, False, True)
    claim_search(str(tmp_path), True, False, False)


def test_a_full_disk_leaves_the_former_file_and_no_half_written_one(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    write_json(str(path), {"accuracy": 0.5})

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError, match="No space"):
        write_json(str(path), {"accuracy": 0.6})
    assert os.listdir(tmp_path) == ["metrics.json"]
    assert json.loads(path.read_text()) == {"accuracy": 0.5}


def test_weights_may_be_read_by_whoever_may_read_the_other_files(tmp_path, tiny_classifier, tokenizer):
    model = tiny_classifier()
    final = save_model(str(tmp_path), model, tokenizer, model.state_dict())
    assert len({os.stat(os.path.join(final, name)).st_mode for name in os.listdir(final)}) == 1


def test_a_model_that_cannot_be_written_whole_leaves_the_former_one(tmp_path, tiny_classifier, tokenizer, monkeypatch):
    model = tiny_classifier()
    final = save_model(str(tmp_path), model, tokenizer, model.state_dict())
    before = sorted(os.listdir(final))

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(tokenizer), "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        save_model(str(tmp_path), model, tokenizer, model.state_dict())
    assert sorted(os.listdir(final)) == before == [
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_folders_that_are_called_like_members_by_chance_are_left_alone(tmp_path):
    write(tmp_path / "fold-1" / "run.json", "{}")
    write(tmp_path / "fold-1" / "metrics.json", "{}")
    assert claim_output_dir(str(tmp_path), resume=False, overwrite=False) is None
    clear_output_dir(str(tmp_path))
    assert sorted(os.listdir(tmp_path / "fold-1")) == ["metrics.json", "run.json"]


def test_the_members_of_an_ensemble_are_cleared_with_it_but_for_the_one_that_has_begun(tmp_path):
    write(tmp_path / "settings.json", '{"seeds": 3}')
    for name in ("seed-0/run.json", "seed-1/run.json", "seed-2/run.json", "seed-2/notes.txt", "run.json"):
        write(tmp_path / name, "{}")
    with pytest.raises(OptionError, match="holds a finished run"):
        claim_output_dir(str(tmp_path), resume=False, overwrite=False)
    clear_output_dir(str(tmp_path), keep="seed-0")
    assert sorted(os.listdir(tmp_path)) == ["seed-0", "seed-2"]
    assert os.listdir(tmp_path / "seed-0") == ["run.json"]
    assert os.listdir(tmp_path / "seed-2") == ["notes.txt"]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
