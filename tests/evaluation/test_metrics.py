import evaluate
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from protbert_classify.evaluation import protein_classification
from protbert_classify.evaluation.metrics import classification_metrics

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
REFERENCES = [0, 0, 0, 1, 1, 2]
PREDICTIONS = [0, 0, 1, 1, 2, 2]


def test_values_of_a_case_counted_by_hand():
    result = classification_metrics(PREDICTIONS, REFERENCES, LABELS)
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["confusion_matrix"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert result["per_class"] == {
        "Cytoplasm": {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "support": 3},
        "Mitochondrion": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        "Nucleus": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
    }
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
    assert result["per_class"]["Nucleus"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert result["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)  # not divided by 3
    assert result["confusion_matrix"] == [[2, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_a_class_that_is_never_called_has_zeros_and_no_precision():
    result = classification_metrics([0, 0], [0, 1], LABELS)
    assert result["per_class"]["Mitochondrion"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}


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
