"""Calibration: by hand, and at both ends."""

import numpy as np
import pytest

from protbert_classify.evaluation.calibration import calibration


def test_bins_and_error_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.85, 0.15], [0.35, 0.65], [0.45, 0.55], [0.9, 0.1]])
    found = calibration(probabilities, [0, 1, 1, 0, 0])
    assert [(b["lower"], b["proteins"], b["accuracy"]) for b in found["bins"]] == [
        (0.5, 1, 0.0),
        (0.6, 1, 1.0),
        (0.8, 2, 0.5),  # 0.85 and 0.9, which is still in this bin
        (0.9, 1, 1.0),
    ]
    assert found["bins"][2]["confidence"] == pytest.approx(0.875)
    assert found["ece"] == pytest.approx((0.55 + 0.35 + 2 * 0.375 + 0.05) / 5)


def test_scores_that_are_always_right_have_no_error():
    assert calibration(np.array([[1.0, 0.0], [0.0, 1.0]]), [0, 1])["ece"] == 0


def test_honest_scores_have_little_error_and_boastful_ones_much():
    generator = np.random.default_rng(0)
    score = generator.uniform(0.5, 1, 20_000)
    right = generator.random(20_000) < score
    honest = np.stack([score, 1 - score], 1)
    assert calibration(honest, (~right).astype(int))["ece"] < 0.02
    boastful = np.stack([np.full(20_000, 0.99), np.full(20_000, 0.01)], 1)
    assert calibration(boastful, (~right).astype(int))["ece"] == pytest.approx(0.24, abs=0.02)


@pytest.mark.parametrize(("rows", "references"), [(0, []), (2, [0])])
def test_no_proteins_or_other_lengths_are_refused(rows, references):
    with pytest.raises(ValueError, match=f"{rows} predictions for {len(references)} references"):
        calibration(np.full((rows, 2), 0.5), references)
