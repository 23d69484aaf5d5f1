"""The benchmark of the encoders leaves the test proteins out of its pretraining and compares equal trainings."""

import argparse
import json

import pytest

from benchmarks import encoders
from benchmarks.paired import pairs_table

TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def run(seconds, *epochs):
    return {"seconds": seconds, "epochs": list(epochs)}


def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_that_reaches_it():
    assert encoders.epochs_to(0.5, run(40.0, 0.4, 0.6, 0.5, 0.7)) == 2
    ways = {"LoRA, mean": [run(40.0, 0.4, 0.6), run(20.0, 0.3, 0.5)], "full, mean": [run(60.0, 0.2, 0.4, 0.7)]}
    row = encoders.time_table({"some": ways}).splitlines()[2]
    assert row == "| some | mean | 0.500 | 20 | 60 | 0.33 |"  # all reach 0.5; a LoRA epoch takes 10 s


def test_a_difference_has_a_row_for_each_metric_and_a_column_for_each_seed():
    one = {metric: [0.1, (-0.01, 0.21)] for metric in encoders.METRICS}
    other = {metric: [-0.02, (-0.13, 0.09)] for metric in encoders.METRICS}
    rows = pairs_table({"a - b": [one, other]}, encoders.METRICS).splitlines()
    assert rows[0] == "|  | metric | mean | seed 0 | seed 1 |" and len(rows) == 5
    assert rows[3] == "| a - b | MCC | +0.040 | +0.100 (-0.010 to +0.210) | -0.020 (-0.130 to +0.090) |"


@pytest.mark.slow
def test_a_small_one_runs_and_goes_on_with_what_is_there(tmp_path, monkeypatch):
    splits = encoders.read_scl2205()
    monkeypatch.setattr(encoders, "read_scl2205", lambda: {**splits, "train": splits["train"][:60]})
    monkeypatch.setattr(encoders, "SHAPE", encoders.SHAPE | TINY)
    monkeypatch.setattr(encoders, "PRETRAINING", ("--num_train_epochs", "1"))
    monkeypatch.setitem(encoders.WAYS, "full, mean", (*encoders.WAYS["full, mean"], "--num_train_epochs", "1"))
    starts, ways = [encoders.PRETRAINED, encoders.SCRATCH], ["full, mean"]
    options = argparse.Namespace(starts=starts, ways=ways, unlabelled=[], train_proteins=60, seeds=1)
    found = encoders.measure(options, tmp_path)
    record = json.loads((tmp_path / "pretraining" / "run.json").read_text())
    assert record["split_notes"]["train_proteins"] + record["split_notes"]["excluded"] <= 60
    assert record["split_notes"]["excluded"] > 0
    records = [
        json.loads((encoders.run_folder(tmp_path, start, *ways, 0) / "run.json").read_text()) for start in starts
    ]
    assert records[0]["data_fingerprint"] == records[1]["data_fingerprint"]
    assert records[0]["training_arguments"]["seed"] == records[1]["training_arguments"]["seed"] == 0
    (pair,) = found["differences"].values()
    test = [found["runs"][start]["full, mean"][0]["test"]["mcc"] for start in starts]
    assert pair[0]["mcc"][0] == pytest.approx(test[0] - test[1])
    assert set(found["baselines"]) == set(encoders.BASELINES.values())
    found["settings"] = {"train_proteins": 60, "seeds": 1}
    assert "pretrained here - from scratch, full, mean" in encoders.tables(found)
    again = encoders.measure(options, tmp_path)
    assert again["runs"] == found["runs"] and again["differences"] == found["differences"]
