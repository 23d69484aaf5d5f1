from collections import Counter, defaultdict
from itertools import chain

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import List as ListOf
from hypothesis import given, settings
from hypothesis import strategies as st

from protbert_classify.data.records import protein_features
from protbert_classify.data.split_strategies import stratified_choice
from protbert_classify.data.splitting import (
    STRATEGIES,
    add_validation,
    keep_labelled_classes,
    merge_splits,
    report_copies,
    sample,
)
from protbert_classify.errors import DataError, OptionError
from protbert_classify.model.tasks import Task
from protbert_classify.tasks.columns import infer_task

NAMES = ["A", "B", "C", "D"]
LOCATION = Task(name="location", problem_type="single_label_classification", labels=NAMES)


def proteins(rows, is_train=True, prefix="P"):
    """A dataset from (sequence, label) pairs."""
    return Dataset.from_dict(
        {
            "id": [f"{prefix}{i}" for i in range(len(rows))],
            "sequence": [sequence for sequence, _ in rows],
            "sequence_length": [len(sequence) for sequence, _ in rows],
            "location": [label for _, label in rows],
            "is_train": [is_train] * len(rows),
        },
        features=protein_features({"location": ClassLabel(names=NAMES)}),
    )


def messages(log, level):
    return [record.getMessage() for record in log.records if record.levelname == level]


# few different sequences, so that copies are common; a copy may have another label
some_proteins = st.lists(st.tuples(st.text("ACD", min_size=1, max_size=3), st.integers(0, 3)), min_size=1, max_size=120)
fractions = st.floats(0.01, 0.9)
seeds = st.integers(0, 2**32 - 1)


@given(some_proteins, fractions, seeds)
def test_the_choice_is_stratified_keeps_copies_together_and_leaves_each_class_one(rows, fraction, seed):
    sequences, labels = zip(*rows)
    chosen = stratified_choice(sequences, labels, fraction, seed)
    sides, first_label = defaultdict(set), {}
    for sequence, label, side in zip(sequences, labels, chosen):
        sides[sequence].add(bool(side))
        first_label.setdefault(sequence, label)
    assert all(len(side) == 1 for side in sides.values())
    for label in set(first_label.values()):
        groups = [sequence for sequence, first in first_label.items() if first == label]
        taken = sum(sides[sequence] == {True} for sequence in groups)
        assert taken < len(groups)
        assert abs(taken - min(fraction * len(groups), len(groups) - 1)) <= 0.5


@settings(max_examples=20)
@given(some_proteins, fractions, seeds)
def test_validation_holds_each_training_protein_once_and_no_test_protein(rows, fraction, seed):
    splits = DatasetDict(train=proteins(rows), test=proteins(rows, is_train=False, prefix="T"))
    first, second = add_validation(splits, fraction, seed, LOCATION), add_validation(splits, fraction, seed, LOCATION)
    assert {name: part["id"][:] for name, part in first.items()} == {n: part["id"][:] for n, part in second.items()}
    assert first["test"]["id"][:] == splits["test"]["id"][:]
    divided = [accession for name in first if name != "test" for accession in first[name]["id"]]
    assert sorted(divided) == sorted(splits["train"]["id"])


def test_the_seed_decides_who_is_in_validation():
    sequences, labels = [f"S{i}" for i in range(200)], [i % 4 for i in range(200)]
    one, again, other = (stratified_choice(sequences, labels, 0.2, seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()
    assert [np.asarray(labels)[one].tolist().count(label) for label in range(4)] == [10, 10, 10, 10]


@pytest.mark.parametrize("splits", ["no validation wanted", "validation there", "no train"])
def test_a_split_that_the_data_has_is_left_as_it_is(splits):
    part = proteins([("AC", 0)] * 20)
    given_splits, fraction = {
        "no validation wanted": (DatasetDict(train=part), 0),
        "validation there": (DatasetDict(train=part, validation=part), 0.5),
        "no train": (DatasetDict(test=part), 0.5),
    }[splits]
    assert add_validation(given_splits, fraction, 1, LOCATION) is given_splits


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(fraction):
    with pytest.raises(OptionError, match=f"validation={fraction}: expected a share of the training proteins"):
        add_validation(DatasetDict(train=proteins([("AC", 0)])), fraction, 1, LOCATION)


def test_too_few_proteins_for_validation_is_a_warning(log):
    splits = DatasetDict(train=proteins([("AC", 0), ("AD", 1)]))
    assert list(add_validation(splits, 0.1, 1, LOCATION)) == ["train"]
    (message,) = messages(log, "WARNING")
    assert message == "too few training proteins to take 10% of them for validation: none taken"


# --- copies


def test_copies_are_counted_in_one_line(log):
    splits = DatasetDict(train=proteins([("AC", 0), ("AC", 0), ("AC", 0), ("D", 1), ("D", 1), ("C", 2)]))
    report_copies(splits, LOCATION)
    assert messages(log, "INFO") == ["3 proteins have the sequence of another one; they are kept"]
    assert messages(log, "WARNING") == []


def test_no_copies_no_word(log):
    report_copies(DatasetDict(train=proteins([("AC", 0), ("AD", 0)])), LOCATION)
    assert log.records == []


def test_copies_with_two_labels_or_in_two_splits_are_a_warning_with_the_first_few(log):
    train = proteins([(sequence, label) for sequence in "ACDEF" for label in (0, 1)])
    report_copies(DatasetDict(train=train, test=proteins([("G", 0), ("C", 0)], prefix="T")), LOCATION)
    assert messages(log, "WARNING") == [
        "5 groups of identical proteins have the same sequence but different labels: "
        "P0 (train), P1 (train); P2 (train), P3 (train), T1 (test); P4 (train), P5 (train); and 2 more",
        "1 groups of identical proteins stand in more than one split: P2 (train), P3 (train), T1 (test)",
    ]


def test_real_copies_across_the_splits_are_told(scl2205, log):
    from protbert_classify import load_deeploc

    load_deeploc(scl2205, validation=0)
    different, across = messages(log, "WARNING")
    assert different.startswith("4 groups of identical proteins have the same sequence but different labels: P46778")
    assert across.startswith("16 groups of identical proteins stand in more than one split: C0HLZ9 (train), C0HM00 (te")
    assert across.endswith("; and 13 more")


# --- classes


def test_classes_without_a_protein_are_left_out_in_the_order_of_the_rest(log):
    splits = DatasetDict(train=proteins([("AC", 3), ("AD", 0), ("A", 1)]), test=proteins([("C", 3), ("D", 0)]))
    assert keep_labelled_classes(splits, LOCATION).labels == ("A", "B", "D")
    assert messages(log, "WARNING") == ["the test split has no protein of B: no metrics of this class"]
    assert messages(log, "INFO") == ["no protein of C: left out of the classes"]


def test_a_class_that_only_another_split_has_cannot_be_learned():
    splits = DatasetDict(train=proteins([("AC", 0)]), test=proteins([("C", 2), ("D", 0), ("A", 3)]))
    with pytest.raises(OptionError) as raised:
        keep_labelled_classes(splits, LOCATION)
    assert str(raised.value) == (
        "the test split has classes that no training protein has: C (first in P0), D (first in P2); add training "
        "proteins of these classes, or remove their proteins from the test split"
    )


def test_the_option_that_leaves_out_the_ambiguous_proteins_of_deeploc_is_named():
    train, _ = answered(None, ["Cytoplasm", "Nucleus"])
    test, task = answered(None, ["Cytoplasm-Nucleus", "Nucleus", "Cytoplasm"])
    with pytest.raises(OptionError, match="the test split; ambiguous=drop leaves out Cytoplasm-Nucleus$"):
        keep_labelled_classes(DatasetDict(train=train, test=test), task)


@pytest.mark.parametrize(("count", "classes"), [(20, 20), (21, 10), (22, 11)])
def test_classes_of_few_proteins_can_be_learned(count, classes):
    dataset, task = answered(None, [f"class{number % classes:02}" for number in range(count)])
    assert len(keep_labelled_classes(DatasetDict(train=dataset), task).labels) == classes


def test_a_class_for_about_each_protein_is_refused_before_the_classes_are_listed():
    """Swapped columns: the accessions would be learned."""
    dataset, task = answered(None, [f"P{number % 14:02}" for number in range(27)])
    splits = DatasetDict(train=dataset.select(range(22)), test=dataset.select(range(22, 27)))
    words = "column 'where' has 14 classes in 22 training proteins; expected classes that several proteins share: "
    with pytest.raises(OptionError, match=f"{words}set label_column to their column, or problem_type=regression"):
        keep_labelled_classes(splits, task)
    with pytest.raises(OptionError, match=f"{words}name their column in auxiliary_tasks, or leave this one out$"):
        keep_labelled_classes(splits, task, auxiliary=True)


# --- a quick look


def test_a_quick_look_has_every_class_and_is_the_same_again():
    dataset = proteins([("AC", 0)] * 500 + [("AD", 1)] * 3 + [("A", 2)])
    looked, again = (sample(dataset, 20, 5, LOCATION) for _ in range(2))
    assert looked["id"][:] == again["id"][:] != sample(dataset, 20, 6, LOCATION)["id"][:]
    assert len(set(looked["id"])) == 20 and set(looked["location"]) == {0, 1, 2}
    assert len(sample(dataset, 1, 5, LOCATION)) == 3  # one a class is the least
    assert sample(dataset, None, 5, LOCATION) is dataset and sample(dataset, 504, 5, LOCATION) is dataset


# --- every problem type


def answered(problem_type, answers):
    """Proteins with sequences of their own, and the task that they answer."""
    columns = {"id": [f"P{i}" for i in range(len(answers))], "sequence": [f"S{i}" for i in range(len(answers))]}
    dataset = Dataset.from_dict({**columns, "where": answers})
    return dataset, infer_task(dataset, "where", problem_type=problem_type)


label_sets = st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=3, unique=True)
# two labels or more in all
combinations = st.lists(label_sets, min_size=2, max_size=150).filter(lambda rows: len({*chain(*rows)}) > 1)


@given(combinations, fractions, seeds)
def test_each_of_several_labels_keeps_a_training_protein_and_gives_its_share(rows, fraction, seed):
    dataset, task = answered("multi_label_classification", rows)
    splits = add_validation(DatasetDict(train=dataset), fraction, seed, task)
    assert sorted(name for part in splits.values() for name in part["id"]) == sorted(dataset["id"])
    assert keep_labelled_classes(splits, task) == task
    frequent = Counter(tuple(sorted(row)) for row in rows)
    taken = Counter(tuple(sorted(row)) for row in splits.get("validation", {"where": []})["where"])
    for combination, count in frequent.items():
        if count >= 10:  # a stratum of its own; one more may stay so that a label keeps a protein
            assert abs(taken[combination] - min(fraction * count, count - 1)) <= 1.5


@given(st.lists(st.integers(0, 10**6), min_size=20, max_size=200, unique=True), seeds)
def test_numbers_are_split_so_that_validation_reaches_from_the_least_to_the_most(numbers, seed):
    dataset, task = answered("regression", list(map(float, numbers)))
    splits = add_validation(DatasetDict(train=dataset), 0.5, seed, task)
    order = np.argsort(np.argsort(numbers)) * 10 // len(numbers)  # tenths
    chosen = np.isin(dataset["id"][:], splits["validation"]["id"][:])
    for tenth in range(10):
        assert abs(chosen[order == tenth].sum() - 0.5 * (order == tenth).sum()) <= 2


def test_a_label_that_stands_beside_rarer_ones_only_is_not_lost_to_validation():
    rows = [[rare, common] for rare in "ABCD" for common in "LPQ"]  # each is stratified by its rare label
    dataset, task = answered("multi_label_classification", rows)
    for seed in range(30):
        train = add_validation(DatasetDict(train=dataset), 0.6, seed, task)["train"]
        assert {label for row in train["where"] for label in row} == set("ABCDLPQ")


def test_a_label_that_only_another_split_has_is_an_error_or_for_an_auxiliary_task_masked(log):
    train, task = answered(None, [["A"], ["A", "B"]])
    other, _ = answered(None, [["B"], ["C"]])
    splits = DatasetDict(train=train, test=other)
    task = infer_task(splits, "where")
    with pytest.raises(OptionError, match=r"the test split has classes .* has: C \(first in P1\)"):
        keep_labelled_classes(splits, task)
    assert keep_labelled_classes(splits, task, auxiliary=True).labels == ("A", "B")


def test_a_regression_has_its_labels_and_a_single_class_is_nothing_to_learn():
    numbers, task = answered("regression", [1.0, 2.0])
    assert keep_labelled_classes(DatasetDict(train=numbers), task) is task
    same, task = answered(None, ["A", "A"])
    with pytest.raises(OptionError, match="the training proteins have one class only, 'A' of 'where'; expected two"):
        keep_labelled_classes(DatasetDict(train=same), task)
    several, task = answered(None, [["SP"], []])
    with pytest.raises(OptionError, match="one class only, 'SP' .*: write it as two classes, such as yes and no"):
        keep_labelled_classes(DatasetDict(train=several), task)


def test_a_quick_look_has_every_label_of_several_and_any_numbers():
    rows = [["A"]] * 50 + [["A", "B"], ["C"]]
    dataset, task = answered(None, rows)
    looked = sample(dataset, 5, 1, task)
    assert len(looked) == 5 and {name for row in looked["where"] for name in row} == {"A", "B", "C"}
    numbers, task = answered(None, [float(number) for number in range(50)])
    assert len(set(sample(numbers, 7, 1, task)["id"])) == 7


def test_copies_with_other_labels_are_told_for_every_problem_type(log):
    for answers in ([["A"], ["A", "B"]], [1.5, 2.5], ["A", "B"]):
        dataset, task = answered(None, answers)
        columns = {name: dataset[name][:] for name in dataset.column_names}
        report_copies(DatasetDict(train=Dataset.from_dict({**columns, "sequence": ["S", "S"]})), task)
        assert messages(log, "WARNING") == [
            "1 groups of identical proteins have the same sequence but different labels: P0 (train), P1 (train)"
        ]
        log.clear()


def test_a_strategy_of_ones_own_splits_by_its_name():
    @STRATEGIES.register("the first")
    def first(dataset, task, fraction, seed):
        return np.arange(len(dataset)) < fraction * len(dataset)

    dataset, task = answered(None, ["A", "B"] * 5)
    splits = add_validation(DatasetDict(train=dataset), 0.2, 1, task, strategy="the first")
    assert splits["validation"]["id"][:] == ["P0", "P1"]


# --- joining files


def test_lists_of_classes_are_joined_by_name_and_missing_columns_are_unknown():
    one = Dataset.from_dict(
        {"id": ["P1"], "where": [[1, 0]], "membrane": [0]},
        features=Features(
            {
                "id": Value("string"),
                "where": ListOf(ClassLabel(names=["d", "b"])),
                "membrane": ClassLabel(names=["M", "S", "U"]),
            }
        ),
    )
    two = Dataset.from_dict(
        {"id": ["P2"], "where": [[0]], "tm": [1.5]},
        features=Features({"id": Value("string"), "where": ListOf(ClassLabel(names=["a"])), "tm": Value("float64")}),
    )
    merged = merge_splits(DatasetDict(train=one), "test", two)
    assert merged["train"].features == merged["test"].features
    assert merged["train"].features["where"].feature.names == ["a", "b", "d"]
    assert merged["train"][:] == {"id": ["P1"], "where": [[1, 2]], "membrane": [0], "tm": [None]}
    assert merged["test"][:] == {"id": ["P2"], "where": [[0]], "membrane": [None], "tm": [1.5]}


def test_a_column_of_two_types_cannot_be_joined():
    one, two = Dataset.from_dict({"where": ["a"]}), Dataset.from_dict({"where": [1.5]})
    with pytest.raises(DataError, match="column 'where' is Value.* in one split and Value.* in another; expected the"):
        merge_splits(DatasetDict(train=one), "test", two)
