import logging

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protbert_classify.data.alphabet import space, unspace
from protbert_classify.data.split_strategies import STRATEGIES, homology
from protbert_classify.data.splitting import add_validation, without_test_copies
from protbert_classify.errors import DataError, OptionError
from protbert_classify.homology import mmseqs
from protbert_classify.homology.neighbours import find_neighbours
from protbert_classify.tasks.columns import infer_task
from tests.homology.mutants import mutants, random_proteins

PARENTS = random_proteins(120, 150, seed=0)


def labelled(sequences, answers, **columns):
    dataset = Dataset.from_dict(
        {
            "id": [f"P{row}" for row in range(len(sequences))],
            "sequence": [space(sequence) for sequence in sequences],
            "where": answers,
            **columns,
        }
    )
    return dataset, infer_task(DatasetDict(train=dataset), "where")


def families(identity=0.7):
    """60 proteins alone, and 60 with two relatives each, in two classes."""
    sequences = [*PARENTS, *mutants(PARENTS[:60], identity, seed=1), *mutants(PARENTS[:60], identity, seed=2)]
    return labelled(sequences, ["A" if row % 3 else "B" for row in range(120)] * 2)


@pytest.fixture(params=["MMseqs2", "shared 5-mers"])
def method(request, monkeypatch):
    if request.param != mmseqs.NAME:
        monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    return request.param


def residues(dataset):
    return [unspace(sequence) for sequence in dataset["sequence"][:]]


def test_no_validation_protein_has_a_neighbour_in_training(method, log):
    dataset, task = families()
    splits = add_validation(DatasetDict(train=dataset), 0.2, 1, task, "homology")
    validation, train = splits["validation"], splits["train"]
    assert len(find_neighbours(residues(validation), residues(train))) == 0
    assert 44 <= len(validation) <= 52 and len(validation) + len(train) == 240
    for label in "AB":
        share = validation["where"][:].count(label) / dataset["where"][:].count(label)
        assert 0.15 < share < 0.25
    random = add_validation(DatasetDict(train=dataset), 0.2, 1, task, "random")
    assert len(find_neighbours(residues(random["validation"]), residues(random["train"]))) > 20
    (line,) = [message for message in log.messages if message.startswith("validation: ")]
    assert f"validation: {len(validation)} proteins in " in line and " 0 of them have a neighbour in training" in line
    assert f"found by {method}" in line and "at least 30% identity" in line


def test_validation_proteins_without_relatives_are_not_counted_in_groups(monkeypatch, log):
    monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    dataset, task = labelled(PARENTS[:60], ["A", "B"] * 30)
    add_validation(DatasetDict(train=dataset), 0.2, 1, task, "homology")
    (line,) = [message for message in log.messages if message.startswith("validation: ")]
    assert line.startswith("validation: 12 proteins, of which no two are related; 0 of them have a neighbour in ")


def test_the_seed_decides_and_nothing_else(monkeypatch):
    monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    dataset, task = families()
    one, again, other = (homology(dataset, task, 0.2, seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=60),
    st.floats(0.01, 0.6),
    st.integers(0, 2**32 - 1),
)
def test_copies_stay_together_and_each_label_keeps_a_protein(monkeypatch, rows, fraction, seed):
    monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    dataset, task = labelled([PARENTS[row] for row, _ in rows], ["ABCD"[label] for _, label in rows])
    splits = add_validation(DatasetDict(train=dataset), fraction, seed, task, "homology")
    assert set(splits["train"]["where"]) == set(dataset["where"])
    if "validation" in splits:
        assert not set(splits["train"]["sequence"]) & set(splits["validation"]["sequence"])


def test_in_large_data_only_the_groups_that_are_needed_are_searched(monkeypatch, log):
    from protbert_classify.data import split_strategies

    monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    dataset, task = families(0.8)
    whole = homology(dataset, task, 0.1, 1)
    assert "searching 240 proteins for neighbours of 240" in log.text
    log.clear()
    monkeypatch.setattr(split_strategies, "FEW", 0)
    part = homology(dataset, task, 0.1, 1)
    searched = [int(line.split(" of ")[1].split(",")[0]) for line in log.messages if line.startswith("searching")]
    assert 24 <= sum(searched) < 200
    assert abs(int(part.sum()) - int(whole.sum())) <= 3
    left, chosen = (residues(dataset.select(np.flatnonzero(side))) for side in (~part, part))
    assert len(find_neighbours(chosen, left)) == 0


def test_a_class_of_one_family_stays_in_training_and_is_named(monkeypatch, log):
    monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    family = mutants(PARENTS[:1] * 20, 0.8, seed=3)
    dataset, task = labelled([*family, *PARENTS[20:]], ["one"] * 20 + ["many"] * 100)
    splits = add_validation(DatasetDict(train=dataset), 0.2, 1, task, "homology")
    assert set(splits["validation"]["where"]) == {"many"} and len(splits["validation"]) == 20
    assert [record.getMessage() for record in log.records if record.levelno == logging.WARNING] == [
        "one: 20 of its 20 proteins are in one group of neighbours, which stays in training; none is taken for "
        "validation"
    ]


def test_several_labels_and_numbers_are_divided_by_families_too(monkeypatch):
    monkeypatch.setattr(mmseqs, "find_binary", lambda: None)
    sequences = [*PARENTS[:60], *mutants(PARENTS[:60], 0.8, seed=1)]
    for answers in ([["A", "B"], ["A"], ["C"]] * 40, [float(row) for row in range(120)]):
        dataset, task = labelled(sequences, answers)
        splits = add_validation(DatasetDict(train=dataset), 0.2, 1, task, "homology")
        assert 20 <= len(splits["validation"]) <= 28
        names = [{int(name[1:]) % 60 for name in splits[part]["id"]} for part in ("train", "validation")]
        assert not names[0] & names[1]


def test_a_higher_identity_makes_smaller_groups(method):
    dataset, task = families()
    validation = add_validation(DatasetDict(train=dataset), 0.2, 1, task, "homology", identity=0.95)["validation"]
    assert len(validation) == 48
    names = {int(name[1:]) % 120 for name in validation["id"]}
    assert len(names) > 30  # most of the families are torn


def test_random_keeps_nothing_together_and_each_label():
    dataset, task = labelled(["MKT"] * 100, ["A", "B"] * 50)
    for seed in range(5):
        splits = add_validation(DatasetDict(train=dataset), 0.3, seed, task, "random")
        assert [splits["validation"]["where"][:].count(label) for label in "AB"] == [15, 15]
    assert list(add_validation(DatasetDict(train=dataset), 0.3, 1, task, "identical")) == ["train"]


def test_a_strategy_that_is_not_there_is_one_line():
    dataset, task = labelled(["MKT", "MRR"], ["A", "B"])
    with pytest.raises(OptionError, match="^split='best': expected one of homology, identical, random"):
        add_validation(DatasetDict(train=dataset), 0.3, 1, task, "best")
    assert {"homology", "identical", "random"} <= set(STRATEGIES)


def test_training_proteins_that_are_tested_are_left_out(log):
    train, _ = labelled(PARENTS[:10], ["A", "B"] * 5)
    test, _ = labelled([*PARENTS[3:5], PARENTS[3], PARENTS[50]], ["A", "B"] * 2)
    splits, left_out = without_test_copies(DatasetDict(train=train, test=test))
    assert left_out == 2 and splits["train"]["id"][:] == ["P0", "P1", "P2", "P5", "P6", "P7", "P8", "P9"]
    assert splits["test"] is test
    assert log.messages == ["2 training proteins with the sequence of a test protein left out"]
    assert without_test_copies(DatasetDict(train=train))[1] == 0
    with pytest.raises(DataError, match="every training protein has the sequence of a test protein"):
        without_test_copies(DatasetDict(train=test, test=test))
