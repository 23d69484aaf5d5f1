"""The benchmark of the pretraining leaves the test proteins out and compares equal trainings."""

import json

import pytest

from benchmarks import pretraining

SMALL = ["--proteins", "60", "--hidden_size", "32", "--layers", "1", "--max_length", "48", "--pretraining_epochs", "1"]


def test_the_rows_are_those_of_the_seeds_and_of_all_of_them():
    def one(scratch, pretrained):
        values = {pretraining.SCRATCH: scratch, pretraining.PRETRAINED: pretrained, "interval": (-0.01, 0.21)}
        return dict.fromkeys(pretraining.METRICS, values)

    found = pretraining.rows([one(0.5, 0.6), one(0.4, 0.7)])
    assert len(found) == 3 * 2 + 3
    assert found[0] == ["seed 0", "MCC", "0.500", "0.600", "+0.100 (-0.010 to +0.210)"]
    spreads = ["0.450 ± 0.071", "0.650 ± 0.071", "0.200 ± 0.141"]
    assert found[6] == ["all seeds, mean ± standard deviation", "MCC", *spreads]


@pytest.mark.slow
def test_a_small_one_runs_and_goes_on_with_what_is_there(tmp_path, capsys):
    options = [*SMALL, "--epochs", "1", "--seeds", "1", "--folder", str(tmp_path)]
    assert pretraining.main(options) == 0
    printed = capsys.readouterr().out.split("validation loss from that of residue frequencies")[1]
    record = json.loads((tmp_path / "pretraining" / "run.json").read_text())
    assert record["split_notes"]["train_proteins"] + record["split_notes"]["excluded"] <= 60
    assert record["split_notes"]["excluded"] > 0
    names = "from_scratch-0", "pretrained-0"
    first, second = (json.loads((tmp_path / name / "run.json").read_text()) for name in names)
    assert first["data_fingerprint"] == second["data_fingerprint"]
    assert first["training_arguments"]["seed"] == second["training_arguments"]["seed"] == 0
    assert pretraining.main(options) == 0
    assert capsys.readouterr().out.split("validation loss from that of residue frequencies")[1] == printed
