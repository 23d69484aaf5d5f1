"""Prediction sets: what a user is promised about how often they miss the truth."""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from protbert_classify.errors import OptionError
from protbert_classify.evaluation.decision import Decision, decide_task
from protbert_classify.evaluation.prediction_sets import (
    MOST,
    fewest_proteins,
    never_excluded,
    p_values,
    set_metrics,
    set_quality,
    true_class_scores,
)
from protbert_classify.evaluation.temperature import fit_temperature
from protbert_classify.model.tasks import IGNORED, MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from protbert_classify.training.validation_fits import calibrated_part
from tests.training.runs import environment

LABELS = ["Cytoplasm", "Nucleus", "Plastid"]
NINE = [[0.2, 0.5, 0.9], [0.1, 0.4, 0.6, 0.7], [0.3, 0.8]]  # scores of the true classes


def task(kept=None, labels=LABELS, **fields):
    return Task(name="location", problem_type=SINGLE_LABEL, labels=labels, validation_scores=kept, **fields)


def decision(scores, kept=NINE):
    scores = np.asarray(scores, dtype=np.float64)
    chosen = np.eye(scores.shape[1], dtype=bool)[scores.argmax(1)]
    return Decision(task(kept), scores, chosen)


def test_p_values_count_the_validation_proteins_that_fit_no_better():
    # not higher than 0.65, 0.2, 0.05: 7 of 9 (0.1 0.2 0.3 0.4 0.5 0.6 and none), 2 of 9, none
    found = p_values(np.array([[0.65, 0.2, 0.05]]), task(NINE))
    assert found[0] == pytest.approx([(6 + 1) / 10, (2 + 1) / 10, 1 / 10])
    by_class = p_values(np.array([[0.65, 0.2, 0.05]]), task(NINE), by_class=True)
    assert by_class[0] == pytest.approx([(2 + 1) / 4, (1 + 1) / 5, 1 / 3])


def test_sets_have_the_classes_above_the_error_the_highest_score_first():
    answers = decision([[0.65, 0.2, 0.15], [0.05, 0.05, 0.9]])
    assert answers.sets(0.1).tolist() == [[True, True, True], [False, False, True]]
    assert answers.sets(0.2).tolist() == [[True, True, False], [False, False, True]]
    assert answers.sets(0.3).tolist() == [[True, False, False], [False, False, True]]
    assert answers.set_labels(0.1) == [["Cytoplasm", "Nucleus", "Plastid"], ["Plastid"]]
    assert answers.joined_sets(0.2) == ["Cytoplasm;Nucleus", "Plastid"]
    assert decision([[0.4, 0.3, 0.3]]).joined_sets(0.6) == ["-"]


@pytest.mark.parametrize("number", [9, 10, 19, 99, 137])
@pytest.mark.parametrize("error", [0.05, 0.1, 0.2, 0.5])
def test_the_threshold_is_the_finite_sample_quantile(number, error):
    generator = np.random.default_rng(number)
    kept = np.floor(generator.random(number) * 1e5) / 1e5
    rank = math.ceil((number + 1) * (1 - error) - 1e-9)  # of the nonconformity, ascending
    candidates = np.round(generator.random((500, 1)), 6)
    found = decision(np.hstack([candidates, np.zeros((500, 2))]), [kept.tolist(), [], []]).sets(error)[:, 0]
    if rank > number:
        assert found.all()
    else:
        quantile = np.quantile(1 - kept, min(1, rank / number), method="inverted_cdf")
        assert found.tolist() == (1 - candidates[:, 0] <= quantile).tolist()
        assert 0 < found.sum() < 500


probabilities = st.integers(0, 1_000_000).map(lambda number: number / 1_000_000)
validation = st.lists(st.lists(probabilities, max_size=30), min_size=3, max_size=3)
rows = st.lists(st.tuples(probabilities, probabilities, probabilities), min_size=1, max_size=5)
errors = st.floats(0.001, 0.999)


@settings(max_examples=200, deadline=None)
@given(kept=validation, scores=rows, pair=st.tuples(errors, errors), by_class=st.booleans())
def test_a_lower_error_never_takes_a_class_away_and_a_higher_score_never_either(kept, scores, pair, by_class):
    answers = decision(scores, kept)
    strict, loose = max(pair), min(pair)
    assert not (answers.sets(strict, by_class=by_class) & ~answers.sets(loose, by_class=by_class)).any()
    found = p_values(answers.scores, answers.task, by_class=by_class)
    assert np.array_equal(answers.sets(strict, by_class=by_class), found > strict)
    for column in range(3):
        known = kept[column] if by_class else [score for of_class in kept for score in of_class]
        order = np.argsort(answers.scores[:, column])
        assert (np.diff(found[order, column]) >= 0).all()
        # the definition, counted one by one
        expected = [(sum(k <= s for k in known) + 1) / (len(known) + 1) for s in answers.scores[:, column]]
        assert found[:, column] == pytest.approx(expected)


SHARES = (0.6, 0.3, 0.1)  # of the classes


def synthetic(generator, proteins, temperature=1.0):
    """Logits of three classes of different size and difficulty, and the true classes."""
    true = generator.choice(3, proteins, p=SHARES)
    noise = generator.normal(size=(proteins, 3)) * np.array([1.0, 1.5, 3.0])[true][:, None]
    logits = noise + 2.5 * np.eye(3)[true]
    return (logits / temperature).astype(np.float32), true


@pytest.mark.parametrize("calibrates", [False, True], ids=["as it is", "temperature of the same proteins"])
def test_over_many_resamplings_as_many_sets_miss_the_truth_as_was_allowed(calibrates):
    generator, error = np.random.default_rng(0), 0.1
    hits = {False: [], True: []}
    for _ in range(200):
        (kept, kept_true), (tested, true) = synthetic(generator, 200, 0.3), synthetic(generator, 100, 0.3)
        own = task()
        if calibrates:
            own = task(temperature=fit_temperature(kept, kept_true, own).temperature)
            kept, tested = calibrated_part(kept, own), calibrated_part(tested, own)
        own = task(true_class_scores(decide_task(kept, own), kept_true))
        for by_class, found in hits.items():
            inside = decide_task(tested, own).sets(error, by_class=by_class)
            found.append(np.stack([true, inside[np.arange(100), true]]))
    # the coverage of one validation set with n proteins varies around the promise, by e (1 - e) / n; the share that is
    # counted in n' test proteins by as much / n'; and finite sets may cover 1 / n more than was asked for
    for by_class, found in hits.items():
        true, hit = np.concatenate(found, axis=1)
        for proteins, part in [(200, hit), *((200 * share, hit[true == index]) for index, share in enumerate(SHARES))]:
            spread = math.sqrt(0.09 / (200 * proteins) + 0.09 / len(part))
            if by_class or len(part) == len(hit):
                assert 0.9 - 3 * spread <= part.mean() <= 0.9 + 1 / proteins + 3 * spread
    true, hit = np.concatenate(hits[False], axis=1)
    assert hit[true == 2].mean() < 0.8  # what sets by class are for


def test_the_coverage_of_one_validation_set_lies_in_the_band_of_a_beta_distribution():
    generator, error, number = np.random.default_rng(1), 0.1, 199
    coverages = []
    for _ in range(200):
        kept = generator.random(number)
        own = task([np.sort(kept).tolist(), []], LABELS[:2])
        scores = np.stack([generator.random(2000), np.zeros(2000)], axis=1)
        coverages.append((p_values(scores, own)[:, 0] > error).mean())
    allowed = math.floor(error * (number + 1))
    band = stats.betabinom(2000, number + 1 - allowed, allowed)
    assert np.mean(coverages) == pytest.approx(band.mean() / 2000, abs=4 * band.std() / 2000 / math.sqrt(200))
    low, high = band.ppf([0.0005, 0.9995]) / 2000
    assert min(coverages) > low and max(coverages) < high


def test_kept_scores_are_those_of_the_true_classes_rounded_down():
    answers = decision([[0.123456, 0.8, 0.076544], [0.999999, 0.0, 0.000001], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], None)
    assert true_class_scores(answers, np.array([0, 0, 1, IGNORED])) == [[0.12345, 0.99999], [0.5], []]
    assert true_class_scores(answers, np.array([2, 2, np.nan, 2.0])) == [[], [], [0.0, 0.07654, 0.8]]


def test_of_very_many_validation_proteins_a_sample_is_kept_in_which_classes_have_their_share():
    generator = np.random.default_rng(0)
    true = generator.choice(3, 3 * MOST, p=[0.7, 0.2, 0.1])
    scores = generator.dirichlet([1, 1, 1], 3 * MOST)
    answers = Decision(task(), scores, scores == scores.max(1, keepdims=True))
    kept = true_class_scores(answers, true, seed=1)
    assert sum(map(len, kept)) == MOST
    assert [len(of_class) / MOST for of_class in kept] == pytest.approx([0.7, 0.2, 0.1], abs=0.02)
    assert kept == true_class_scores(answers, true, seed=1) != true_class_scores(answers, true, seed=2)
    for index, of_class in enumerate(kept):
        assert np.mean(of_class) == pytest.approx(scores[true == index, index].mean(), abs=0.04)


def test_too_few_validation_proteins_never_exclude_a_class():
    assert [fewest_proteins(error) for error in (0.5, 0.3, 0.1, 0.05, 0.01)] == [1, 3, 9, 19, 99]
    nine, eight = np.linspace(0.5, 0.9, 9).tolist(), np.linspace(0.5, 0.9, 8).tolist()
    answers = decision([[0.0, 0.0, 1.0]], [nine, eight, []])
    assert answers.sets(0.1, by_class=True).tolist() == [[False, True, True]]
    assert never_excluded(answers.task, 0.1, by_class=True) == ["Nucleus", "Plastid"]
    assert never_excluded(answers.task, 0.1) == []
    assert never_excluded(answers.task, 0.05) == LABELS
    assert answers.sets(0.05).all()


def test_quality_of_sets_and_of_those_of_some_proteins():
    scores = [[0.65, 0.2, 0.15], [0.05, 0.05, 0.9], [0.1, 0.8, 0.1], [0.15, 0.7, 0.15], [0.3, 0.4, 0.3]]
    answers, true = decision(scores), np.array([0, 1, 1, IGNORED, 2])
    # sets at 0.25: {0}, {2}, {1}, {1}, all: p-values 0.7 0.3 0.2 | 0.1 0.1 1.0 | 0.2 0.9 0.2 | ... | 0.4 0.5 0.4
    found = set_quality(answers, true, error=0.25)
    assert found["proteins"] == 4
    assert (found["coverage"], found["size"], found["empty"]) == (0.75, (2 + 1 + 1 + 3) / 4, 0)
    assert found["low"] < 0.75 < found["high"]
    nucleus = found["per_class"]["Nucleus"]
    assert (nucleus["proteins"], nucleus["coverage"], nucleus["size"]) == (2, 0.5, 1.0)
    assert set_quality(answers, true, np.array([1, 3]), error=0.25)["coverage"] == 0.0
    assert set_quality(answers, true, np.array([1, 0, 1, 1, 0], bool), error=0.25) == set_quality(
        answers, true, np.array([0, 2]), error=0.25
    )
    none = set_quality(answers, true, np.array([3]), error=0.25)
    assert (none["proteins"], none["coverage"], none["size"]) == (0, None, None)


def test_metrics_are_those_at_an_error_of_ten_percent():
    generator = np.random.default_rng(3)
    kept, kept_true = synthetic(generator, 300)
    tested, true = synthetic(generator, 200)
    own = task(true_class_scores(decide_task(kept, task()), kept_true))
    found = set_metrics(decide_task(tested, own), true)
    inside = decide_task(tested, own).sets(0.1, by_class=True)
    assert found["sets_by_class_coverage"] == pytest.approx(inside[np.arange(200), true].mean())
    assert found["sets_by_class_size"] == pytest.approx(inside.sum(1).mean())
    inside = decide_task(tested, own).sets(0.1)
    assert found["sets_coverage"] == pytest.approx(inside[np.arange(200), true].mean())
    assert found["sets_size"] == pytest.approx(inside.sum(1).mean())
    assert set_metrics(decide_task(tested, task()), true) == {}


@pytest.mark.parametrize("error", [0, 1, -0.1, 1.5, math.nan, "0.1", True, None])
def test_an_error_that_is_none_is_refused(error):
    with pytest.raises(OptionError, match=r"^sets=.*: expected an error between 0 and 1, such as 0.1$"):
        decision([[0.2, 0.3, 0.5]]).sets(error)


def test_models_that_cannot_give_sets_say_why():
    with pytest.raises(OptionError, match="no validation scores for location.*train it with this version"):
        decision([[0.2, 0.3, 0.5]], None).sets(0.1)
    several = decide_task(np.zeros((1, 2)), Task(name="places", problem_type=MULTI_LABEL, labels=["a", "b"]))
    with pytest.raises(OptionError, match="places can have several classes for a protein; prediction sets need one"):
        several.sets(0.1)
    number = decide_task(np.zeros((1, 1)), Task(name="melting", problem_type=REGRESSION, labels=["t"]))
    with pytest.raises(OptionError, match="melting is a number; prediction sets need one class per protein"):
        number.sets(0.1)


def test_the_library_is_only_imported_for_sets_and_leaves_the_warnings_of_others_alone():
    code = (
        "import sys, warnings; import protbert_classify.commands.predict, protbert_classify.evaluation.decision\n"
        "assert 'crepes' not in sys.modules\n"
        "before = list(warnings.filters)\n"
        "from protbert_classify.evaluation.prediction_sets import p_values\n"
        "from protbert_classify.model.tasks import Task\n"
        "task = Task(name='a', problem_type='single_label_classification', labels=['x', 'y'],\n"
        "            validation_scores=[[0.5], [0.2]])\n"
        "import numpy; p_values(numpy.array([[0.4, 0.6]]), task)\n"
        "assert 'crepes' in sys.modules\n"
        "assert not [f for f in warnings.filters if f[0] == 'always' and f[2] is UserWarning]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert warnings.filters
