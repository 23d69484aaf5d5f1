"""Whose fault it is decides the exit code."""

import pytest

from protbert_classify.errors import InputError, ModelError, ProteinClassifierError, cannot_load, first_line


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
