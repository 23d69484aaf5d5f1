"""The numbers that answers become: what a model learns and is compared with."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify.errors import DataError, OptionError
from protbert_classify.model.tasks import Task
from protbert_classify.tasks.columns import infer_task
from protbert_classify.tasks.targets import auxiliary_targets, fit_targets, label_counts, strata, targets

SINGLE, MULTI, NUMBERS = "single_label_classification", "multi_label_classification", "regression"
NAMES = ["A", "B", "C"]
nan = np.nan


def dataset(values, feature=None, name="where", **others):
    columns = {"id": [f"P{i}" for i in range(len(values))], name: values, **others}
    made = Dataset.from_dict(columns)
    return made.cast_column(name, feature) if feature is not None else made


def task(problem_type=SINGLE, labels=NAMES, name="where", **fields):
    return Task(name=name, problem_type=problem_type, labels=labels, **fields)


@pytest.mark.parametrize(
    ("values", "feature"),
    [([0, 2, 0], ClassLabel(names=NAMES)), (["A", "C", "A"], None), ([7, 9, 7], None)],
)
def test_classes_are_numbered_as_the_model_numbers_them(values, feature):
    labels = ["9", "8", "7"] if values[0] == 7 else ["C", "Z", "A"]
    found = targets(dataset(values, feature), task(labels=labels))
    assert found.dtype == np.int64 and found.tolist() == [2, 0, 2]


@pytest.mark.parametrize(
    ("values", "feature"),
    [
        ([[0, 2], [1], []], List(ClassLabel(names=NAMES))),
        ([["C", "A"], ["B"], []], None),
    ],
)
def test_several_labels_are_a_row_of_0_and_1(values, feature):
    found = targets(dataset(values, feature), task(MULTI, ["C", "A", "B"]))
    assert found.dtype == np.float32 and found.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_texts_with_semicolons_and_single_classes_can_be_several_labels():
    assert targets(dataset(["A;C", " B ; B"]), task(MULTI)).tolist() == [[1, 0, 1], [0, 1, 0]]
    assert targets(dataset([2, 1], ClassLabel(names=NAMES)), task(MULTI)).tolist() == [[0, 0, 1], [0, 1, 0]]


def test_without_a_column_of_its_name_a_task_reads_one_for_each_label():
    table = dataset([1, 0], name="B", A=["1", "0"], C=[False, True])
    assert targets(table, task(MULTI)).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert targets(table, task(MULTI, ["C"])).tolist() == [[0], [1]]
    assert targets(dataset([0.5, 1.5], name="A", B=[1, 2]), task(NUMBERS, ["B", "A"])).tolist() == [[1, 0.5], [2, 1.5]]
    with pytest.raises(DataError, match="no column for C of 'where'; expected one for each of A, B, C"):
        targets(dataset([1], name="A", B=[1]), task(MULTI))


def test_numbers_are_in_the_units_of_the_data():
    found = targets(dataset([55.5, -3]), task(NUMBERS, ["where"], mean=[5.0], std=[2.0]))
    assert found.dtype == np.float32 and found.tolist() == [[55.5], [-3]]


@pytest.mark.parametrize(
    ("values", "asked", "message"),
    [
        (["A", "D"], task(), "P1: where 'D' is not a class of the model; expected one of A, B, C"),
        (["A;?;D"], task(MULTI, unknown=["?"]), "P0: where 'D' is not a class of the model; expected one of A, B, C"),
        (["A", ""], task(), "P1: no label in column 'where'"),
        (["A", None], task(), "P1: no label in column 'where'"),
        ([["A"], None], task(MULTI), "P1: no label in column 'where'"),
        (["A", " ; "], task(MULTI), "P1: column 'where': found ' ; '; expected classes"),
        ([1.5, None], task(NUMBERS, ["where"]), "P1: no label in column 'where'"),
        ([1.5, nan], task(NUMBERS, ["where"]), "P1: no label in column 'where'"),
        ([1.5, float("inf")], task(NUMBERS, ["where"]), "P1: column 'where': found inf; expected a finite number"),
        ([1.5, 1e39], task(NUMBERS, ["where"]), "P1: column 'where': found 1e+39; expected a finite number"),
        (["1.5", "high"], task(NUMBERS, ["where"]), "P1: column 'where': found 'high'; expected a number"),
        ([["A"], ["B"]], task(), "P0: column 'where': found ['A']; expected one class"),
    ],
)
def test_an_answer_that_cannot_be_used_names_the_protein(values, asked, message):
    with pytest.raises(DataError) as caught:
        targets(dataset(values), asked)
    assert str(caught.value) == message


def test_a_flag_that_is_neither_0_nor_1_names_the_protein():
    with pytest.raises(DataError, match="P1: column 'B': found 2; expected 0 or 1"):
        targets(dataset([1, 2], name="B"), task(MULTI, ["B"]))
    with pytest.raises(DataError, match="no column 'where'; found id, B"):
        targets(dataset([1, 2], name="B"), task())


def test_deeplocs_unknown_membrane_is_masked_even_if_a_saved_task_does_not_say_so():
    table = dataset([0, 2, 1], ClassLabel(names=["M", "S", "U"]), "membrane")
    saved = task(labels=["S", "M"], name="membrane")
    assert targets(table, saved).tolist() == [1, -100, 0]
    told = task(labels=["M"], name="membrane", unknown=["?"])
    assert targets(dataset(["M", "?"], name="membrane"), told).tolist() == [0, -100]


def test_auxiliary_answers_stand_side_by_side_and_unknown_ones_are_nan():
    table = dataset(["M", "U", "S", ""], name="membrane", tm=[1.5, None, nan, 2], A=[1, None, 0, 1], B=[0, 0, 0, 1])
    tasks = [
        infer_task(table, "membrane"),
        infer_task(table, "tm"),
        task(MULTI, ["A", "B"], "flags"),
        task(name="elsewhere"),
    ]
    found = auxiliary_targets(table, tasks)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(
        found, [[0, 1.5, 1, 0, nan], [nan, nan, nan, 0, nan], [1, nan, 0, 0, nan], [nan, 2, 1, 1, nan]]
    )
    assert auxiliary_targets(table, [task(name="elsewhere")]) is None
    assert auxiliary_targets(table, []) is None


def test_an_auxiliary_label_that_training_never_saw_is_masked():
    table = dataset([["A", "D"], ["D"], ["B"]], kind=["x", "y", "x"])
    found = auxiliary_targets(table, [task(MULTI), task(labels=["x"], name="kind")])
    np.testing.assert_array_equal(found, [[1, 0, 0, 0], [nan, nan, nan, nan], [0, 1, 0, 0]])


def test_labels_are_counted():
    assert label_counts(dataset(["A", "C", "A"]), task()).tolist() == [2, 0, 1]
    assert label_counts(dataset(["A;C", "C"]), task(MULTI)).tolist() == [1, 0, 2]
    assert label_counts(dataset([1.5, None]), task(NUMBERS, ["where"])).tolist() == [1]


# --- strata


def test_the_stratum_of_a_class_is_the_class_and_that_of_a_number_its_quantile():
    assert strata(dataset(["A", "C", "A"]), task()).tolist() == [0, 2, 0]
    found = strata(dataset([float(number**3) for number in range(100)]), task(NUMBERS, ["where"]))
    assert np.bincount(found).tolist() == [10] * 10 and (np.diff(found) >= 0).all()
    assert len(set(strata(dataset([1.0] * 20), task(NUMBERS, ["where"])))) == 1


def test_a_rare_combination_counts_as_its_rarest_label():
    rows = [["A"]] * 30 + [["A", "B"]] * 12 + [["A", "B", "C"]] * 2 + [["C"]] * 3
    found = strata(dataset(rows), task(MULTI))
    groups = [set(found[:30]), set(found[30:42]), set(found[42:])]
    assert [len(group) for group in groups] == [1, 1, 1] and len(set.union(*groups)) == 3


@given(st.lists(st.lists(st.sampled_from("ABC"), max_size=3), min_size=1, max_size=60))
def test_proteins_of_one_combination_are_in_one_stratum(rows):
    table = dataset(rows, List(ClassLabel(names=NAMES))) if any(rows) else None
    if table is None:
        return
    found = strata(table, task(MULTI))
    for row, stratum in zip(rows, found):
        assert {s for r, s in zip(rows, found) if set(r) == set(row)} == {stratum}


# --- numbers


def test_mean_and_deviation_are_those_of_the_known_training_numbers():
    table = dataset([1.0, 2.0, 3.0, 6.0], other=[10.0, None, 30.0, nan])
    fitted = fit_targets(table, task(NUMBERS, ["where", "other"], name="both"))
    assert fitted.mean == (3.0, 20.0) and fitted.std == (pytest.approx(np.std([1, 2, 3, 6])), 10.0)
    assert fit_targets(dataset(["A"]), task()) == task()


@pytest.mark.parametrize(
    ("values", "found"), [([2.0, 2.0], "is 2 for all"), ([None, nan], "is known for none"), ([4.0], "is 4 for all")]
)
def test_numbers_that_do_not_differ_cannot_be_learned(values, found):
    table = dataset(values, Value("float64"))
    with pytest.raises(OptionError, match=f"'where' {found} of the training proteins; expected numbers that differ"):
        fit_targets(table, task(NUMBERS, ["where"]))


@given(st.lists(st.lists(st.sampled_from("ABCD"), max_size=4), min_size=1, max_size=40))
def test_every_way_to_write_several_labels_gives_the_same_numbers(rows):
    names = list("ABCD")
    expected = [[float(name in row) for name in names] for row in rows]
    asked = task(MULTI, names)
    table = Dataset.from_dict(
        {"where": [[names.index(name) for name in row] for row in rows]},
        features=Features({"where": List(ClassLabel(names=names))}),
    )
    assert targets(table, asked).tolist() == expected
    flags = Dataset.from_dict({name: [int(name in row) for row in rows] for name in names})
    assert targets(flags, asked).tolist() == expected
    told = [(row, line) for row, line in zip(rows, expected) if row]
    if told:
        texts = Dataset.from_dict({"where": [";".join(row) for row, _ in told]})
        assert targets(texts, asked).tolist() == [line for _, line in told]
