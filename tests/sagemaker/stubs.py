"""Help for tests of endpoints without a model behind them: what the stub of `Serving` answers."""

import csv
from types import SimpleNamespace

import pytest

from protbert_classify.sagemaker import status

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"  # longer than the model reads
PROTEINS = [PROTEIN, "MKT", "m k t w y", "ACDEFGHIKLMNPQRSTVWY"]
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VPC = {"subnets": ["subnet-1", "subnet-2"], "security_group_ids": ["sg-1"]}
GUARDED = {"kms_key": KEY, "network_isolation": True, **VPC}


def close(found, expected):
    """Whether two answers have the same labels in the same order, and scores to 1e-5."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found["label"] == expected["label"] and found["score"] == pytest.approx(expected["score"], abs=1e-5)


def read(path):
    """The rows of a table."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same_rows(found, expected):
    """Compare two tables: the same columns in the same order, and numbers to 1e-5."""
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            if name == "score" or name[0].isupper():  # of a class
                assert float(row[name]) == pytest.approx(float(value), abs=1e-5), (row, wanted)
            else:
                assert row[name] == value, (row, wanted)


def stubbed(serving, *answers):
    """Let the stub give these answers, each (status, body), in turn; the last one for ever. None answers as usual."""
    left, usual = list(answers), serving.stub.answer

    def answer(body, kind, accept):
        given = left.pop(0) if len(left) > 1 else left[0]
        return usual(body, kind, accept) if given is None else (given[0], accept, given[1].encode())

    serving.stub.answer = answer


def interrupt(*_, **__):
    """Ctrl-C, in place of any function."""
    raise KeyboardInterrupt


def asleep(monkeypatch, sleep):
    """What our code, and nobody else, does while it would sleep."""
    monkeypatch.setattr(status, "time", SimpleNamespace(sleep=sleep))
