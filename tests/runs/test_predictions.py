"""`test_predictions.csv`: what is written is read back, whatever the tasks."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.errors import DataError, ModelError
from protbert_classify.evaluation.decision import Decision, decide_task
from protbert_classify.evaluation.metrics import evaluation_metrics, watched_metrics
from protbert_classify.model.tasks import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL, Task
from protbert_classify.runs.predictions import read_predictions, write_predictions

NAN = float("nan")
LABELS = ["Lysosome/Vacuole", "Golgi, other"]
MEMBRANE = Task(name="membrane", problem_type=SINGLE_LABEL, labels=["M", "S"])
CHARGE = Task(name="charge", problem_type=REGRESSION, labels=["charge"])


def task(problem_type=SINGLE_LABEL, labels=LABELS, name="location"):
    return Task(name=name, problem_type=problem_type, labels=labels)


def answers(logits, main, auxiliary=()):
    """The decision from the logits of each task."""
    first, *others = (np.asarray(values, dtype=np.float32) for values in logits)
    beside = {other.name: decide_task(values, other) for other, values in zip(auxiliary, others, strict=True)}
    decision = decide_task(first, main)
    return Decision(main, decision.scores, decision.chosen, beside)


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_the_table_of_one_class_a_protein_is_what_it_always_was(tmp_path):
    decision = answers([np.log([[0.25, 0.75], [0.9, 0.1]])], task())
    write_predictions(str(tmp_path / "predictions.csv"), ["P2", "P1"], [1200, 35], decision, np.array([0, 0]))
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {
            **{"id": "P2", "length": "1200", "location": "Lysosome/Vacuole", "predicted": "Golgi, other"},
            "score": "0.750000",
            **{"Lysosome/Vacuole": "0.250000", "Golgi, other": "0.750000"},
        },
        {
            **{"id": "P1", "length": "35", "location": "Lysosome/Vacuole", "predicted": "Lysosome/Vacuole"},
            "score": "0.900000",
            **{"Lysosome/Vacuole": "0.900000", "Golgi, other": "0.100000"},
        },
    ]


def test_several_labels_are_joined_and_unknown_ones_marked(tmp_path):
    main = task(MULTI_LABEL, ["a", "b", "c"], "place")
    logits = np.array([[3.0, 5.0, -5.0], [-5.0, -3.0, -4.0]])
    references = np.array([[1, 0, 1], [NAN, 0, 0]])
    write_predictions(str(tmp_path / "predictions.csv"), ["P1", "P2"], [3, 4], answers([logits], main), references)
    assert lines(tmp_path / "predictions.csv") == [
        "id,length,place,predicted,score,a,b,c",
        "P1,3,a;c,b;a,0.993307,0.952574,0.993307,0.006693",
        "P2,4,a?,b,0.047426,0.006693,0.047426,0.017986",
    ]


def test_numbers_stand_beside_the_true_ones(tmp_path):
    main = Task(name="stability", problem_type=REGRESSION, labels=["Tm", "half-life"], mean=[50, 0], std=[10, 1e-6])
    decision = answers([[[1.25, 3.0], [-2.0, 1.0]]], main)
    write_predictions(
        str(tmp_path / "predictions.csv"), ["P1", "P2"], [3, 4], decision, np.array([[60.5, 2e-6], [NAN, 0]])
    )
    assert lines(tmp_path / "predictions.csv") == [
        "id,length,Tm,predicted Tm,half-life,predicted half-life",
        "P1,3,60.5,62.5,2e-06,3e-06",
        "P2,4,,30,0,1e-06",
    ]


def test_auxiliary_tasks_stand_behind_the_main_one(tmp_path):
    logits = [np.log([[0.25, 0.75], [0.9, 0.1]]), np.log([[0.8, 0.2], [0.3, 0.7]]), [[1.5], [2.5]]]
    decision = answers(logits, task(), [MEMBRANE, CHARGE])
    beside = np.array([[0, 1.0], [NAN, NAN]], dtype=np.float32)
    write_predictions(str(tmp_path / "predictions.csv"), ["P1", "P2"], [3, 4], decision, np.array([0, -100]), beside)
    assert lines(tmp_path / "predictions.csv") == [
        'id,length,location,predicted,score,Lysosome/Vacuole,"Golgi, other",membrane,predicted membrane,membrane score,'
        "membrane M,membrane S,charge,predicted charge",
        'P1,3,Lysosome/Vacuole,"Golgi, other",0.750000,0.250000,0.750000,M,M,0.800000,0.800000,0.200000,1,1.5',
        "P2,4,,Lysosome/Vacuole,0.900000,0.900000,0.100000,,S,0.700000,0.300000,0.700000,,2.5",
    ]
    found = read_predictions(str(tmp_path / "predictions.csv"), [task(), MEMBRANE, CHARGE], 2)
    assert found.references.tolist() == [0, -100]
    assert found.auxiliary["membrane"].tolist() == [0, -100]
    assert found.decision.auxiliary["membrane"].best.tolist() == [0, 1]
    assert np.array_equal(found.auxiliary["charge"], [[1.0], [NAN]], equal_nan=True)


def random_references(generator, main, proteins):
    shape = (proteins, len(main.labels))
    if main.problem_type == SINGLE_LABEL:
        return np.where(generator.random(proteins) < 0.2, -100, generator.integers(0, shape[1], proteins))
    values = generator.integers(0, 2, shape) if main.problem_type == MULTI_LABEL else generator.normal(size=shape)
    return np.where(generator.random(shape) < 0.2, NAN, values).astype(np.float32)


names = st.lists(st.text("ab,;?\" é'\n", min_size=1, max_size=4), min_size=2, max_size=4, unique=True)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PROBLEM_TYPES), names, st.integers(1, 6), st.integers(0, 1000))
def test_what_is_written_is_read_back(tmp_path_factory, problem_type, labels, proteins, seed):
    if problem_type == MULTI_LABEL:  # as the tables that are trained on have them
        labels = [f"{place}{label}".replace(";", "").replace("?", "") for place, label in enumerate(labels)]
    path = str(tmp_path_factory.mktemp("table") / "predictions.csv")
    generator, main = np.random.default_rng(seed), task(problem_type, labels)
    decision = answers([generator.normal(0, 3, (proteins, len(labels)))], main)
    references = random_references(generator, main, proteins)
    ids = [f"P{number}" for number in range(proteins)]
    write_predictions(path, ids, list(range(proteins)), decision, references)
    found = read_predictions(path, [main], proteins)
    assert (found.ids, found.lengths.tolist()) == (ids, list(range(proteins)))
    assert np.array_equal(found.decision.chosen, decision.chosen)
    assert np.allclose(found.decision.scores, decision.scores, atol=1e-5)
    assert np.allclose(found.references, references, equal_nan=True, atol=1e-6)


def test_the_metrics_of_what_is_read_are_those_of_what_was_written(tmp_path):
    generator, main = np.random.default_rng(0), task(MULTI_LABEL, ["a", "b", "c"])
    decision = answers([generator.normal(0, 3, (40, 3)), generator.normal(size=(40, 2))], main, [MEMBRANE])
    references = (generator.random((40, 3)) < 0.5).astype(np.float32)
    beside = generator.integers(0, 2, (40, 1)).astype(np.float32)
    path = str(tmp_path / "predictions.csv")
    write_predictions(path, [f"P{n}" for n in range(40)], [9] * 40, decision, references, beside)
    found = read_predictions(path, [main, MEMBRANE])
    expected = evaluation_metrics(decision, references, beside)
    got = evaluation_metrics(found.decision, found.references, found.auxiliary["membrane"][:, None].astype(float))
    assert [name for name in watched_metrics([main, MEMBRANE]) if got[name] != pytest.approx(expected[name])] == []


@pytest.fixture
def table(tmp_path):
    """Write a table of a problem type, change a cell of its first protein, and read it."""

    def read(problem_type, cell, value):
        main = task(problem_type, ["a", "b"])
        references = np.zeros(2, dtype=int) if problem_type == SINGLE_LABEL else np.eye(2)
        path = tmp_path / "predictions.csv"
        decision = answers([np.array([[3.0, -3.0], [-3.0, 3.0]])], main)
        write_predictions(str(path), ["P1", "P2"], [3, 4], decision, references)
        rows = [line.split(",") for line in lines(path)]
        rows[1][cell] = value
        path.write_text("".join(",".join(row) + "\n" for row in rows))
        return read_predictions(str(path), [main], 2)

    return read


@pytest.mark.parametrize(
    ("problem_type", "cell", "value", "words"),
    [
        (MULTI_LABEL, 2, "a;Golgi", "'Golgi' is not a class of the run"),
        (MULTI_LABEL, 2, "Golgi?", "'Golgi' is not a class of the run"),
        (MULTI_LABEL, 3, "", "'' is not a class of the run"),
        (MULTI_LABEL, 5, "1.5", "a probability is not between 0 and 1"),
        (SINGLE_LABEL, 5, "0.5", "its probabilities do not add up to 1"),
        (REGRESSION, 3, "", "could not convert string to float: ''"),
        (REGRESSION, 2, "high", "could not convert string to float: 'high'"),
    ],
)
def test_a_damaged_cell_is_named(table, problem_type, cell, value, words):
    with pytest.raises(DataError) as caught:
        table(problem_type, cell, value)
    assert str(caught.value).endswith(f"predictions.csv, row 2 (P1): damaged: {words}")


@pytest.mark.parametrize("problem_type", [MULTI_LABEL, REGRESSION])
def test_answers_that_are_not_finite_are_the_trainings_fault(table, problem_type):
    with pytest.raises(ModelError, match="its training diverged"):
        table(problem_type, 5, "nan")


def test_a_table_of_other_tasks_is_named(tmp_path):
    path = str(tmp_path / "predictions.csv")
    write_predictions(path, ["P1"], [3], answers([[[0.0, 1.0]]], task()), np.array([0]))
    with pytest.raises(DataError, match="found the columns id, length, location.*expected id, length, a, predicted a"):
        read_predictions(path, [task(REGRESSION, ["a", "b"])])
