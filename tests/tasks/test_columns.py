"""Which question a column asks, from what it holds or from what the user says."""

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from protbert_classify.errors import DataError, OptionError
from protbert_classify.tasks.columns import infer_task

NAMES = ["Cytoplasm", "Nucleus", "Plastid"]


def column(values, feature=None, name="where"):
    return Dataset.from_dict({name: values}, features=Features({name: feature}) if feature else None)


def asked(dataset, name="where", **options):
    task = infer_task(dataset, name, **options)
    return task.problem_type, list(task.labels)


@pytest.mark.parametrize(
    ("values", "feature", "problem_type", "labels"),
    [
        ([2, 0], ClassLabel(names=NAMES), "single_label_classification", NAMES),
        (["b", "a", "b"], None, "single_label_classification", ["a", "b"]),
        (["b", "", None], None, "single_label_classification", ["b"]),
        ([10, 2], None, "single_label_classification", ["10", "2"]),
        ([True, False], None, "single_label_classification", ["False", "True"]),
        ([[2, 0], [1]], List(ClassLabel(names=NAMES)), "multi_label_classification", NAMES),
        ([["b", "a"], [], ["c"]], None, "multi_label_classification", ["a", "b", "c"]),
        ([1.5, 2.0], None, "regression", ["where"]),
        ([1.5, 2.0], Value("float32"), "regression", ["where"]),
        (["1.5", "-2e1", ""], None, "regression", ["where"]),
        (["01", "1", "1.0"], None, "single_label_classification", ["01", "1", "1.0"]),
    ],
)
def test_a_column_says_what_it_asks(values, feature, problem_type, labels):
    assert asked(column(values, feature)) == (problem_type, labels)


@pytest.mark.parametrize(
    ("values", "feature", "problem_type", "labels"),
    [
        (["a;b", "b; c", "c"], None, "multi_label_classification", ["a", "b", "c"]),
        (["a;b", "c"], None, "single_label_classification", ["a;b", "c"]),
        ([0, 1], ClassLabel(names=NAMES), "multi_label_classification", NAMES),
        ([3, 5], None, "regression", ["where"]),
        (["3", "5.5"], None, "regression", ["where"]),
        ([1.0, 2.0], None, "single_label_classification", ["1.0", "2.0"]),
    ],
)
def test_the_user_has_the_last_word(values, feature, problem_type, labels):
    assert asked(column(values, feature), problem_type=problem_type) == (problem_type, labels)


@pytest.mark.parametrize(
    ("values", "feature", "problem_type", "message"),
    [
        ([0, 1], ClassLabel(names=NAMES), "regression", "found classes in column 'where' (Cytoplasm, Nucleus, Plastid"),
        (["a", "b"], None, "regression", "column 'where': found 'a'; expected a number; expected finite numbers"),
        ([["a"], ["b"]], None, "single_label_classification", "found a list in column 'where'; expected one class a"),
        ([["a"], ["b"]], None, "regression", "found a list in column 'where'; expected finite numbers"),
        ([1.5], None, "multi_label_classification", "found Value('float64') in column 'where'; expected lists of"),
        (["a"], None, "nonsense", "one of single_label_classification, multi_label_classification, regression"),
    ],
)
def test_a_problem_type_that_the_column_cannot_have_is_refused_in_one_line(values, feature, problem_type, message):
    with pytest.raises(OptionError) as caught:
        infer_task(column(values, feature), "where", problem_type=problem_type)
    assert str(caught.value).startswith(f"problem_type={problem_type!r}: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_columns_of_0_and_1_are_a_label_each_and_other_numbers_a_regression():
    flags = Dataset.from_dict({"Nucleus": [1, 0], "Plastid": [1.0, None], "Golgi": ["0", "true"], "tm": [55.5, 60]})
    task = infer_task(flags, ["Nucleus", "Plastid", "Golgi"])
    assert (task.name, task.problem_type) == ("labels", "multi_label_classification")
    assert task.labels == ("Nucleus", "Plastid", "Golgi")
    task = infer_task(flags, ["Nucleus", "tm"])
    assert (task.name, task.problem_type, task.labels) == ("values", "regression", ("Nucleus", "tm"))
    assert infer_task(flags, ["Nucleus", "tm"], name="stability").name == "stability"
    with pytest.raises(OptionError, match="column 'tm': found 55.5; expected 0 or 1"):
        infer_task(flags, ["Nucleus", "tm"], problem_type="multi_label_classification")
    with pytest.raises(OptionError, match="columns Nucleus, Plastid: .* reads a single column"):
        infer_task(flags, ["Nucleus", "Plastid"], problem_type="single_label_classification")


def test_a_task_of_several_columns_cannot_have_the_name_of_a_column_that_it_would_then_read():
    with pytest.raises(OptionError, match="name='a': there is a column of this name"):
        infer_task(Dataset.from_dict({"a": [1], "b": [0]}), ["a", "b"], name="a")
    with pytest.raises(OptionError, match="name='other': a task of the single column 'a' has its name"):
        infer_task(Dataset.from_dict({"a": [1], "b": [0]}), "a", name="other")


@pytest.mark.parametrize("feature", [ClassLabel(names=["M", "S", "U"]), Value("string")])
def test_deeplocs_unknown_membrane_is_no_class_to_learn(feature):
    task = infer_task(column(["M", "S", "U"], feature, "membrane"), "membrane")
    assert (task.labels, task.unknown) == (("M", "S"), ("U",))


def test_u_among_other_classes_is_a_class_and_the_user_can_name_what_is_unknown():
    assert infer_task(column(["M", "U"]), "where").labels == ("M", "U")
    assert infer_task(column(["M", "U"], name="membrane"), "membrane").labels == ("M",)
    task = infer_task(column(["U", "V", "?"]), "where", unknown=["?", "none"])
    assert (task.labels, task.unknown) == (("U", "V"), ("?",))


def test_labels_of_texts_are_those_of_all_splits():
    splits = DatasetDict(train=column(["b", "d"]), test=column(["a"]))
    assert infer_task(splits, "where").labels == ("a", "b", "d")
    with pytest.raises(DataError, match="column 'where' differs between the splits"):
        infer_task(DatasetDict(train=column(["b"]), test=column([0.5])), "where")


def test_a_missing_column_or_one_without_labels_is_named():
    with pytest.raises(DataError, match="no column 'what'; found where"):
        infer_task(column(["a"]), "what")
    with pytest.raises(DataError, match="column where: no label; expected one class a protein"):
        infer_task(column(["", ""]), "where")


def test_a_selection_in_another_format_is_read_as_it_stands():
    dataset = column(["a", "b", "c"]).select([2, 0]).with_format("numpy")
    assert infer_task(dataset, "where").labels == ("a", "c")
