import evaluate
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from protbert_classify.evaluation import protein_classification
from protbert_classify.evaluation.decision import Decision, decide_task
from protbert_classify.evaluation.metrics import (
    BEST_METRIC,
    WATCHED,
    classification_metrics,
    evaluation_metrics,
    higher_is_better,
    multi_label_metrics,
    regression_metrics,
    task_metrics,
    watched_metrics,
)
from protbert_classify.model.tasks import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL, Task

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
REFERENCES = [0, 0, 0, 1, 1, 2]
PREDICTIONS = [0, 0, 1, 1, 2, 2]
NAN = float("nan")
NO_SCORE = {"precision": None, "mcc": None}  # of a class that is never predicted


def decision(scores, problem_type=SINGLE_LABEL, labels=LABELS, name="location", auxiliary=(), **fields):
    scores = np.asarray(scores, dtype=np.float32)
    if problem_type == SINGLE_LABEL:
        chosen = np.eye(scores.shape[1], dtype=bool)[scores.argmax(1)]
    else:
        chosen = scores >= np.asarray(fields.get("thresholds", [0.5] * scores.shape[1]))
    task = Task(name=name, problem_type=problem_type, labels=labels, **fields)
    return Decision(task, scores, chosen, {answers.task.name: answers for answers in auxiliary})


def test_values_of_a_case_counted_by_hand():
    result = classification_metrics(PREDICTIONS, REFERENCES, LABELS)
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["confusion_matrix"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    against_others = [result["per_class"][label].pop("mcc") for label in LABELS]
    # Matthews: (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))
    by_hand = [2 * 3 / (2 * 3 * 3 * 4) ** 0.5, (3 - 1) / (2 * 2 * 4 * 4) ** 0.5, 4 / (2 * 1 * 5 * 4) ** 0.5]
    assert against_others == pytest.approx(by_hand)
    assert result["per_class"] == {
        "Cytoplasm": {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "support": 3},
        "Mitochondrion": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        "Nucleus": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
    }
    assert result["balanced_accuracy"] == pytest.approx((2 / 3 + 0.5 + 1.0) / 3)
    assert result["macro_f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    # Gorodkin: (c s - p.t) / sqrt((s^2 - p.p)(s^2 - t.t)), p and t the counts of called and true: 2 2 2 and 3 2 1
    assert result["mcc"] == pytest.approx((4 * 6 - 12) / ((36 - 12) * (36 - 14)) ** 0.5)


@pytest.mark.filterwarnings("error")
def test_of_a_single_class_there_is_no_correlation_and_no_warning():
    result = classification_metrics([1, 1], [1, 1], LABELS)
    assert (result["accuracy"], result["mcc"], result["macro_f1"]) == (1.0, 0.0, 1.0)


def test_binary_mcc_is_matthews_own():
    result = classification_metrics([1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1], ["no", "yes"])
    assert result["mcc"] == pytest.approx((2 * 2 - 1 * 1) / (3 * 3 * 3 * 3) ** 0.5)


def test_agreement_with_scikit_learn_on_many_proteins():
    generator = np.random.default_rng(0)
    references, noise = generator.integers(0, 10, (2, 500))
    predictions = np.where(generator.random(500) < 0.6, references, noise)
    result = classification_metrics(predictions, references, [str(index) for index in range(10)])
    assert result["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(references, predictions))
    assert result["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(references, predictions))
    assert result["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(references, predictions, average="macro"))
    recall = [values["recall"] for values in result["per_class"].values()]
    assert recall == pytest.approx(sklearn_metrics.recall_score(references, predictions, average=None))


def test_a_class_without_proteins_has_no_values_and_does_not_lower_the_macro_f1():
    result = classification_metrics([0, 0, 1, 2], [0, 0, 1, 1], LABELS)
    assert result["per_class"]["Nucleus"] == {**NO_SCORE, "recall": None, "f1": None, "support": 0}
    assert result["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)  # not divided by 3
    assert result["confusion_matrix"] == [[2, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_a_class_that_is_never_predicted_has_zeros_and_no_precision():
    result = classification_metrics([0, 0], [0, 1], LABELS)
    assert result["per_class"]["Mitochondrion"] == {**NO_SCORE, "recall": 0.0, "f1": 0.0, "support": 1}


def test_one_protein_has_an_accuracy():
    result = classification_metrics([2], [2], LABELS)
    assert (result["accuracy"], result["macro_f1"], result["mcc"]) == (1.0, 1.0, 0.0)


def test_values_are_plain_numbers_that_json_writes():
    import json

    assert json.loads(json.dumps(classification_metrics(np.array([0]), np.array([1]), LABELS)))["accuracy"] == 0


@pytest.mark.parametrize("predictions, references", [([], []), ([0, 1], [0])])
def test_no_proteins_or_other_lengths_are_refused(predictions, references):
    message = f"{len(predictions)} predictions for {len(references)} references; expected as many, at least 1"
    with pytest.raises(ValueError, match=message):
        classification_metrics(predictions, references, LABELS)


@pytest.fixture(scope="module")
def metric():
    """The module as users of `evaluate` load it; conftest has switched the network off."""
    return evaluate.load(protein_classification.__file__)


def test_evaluate_loads_the_metric_offline_and_computes_the_same(metric):
    result = metric.compute(predictions=PREDICTIONS, references=REFERENCES, labels=LABELS)
    assert result == classification_metrics(PREDICTIONS, REFERENCES, LABELS)


def test_evaluate_gathers_batches(metric):
    metric.add_batch(predictions=PREDICTIONS[:3], references=REFERENCES[:3])
    metric.add_batch(predictions=PREDICTIONS[3:], references=REFERENCES[3:])
    assert metric.compute(labels=LABELS) == classification_metrics(PREDICTIONS, REFERENCES, LABELS)


def test_evaluate_without_labels_numbers_the_classes(metric):
    result = metric.compute(predictions=[0, 3], references=[0, 1])
    assert list(result["per_class"]) == ["0", "1", "2", "3"]
    assert result["accuracy"] == 0.5


def test_evaluate_refuses_no_proteins_too(metric):
    with pytest.raises(ValueError, match="0 predictions for 0 references"):
        metric.compute(predictions=[], references=[])


def test_proteins_of_unknown_class_are_left_out():
    scores = np.eye(3)[PREDICTIONS + [0, 1]]
    result = task_metrics(decision(scores), np.array(REFERENCES + [-100, -100]))
    assert result == task_metrics(decision(np.eye(3)[PREDICTIONS]), np.array(REFERENCES))
    assert result == {**result, **classification_metrics(PREDICTIONS, REFERENCES, LABELS)}
    unknown = task_metrics(decision(scores), np.array(REFERENCES + [NAN, NAN]))  # as an auxiliary task has them
    assert unknown == result


SETS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=float)
CALLED = np.array([[0.9, 0.1, 0.1], [0.8, 0.2, 0.3], [0.1, 0.7, 0.9], [0.6, 0.1, 0.8]])


def test_values_of_several_labels_counted_by_hand():
    result = task_metrics(decision(CALLED, MULTI_LABEL), SETS)
    # true: C | C M | M N | N, predicted: C | C | M N | C N
    assert result["micro_f1"] == pytest.approx(2 * 5 / (2 * 5 + 1 + 1))
    assert result["macro_f1"] == pytest.approx((4 / 5 + 2 / 3 + 1) / 3)
    assert result["jaccard"] == pytest.approx((1 + 1 / 2 + 1 + 1 / 2) / 4)
    assert result["subset_accuracy"] == 0.5
    cytoplasm = result["per_class"]["Cytoplasm"]
    assert cytoplasm == {
        **{"precision": pytest.approx(2 / 3), "recall": 1.0, "f1": pytest.approx(0.8)},
        "mcc": pytest.approx((2 * 1 - 1 * 0) / (3 * 2 * 2 * 1) ** 0.5),
        **{"average_precision": 1.0, "threshold": 0.5, "support": 2},
    }
    assert result["per_class"]["Mitochondrion"]["average_precision"] == 1.0
    assert result["mcc"] == pytest.approx(np.mean([v["mcc"] for v in result["per_class"].values()]))


def test_several_labels_agree_with_scikit_learn():
    generator = np.random.default_rng(1)
    true = generator.integers(0, 2, (200, 5))
    scores = np.clip(true * 0.3 + generator.random((200, 5)) * 0.7, 0, 1)
    labels = list("abcde")
    result = multi_label_metrics(scores >= 0.6, scores, true.astype(float), labels, [0.6] * 5)
    called = (scores >= 0.6).astype(int)
    assert result["micro_f1"] == pytest.approx(sklearn_metrics.f1_score(true, called, average="micro"))
    assert result["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(true, called, average="macro"))
    jaccard = sklearn_metrics.jaccard_score(true, called, average="samples", zero_division=1.0)
    assert result["jaccard"] == pytest.approx(jaccard)
    assert result["subset_accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(true, called))
    assert result["average_precision"] == pytest.approx(sklearn_metrics.average_precision_score(true, scores))
    mcc = [sklearn_metrics.matthews_corrcoef(true[:, i], called[:, i]) for i in range(5)]
    assert result["mcc"] == pytest.approx(np.mean(mcc))
    assert result["per_class"]["a"]["threshold"] == 0.6


def test_an_unknown_label_counts_neither_as_right_nor_as_wrong():
    true = np.vstack([SETS, [NAN, NAN, NAN]])
    true[3, 0] = NAN  # the only wrong label of the last protein
    result = task_metrics(decision(np.vstack([CALLED, [0.9, 0.9, 0.9]]), MULTI_LABEL), true)
    assert result["subset_accuracy"] == 0.75
    assert result["jaccard"] == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    assert result["micro_f1"] == pytest.approx(2 * 5 / (2 * 5 + 0 + 1))
    assert result["per_class"]["Cytoplasm"]["mcc"] == 1.0


@pytest.mark.filterwarnings("error")
def test_a_label_that_none_or_all_of_the_proteins_have_has_no_mcc_and_lowers_no_mean():
    true = np.array([[1, 0, 1], [0, 0, 1]], dtype=float)
    result = task_metrics(decision([[0.9, 0.9, 0.9], [0.2, 0.1, 0.9]], MULTI_LABEL), true)
    absent, constant = result["per_class"]["Mitochondrion"], result["per_class"]["Nucleus"]
    assert (absent["f1"], absent["precision"], absent["mcc"], absent["average_precision"]) == (None,) * 4
    assert absent["support"] == 0
    assert (constant["f1"], constant["mcc"], constant["average_precision"]) == (1.0, None, 1.0)
    assert (result["mcc"], result["macro_f1"], result["average_precision"]) == (1.0, 1.0, 1.0)


@pytest.mark.filterwarnings("error")
def test_a_label_that_is_never_predicted_has_no_precision():
    result = task_metrics(decision([[0.9, 0.1, 0.1], [0.9, 0.1, 0.2]], MULTI_LABEL), np.array([[1.0, 0, 1], [1, 0, 0]]))
    found = result["per_class"]["Nucleus"]
    assert (found["precision"], found["recall"], found["f1"], found["mcc"]) == (None, 0.0, 0.0, 0.0)


def test_numbers_agree_with_numpy_and_scikit_learn():
    generator = np.random.default_rng(2)
    true = generator.normal(5, 2, (100, 2))
    found = true + generator.normal(0, 1, (100, 2)) * [1, 3]
    result = regression_metrics(found, true, ["length", "charge"])
    ranks = [np.argsort(np.argsort(values[:, 0])) for values in (true, found)]
    per_target = result["per_target"]
    assert per_target["length"]["spearman"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    for index, name in enumerate(["length", "charge"]):
        pair = true[:, index], found[:, index]
        assert per_target[name]["pearson"] == pytest.approx(np.corrcoef(*pair)[0, 1])
        assert per_target[name]["r2"] == pytest.approx(sklearn_metrics.r2_score(*pair))
        assert per_target[name]["mae"] == pytest.approx(np.abs(pair[0] - pair[1]).mean())
        assert per_target[name]["n"] == 100
    for metric in ("spearman", "pearson", "r2", "mae"):
        assert result[metric] == pytest.approx(np.mean([values[metric] for values in per_target.values()]))


def test_unknown_numbers_are_left_out():
    true = np.array([[1.0, NAN], [2.0, 1.0], [NAN, NAN]])
    result = task_metrics(decision([[2, 0], [2, 1], [9, 9]], REGRESSION, ["a", "b"]), true)
    assert (result["per_target"]["a"]["mae"], result["per_target"]["a"]["n"]) == (0.5, 2)
    assert result["per_target"]["b"] == {"spearman": None, "pearson": None, "r2": None, "mae": 0.0, "n": 1}


@pytest.mark.filterwarnings("error")
def test_equal_numbers_have_no_correlation_and_no_warning():
    same = regression_metrics(np.array([[1.0], [2.0]]), np.array([[3.0], [3.0]]), ["a"])
    assert same["per_target"]["a"] == {"spearman": None, "pearson": None, "r2": None, "mae": 1.5, "n": 2}
    assert same["spearman"] == 0.0
    collapsed = regression_metrics(np.array([[3.0], [3.0]]), np.array([[1.0], [2.0]]), ["a"])
    assert (collapsed["spearman"], collapsed["pearson"], collapsed["mae"]) == (0.0, 0.0, 1.5)


MEMBRANE = decision([[0.9, 0.1], [0.2, 0.8]], labels=["M", "S"], name="membrane")
CHARGE = decision([[1.0, 2.0], [3.0, 4.0]], REGRESSION, ["acid", "base"], "charge")


def test_auxiliary_tasks_have_their_metrics_beside_those_of_the_main_one():
    found = decision(np.eye(3)[[0, 1]], auxiliary=[MEMBRANE, CHARGE])
    beside = np.array([[0.0, 1.0, 2.0], [0.0, 3.0, 5.0]], dtype=np.float32)
    result = evaluation_metrics(found, np.array([0, 1]), beside)
    main = classification_metrics([0, 1], [0, 1], LABELS)
    assert {name: result[name] for name in main} == main
    assert result["membrane_accuracy"] == 0.5
    assert result["membrane_confusion_matrix"] == [[1, 1], [0, 0]]
    assert result["charge_mae"] == 0.25
    assert result["charge_per_target"]["base"]["mae"] == 0.5
    assert evaluation_metrics(found, np.array([0, 1])) == {**main, "ece": 0.0, "brier": 0.0, "nll": 0.0}


def test_an_auxiliary_task_without_a_known_answer_is_left_out():
    found = decision(np.eye(3)[[0, 1]], auxiliary=[MEMBRANE])
    result = evaluation_metrics(found, np.array([0, 1]), np.full((2, 1), NAN))
    assert "membrane_accuracy" not in result
    known = evaluation_metrics(found, np.array([0, 1]), np.array([[NAN], [1.0]]))
    assert known["membrane_accuracy"] == 1.0


def test_shapes_that_do_not_fit_are_refused():
    found = decision(np.eye(3)[[0, 1]], auxiliary=[MEMBRANE, CHARGE])
    with pytest.raises(ValueError, match=r"auxiliary references of shape \(2, 2\): expected 3 columns"):
        evaluation_metrics(found, np.array([0, 1]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"references of shape \(3,\) for task 'location': expected \(2,\)"):
        task_metrics(found, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"references of shape \(2,\) for task 'charge': expected \(2, 2\)"):
        task_metrics(CHARGE, np.array([0, 1]))


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_no_known_answer_is_refused(problem_type):
    unknown = np.full(2 if problem_type == SINGLE_LABEL else (2, 2), NAN)
    with pytest.raises(ValueError, match="expected.* at least 1"):
        task_metrics(decision(np.eye(2), problem_type, ["a", "b"]), unknown)


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_what_is_watched_is_measured_and_is_a_number(problem_type):
    true = np.array([0, 1]) if problem_type == SINGLE_LABEL else np.eye(2)
    found = task_metrics(decision(np.eye(2), problem_type, ["a", "b"]), true)
    assert all(isinstance(found[name], float) for name in WATCHED[problem_type])
    assert BEST_METRIC[problem_type] in WATCHED[problem_type]


def test_the_watched_names_of_all_tasks():
    assert watched_metrics([CHARGE.task, MEMBRANE.task]) == [
        "spearman", "pearson", "r2", "mae", "membrane_accuracy", "membrane_mcc", "membrane_macro_f1",
    ]  # fmt: skip


def test_a_lower_loss_or_error_is_better_and_a_higher_anything_else():
    assert [higher_is_better(name) for name in ("eval_loss", "loss", "charge_mae")] == [False] * 3
    assert [higher_is_better(name) for name in ("mcc", "eval_spearman", "eval_membrane_accuracy")] == [True] * 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_a_training_that_diverged_is_measured_without_an_error_of_another_kind(problem_type):
    task = Task(name="location", problem_type=problem_type, labels=["a", "b"])
    decision = decide_task(np.full((3, 2), NAN, dtype=np.float32), task)
    true = np.array([0, 1, 0]) if problem_type == SINGLE_LABEL else np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found = task_metrics(decision, true)
    assert not found[BEST_METRIC[problem_type]] > 0
    assert problem_type != REGRESSION or np.isnan(found["mae"])  # 0 would be the best
