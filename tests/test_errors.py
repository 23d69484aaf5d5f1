"""Whose fault it is decides the exit code."""

import pytest

from protbert_classify.errors import InputError, ModelError, ProteinClassifierError, first_line
from protbert_classify.model_source import cannot_load, resolve_model_path


@pytest.mark.parametrize(
    "message, kind, code",
    [
        ("We couldn't connect to 'https://huggingface.co' to load the files", ProteinClassifierError, 1),
        ("no/such is not a local folder and is not a valid model identifier\nadvice", ModelError, 2),
    ],
)
def test_an_unreachable_hub_is_not_the_users_fault_and_a_wrong_name_is(message, kind, code):
    error = cannot_load("no/such", OSError(message))
    assert type(error) is kind and error.exit_code == code
    assert str(error).startswith("no/such: ") and "\n" not in str(error)


def test_an_error_without_words_has_at_least_its_name():
    assert first_line(OSError()) == "OSError"
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize("name", ["/no/such/folder", "./typo", "runs/typo", "a/b/c"])
def test_a_mistyped_path_is_not_asked_of_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ModelError, match="no such folder"):
        resolve_model_path(name)


@pytest.mark.parametrize("name", ["Rostlab/prot_bert_bfd", "facebook/esm2_t12_35M_UR50D", "bert"])
def test_a_hub_id_stays_one(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_model_path(name) == name
