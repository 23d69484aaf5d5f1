"""What baselines know: the shares of the labels, the composition of a protein, and its most similar relative."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict

from protbert_classify.baselines.baseline_run import BASELINES, run_baseline
from protbert_classify.baselines.composition import composition_features
from protbert_classify.baselines.linear import linear_scores
from protbert_classify.data.alphabet import STANDARD, space
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from tests.homology.mutants import mutants, random_proteins

LABELS = ["Cytoplasm", "Nucleus", "Plastid"]
LOCATION = Task(name="location", problem_type=SINGLE_LABEL, labels=LABELS)
TRAIN, TRUE = random_proteins(30, 120, seed=0), [0] * 15 + [1] * 10 + [2] * 5


def proteins(residues, **columns):
    table = {
        "id": [f"P{row}" for row in range(len(residues))],
        "sequence": [space(text) for text in residues],
        **columns,
    }
    table["sequence_length"] = [len(text) for text in residues]
    return Dataset.from_dict(table)


def labelled(residues, classes):
    return proteins(residues, location=classes).cast_column("location", ClassLabel(names=LABELS))


@pytest.fixture
def splits():
    """Test proteins: four relatives of training proteins, at 60% identity, and two strangers."""
    test = [*mutants([TRAIN[0], TRAIN[16], TRAIN[26], TRAIN[1]], 0.6, seed=1), *random_proteins(2, 120, seed=7)]
    return DatasetDict(train=labelled(TRAIN, TRUE), test=labelled(test, [0, 1, 2, 1, 0, 1]))


def test_the_majority_gives_every_protein_the_shares_of_training(splits):
    scores = BASELINES["majority"](splits, LOCATION)
    assert list(scores) == ["test"]
    np.testing.assert_allclose(scores["test"], np.tile([0.5, 1 / 3, 1 / 6], (6, 1)))


def test_the_nearest_neighbour_gives_its_label_the_identity_and_leaves_the_rest_to_the_shares(splits):
    scores = BASELINES["nearest_neighbour"](splits, LOCATION)["test"]
    assert scores.argmax(1).tolist() == [0, 1, 2, 0, 0, 0]
    shares = np.array([0.5, 1 / 3, 1 / 6])
    np.testing.assert_allclose(scores[4:], np.tile(shares, (2, 1)))
    for row, label in enumerate((0, 1, 2)):
        identity = (scores[row, label] - shares[label]) / (1 - shares[label])
        assert 0.5 < identity < 0.75
        np.testing.assert_allclose(scores[row], identity * np.eye(3)[label] + (1 - identity) * shares)


def test_the_metrics_are_those_of_the_scores(splits):
    metrics, decisions = run_baseline("nearest_neighbour", splits, LOCATION)
    assert metrics["test_proteins"] == 6 and metrics["train_proteins"] == 30
    assert metrics["test_accuracy"] == pytest.approx(4 / 6)
    np.testing.assert_allclose(decisions["test"].scores.sum(1), 1, rtol=1e-6)
    assert run_baseline("majority", splits, LOCATION)[0]["test_accuracy"] == pytest.approx(2 / 6)


def test_the_features_are_square_roots_of_shares_and_the_length():
    features = composition_features(["A A A C", "ACX"])
    letters = {letter: place for place, letter in enumerate(STANDARD)}
    whole, pairs = features[:, :20], features[:, 80:480]
    assert whole[0, letters["A"]] == pytest.approx(np.sqrt(0.75))
    assert whole[1, letters["A"]] == pytest.approx(np.sqrt(0.5))  # X counts as none of them
    assert pairs[0, 20 * letters["A"] + letters["C"]] == pytest.approx(np.sqrt(1 / 3))
    assert pairs[1].sum() == pytest.approx(1)  # A C, and none with X
    np.testing.assert_allclose(features[:, -1], np.log([4, 3]))
    assert features.shape == (2, 481)


@pytest.mark.parametrize("name", ["composition", "random_network"])
def test_linear_baselines_learn_what_the_composition_tells(name):
    generator = np.random.default_rng(0)

    def some(count):
        classes = generator.integers(0, 3, count)
        letters = ["AAAAAKLE", "WWWWWSTV", "GGGGGPQN"]
        return labelled(["".join(generator.choice(list(letters[c]), 60)) for c in classes], classes.tolist())

    splits = DatasetDict(train=some(60), validation=some(20), test=some(40))
    metrics, _ = run_baseline(name, splits, LOCATION)
    assert metrics["test_accuracy"] >= 0.95 and metrics["validation_accuracy"] >= 0.95
    again = BASELINES[name](splits, LOCATION)["test"]
    np.testing.assert_array_equal(again, BASELINES[name](splits, LOCATION)["test"])


def test_a_class_without_training_proteins_has_no_probability():
    train = labelled(TRAIN[:20], [0] * 10 + [1] * 10)
    scores = BASELINES["composition"](DatasetDict(train=train, test=train), LOCATION)["test"]
    assert (scores[:, 2] == 0).all()
    np.testing.assert_allclose(scores.sum(1), 1)


@pytest.mark.parametrize("name", list(BASELINES))
def test_several_labels_some_unknown(name):
    task = Task(name="place", problem_type=MULTI_LABEL, labels=["a", "b", "c"])
    answers = np.array([[1, 0, 0]] * 15 + [[1, 1, 0]] * 10 + [[0, 1, 0]] * 5, dtype=float)
    columns = {label: answers[:, place].tolist() for place, label in enumerate(task.labels)}
    part = proteins(TRAIN, **columns)
    metrics, decisions = run_baseline(name, DatasetDict(train=part, validation=part, test=part), task)
    scores = decisions["test"].scores
    assert ((scores >= 0) & (scores <= 1)).all() and decisions["test"].task.thresholds is not None
    if name == "majority":
        np.testing.assert_allclose(scores[0], [25 / 30, 0.5, 0], atol=1e-6)
    if name == "nearest_neighbour":
        np.testing.assert_allclose(scores, answers, atol=1e-6)  # each is its own best hit
        assert metrics["test_subset_accuracy"] == 1


@pytest.mark.parametrize("name", list(BASELINES))
def test_numbers(name):
    task = Task(name="melting", problem_type=REGRESSION, labels=["melting"])
    values = [float(residues.count("A")) for residues in TRAIN]
    part = proteins(TRAIN, melting=values)
    metrics, decisions = run_baseline(name, DatasetDict(train=part, test=part), task)
    found = decisions["test"].scores[:, 0]
    if name == "majority":
        np.testing.assert_allclose(found, np.mean(values), rtol=1e-6)
    elif name == "nearest_neighbour":
        np.testing.assert_allclose(found, values)
    else:
        assert metrics["test_pearson"] > 0.9


def test_numbers_that_are_all_the_same_are_predicted():
    task = Task(name="n", problem_type=REGRESSION, labels=["n"])
    part = proteins(TRAIN, n=[2.5] * 30)
    features = {"train": np.ones((30, 2)), "test": np.ones((30, 2))}
    assert set(linear_scores(features, DatasetDict(train=part, test=part), task)["test"][:, 0]) == {2.5}
