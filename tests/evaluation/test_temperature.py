"""The fit of a calibration, against other optimisers, and when there is none."""

import numpy as np
import pytest
from scipy import optimize, special

from protbert_classify.evaluation.calibration import score_metrics
from protbert_classify.evaluation.decision import decide_task
from protbert_classify.evaluation.temperature import fit_temperature, fit_vector, why_not_fitted
from protbert_classify.model.calibration import calibrate
from protbert_classify.model.tasks import MULTI_LABEL, SINGLE_LABEL, Task

LABELS = ["a", "b", "c", "d"]
SINGLE = Task(name="location", problem_type=SINGLE_LABEL, labels=LABELS)
SEVERAL = Task(name="place", problem_type=MULTI_LABEL, labels=LABELS)


def honest(task, proteins=4000, seed=0):
    """Logits that say the truth about the answers that are drawn by them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=1.5, size=(proteins, len(LABELS))).astype(np.float32)
    if task.problem_type == SINGLE_LABEL:
        scores = special.softmax(logits, axis=1)
        return logits, (scores.cumsum(1) < generator.random((proteins, 1))).sum(1)
    return logits, (generator.random(logits.shape) < special.expit(logits)).astype(np.float64)


def likelihood(logits, references):
    """The mean negative log-likelihood, from its definition."""
    if references.ndim == 1:
        known = references >= 0
        scores = special.softmax(logits[known].astype(np.float64), axis=1)
        return -np.log(scores[np.arange(known.sum()), references[known]]).mean()
    known = ~np.isnan(references)
    scores, true = special.expit(logits.astype(np.float64))[known], references[known]
    return -(true * np.log(scores) + (1 - true) * np.log(1 - scores)).mean()


def with_unknown(references):
    references = references.copy()
    references[::7] = -100 if references.ndim == 1 else np.nan
    return references


@pytest.mark.parametrize("task", [SINGLE, SEVERAL], ids=["single", "several"])
@pytest.mark.parametrize("factor", [3.0, 0.4])
def test_the_temperature_is_the_optimum_of_the_likelihood(task, factor):
    logits, references = honest(task, proteins=300)
    logits, references = factor * logits, with_unknown(references)
    best = optimize.minimize(lambda inverse: likelihood(logits * inverse[0], references), [1.0], method="Nelder-Mead",
                             options={"xatol": 1e-9, "fatol": 1e-14})  # fmt: skip
    found = fit_temperature(logits, references, task)
    assert found.temperature == pytest.approx(1 / best.x[0], abs=1e-4)
    assert found.bias is None


@pytest.mark.parametrize("task", [SINGLE, SEVERAL], ids=["single", "several"])
def test_an_overconfident_network_becomes_honest(task):
    logits, references = honest(task)
    measured, others = slice(0, 2000), slice(2000, None)
    found = fit_temperature(3 * logits[others], references[others], task)
    assert found.temperature == pytest.approx(3, rel=0.1)
    before = score_metrics(decide_task(3 * logits[measured], task), references[measured])
    after = score_metrics(decide_task(3 * logits[measured] / found.temperature, task), references[measured])
    assert after["ece"] < before["ece"] / 2
    assert after["nll"] < before["nll"] and after["brier"] < before["brier"]


@pytest.mark.parametrize("task", [SINGLE, SEVERAL], ids=["single", "several"])
def test_a_vector_finds_the_scale_and_the_bias_of_each_class(task):
    logits, references = honest(task, proteins=20_000)
    scale, bias = np.array([3.0, 1.0, 0.5, 2.0]), np.array([0.5, -1.0, 0.0, 0.5])
    found = fit_vector((logits - bias) * scale, references, task)
    assert found.temperature == pytest.approx(scale.tolist(), rel=0.1)
    assert np.array(found.bias) - np.mean(found.bias) == pytest.approx(bias - bias.mean(), abs=0.12)


@pytest.mark.parametrize("task", [SINGLE, SEVERAL], ids=["single", "several"])
def test_a_vector_is_the_optimum_of_likelihood_and_prior(task):
    logits, references = honest(task, proteins=200)
    logits, references = 2 * logits, with_unknown(references)

    def loss(values):
        prior = (values**2).sum() / (2 * len(logits))
        return likelihood(logits / np.exp(values[:4]) + values[4:], references) + prior

    best = optimize.minimize(loss, np.zeros(8), method="BFGS", options={"gtol": 1e-8})
    found = fit_vector(logits, references, task)
    assert [*found.temperature, *found.bias] == pytest.approx([*np.exp(best.x[:4]), *best.x[4:]], abs=1e-3)


def test_a_class_without_proteins_gets_a_bias_that_is_finite_and_small():
    logits, references = honest(SINGLE, proteins=200)
    rows = references != 3
    found = fit_vector(logits[rows], references[rows], SINGLE)
    assert all(abs(value) < 5 for value in found.bias) and all(0.05 <= value <= 20 for value in found.temperature)


def test_proteins_that_say_too_little_fit_nothing():
    logits, references = honest(SINGLE, proteins=200)
    right = logits.argmax(1)
    assert why_not_fitted(logits, references, SINGLE) is None
    few = "found 49 validation proteins with a known answer, expected 50 or more"
    assert why_not_fitted(logits[:49], references[:49], SINGLE) == few
    unknown = np.where(np.arange(200) < 49, references, -100)
    assert why_not_fitted(logits, unknown, SINGLE) == few
    one = "all validation proteins have the same class"
    assert why_not_fitted(logits, np.zeros(200, dtype=int), SINGLE) == one
    assert why_not_fitted(logits, right, SINGLE) == "no prediction for validation proteins is wrong"
    assert why_not_fitted(logits * np.inf, references, SINGLE) == "logits are not finite"


def test_several_labels_that_say_too_little_fit_nothing():
    logits, references = honest(SEVERAL, proteins=200)
    assert why_not_fitted(logits, references, SEVERAL) is None
    none = "all validation proteins have all labels, or none"
    assert why_not_fitted(logits, np.zeros_like(references), SEVERAL) == none
    assert "is wrong" in why_not_fitted(logits, (logits > 0).astype(float), SEVERAL)


def test_the_model_and_the_fit_mean_the_same_by_a_temperature():
    import torch

    logits, references = honest(SINGLE, proteins=500)
    found = fit_vector(3 * logits, references, SINGLE)
    by_model = calibrate(torch.from_numpy(3 * logits), found.temperature, found.bias).numpy()
    assert likelihood(by_model, references) < likelihood(3 * logits, references)
    expected = 3 * logits / np.array(found.temperature) + np.array(found.bias)
    assert by_model == pytest.approx(expected, abs=1e-5)
