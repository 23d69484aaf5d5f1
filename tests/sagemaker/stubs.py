"""Endpoints without a model behind them: what the stub of `Serving` answers, and other help for tests of endpoints."""

import json
import time
from types import SimpleNamespace

import pytest

from protbert_classify.sagemaker import Protection
from protbert_classify.sagemaker.endpoints import deletion, lifecycle

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"  # longer than the model reads
PROTEINS = [PROTEIN, "MKT", "m k t w y", "ACDEFGHIKLMNPQRSTVWY"]
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VPC = {"subnets": ["subnet-1", "subnet-2"], "security_group_ids": ["sg-1"]}
GUARDED = Protection(kms_key=KEY, network_isolation=True, **VPC)


def close(found, expected):
    """Whether two answers have the same labels in the same order, and scores to 1e-5."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found["label"] == expected["label"] and found["score"] == pytest.approx(expected["score"], abs=1e-5)


def stubbed(serving, *answers):
    """Let the stub give these answers, each (status, body), in turn; the last one for ever."""
    left = list(answers)

    def answer(body, kind, accept):
        status, write = left.pop(0) if len(left) > 1 else left[0]
        return status, accept, write(body)

    serving.stub.answer = answer


def asleep(monkeypatch, sleep):
    """What our code, and nobody else, does while it would sleep."""
    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    for module in (lifecycle, deletion):
        monkeypatch.setattr(module, "time", clock)


def said(text):
    return lambda body: text.encode()


def calls(body):
    """What a container says of each protein of a request: its length as the label."""
    return json.dumps([{"label": len(residues), "score": 1.0} for residues in json.loads(body)["inputs"]]).encode()
