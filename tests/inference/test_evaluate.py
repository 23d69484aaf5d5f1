import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset

from protbert_classify import ProteinClassificationPipeline
from protbert_classify.data.alphabet import space
from protbert_classify.errors import DataError, ModelError
from protbert_classify.evaluation.decision import decide
from protbert_classify.evaluation.metrics import classification_metrics, evaluation_metrics
from protbert_classify.inference.evaluate import evaluate_classifier
from protbert_classify.inference.logits import predict_logits
from protbert_classify.inference.predict import predict_file
from protbert_classify.inference.saved_classifier import load_classifier

from .conftest import LABELS, LONG, build_classifier

SEQUENCES = ["MKTAYIAKQR", LONG, "WWCCHH", "MLSRAVCGTSRQ", "GGGGGG"]


def proteins(locations, names=LABELS):
    columns = {"id": [f"P{i}" for i in range(5)], "sequence": [space(s) for s in SEQUENCES], "location": locations}
    return Dataset.from_dict(columns).cast_column("location", ClassLabel(names=list(names)))


@pytest.fixture
def calls(expected_scores):
    return [int(np.argmax(expected_scores(sequence))) for sequence in SEQUENCES]


@pytest.mark.parametrize("tokens_per_batch", [1, 40, 4096])
def test_metrics_are_those_of_the_calls(run_folder, calls, expected_scores, tokens_per_batch):
    references = [0, 1, 2, 1, 0]
    result = evaluate_classifier(str(run_folder), proteins(references), tokens_per_batch=tokens_per_batch)
    task = {"name": "location", "problem_type": "single_label_classification", "labels": LABELS}
    of_scores = [result.pop(name) for name in ("ece", "brier", "nll")]
    assert result == {"proteins": 5, "tasks": [task], **classification_metrics(calls, references, LABELS)}
    scores = np.array([expected_scores(sequence) for sequence in SEQUENCES])
    assert of_scores[1] == pytest.approx(((scores - np.eye(3)[references]) ** 2).sum(1).mean(), abs=1e-5)
    assert of_scores[2] == pytest.approx(-np.log(scores[np.arange(5), references]).mean(), abs=1e-5)


def test_what_the_model_says_itself_is_all_right(run_folder, calls):
    assert evaluate_classifier(str(run_folder), proteins(calls))["accuracy"] == 1.0


def test_classes_are_matched_by_name_and_not_by_number(run_folder, calls):
    shuffled = LABELS[::-1]
    locations = [shuffled.index(LABELS[call]) for call in calls]
    assert evaluate_classifier(str(run_folder), proteins(locations, shuffled))["accuracy"] == 1.0


def test_every_task_is_measured_as_far_as_it_is_known(tmp_path, tokenizer):
    membrane = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}
    weight = {"name": "weight", "problem_type": "regression", "labels": ["weight"]}
    model = build_classifier(
        problem_type="multi_label_classification", thresholds=[0.1, 0.9, 0.5], auxiliary_tasks=[membrane, weight]
    )
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    columns = {
        **{"id": [f"P{i}" for i in range(5)], "sequence": [space(s) for s in SEQUENCES]},
        "location": ["Cytoplasm", "Cytoplasm;Nucleus", "Nucleus", "Mitochondrion", "Nucleus"],
        "membrane": ["M", "S", "U", "S", "M"],
    }
    found = evaluate_classifier(str(tmp_path), Dataset.from_dict(columns))
    logits = predict_logits(model, [tokenizer(s)["input_ids"] for s in map(cropped, SEQUENCES)])
    references = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 1]])
    beside = np.array([[0, np.nan], [1, np.nan], [np.nan, np.nan], [1, np.nan], [0, np.nan]])
    expected = evaluation_metrics(decide(logits, model.config), references, beside)
    of_scores = [name for name in expected if name.endswith(("ece", "brier", "nll"))]
    assert len(of_scores) == 6  # of location and of membrane
    known = [expected.pop(name) for name in of_scores]
    assert [found.pop(name) for name in of_scores] == pytest.approx(known, abs=1e-5)
    assert found == {"proteins": 5, "tasks": [task.to_dict() for task in model.config.tasks], **expected}
    assert found["membrane_per_class"]["M"]["support"] == 2 and "weight_mae" not in found


def cropped(sequence):
    return sequence if len(sequence) <= 20 else sequence[:10] + sequence[-10:]


def test_proteins_without_the_column_of_the_main_task_are_refused(run_folder):
    with pytest.raises(DataError, match="no column 'location'; found id, sequence"):
        evaluate_classifier(str(run_folder), proteins([0] * 5).remove_columns("location"))


def test_a_class_without_proteins_has_null_metrics(run_folder):
    result = evaluate_classifier(str(run_folder), proteins([0] * 5))
    assert result["per_class"]["Nucleus"] == {**dict.fromkeys(("precision", "recall", "f1", "mcc")), "support": 0}
    assert result["per_class"]["Cytoplasm"]["support"] == 5


def test_a_location_that_the_model_does_not_know_is_refused(run_folder):
    names = ["Cytoplasm", "Golgi.apparatus", "Nucleus"]
    with pytest.raises(DataError, match="'Golgi.apparatus' is not a class of the model; expected one of Cytoplasm"):
        evaluate_classifier(str(run_folder), proteins([0, 1, 2, 0, 0], names))


def test_a_model_that_diverged_is_refused_by_name_whoever_asks(diverged_folder, write_fasta, tmp_path):
    words = f"^the model in {diverged_folder}/model gives scores that are not numbers: its training diverged; train it "
    with pytest.raises(ModelError, match=words):
        evaluate_classifier(str(diverged_folder), proteins([0] * 5))
    with pytest.raises(ModelError, match=words):
        predict_file(str(diverged_folder), write_fasta([("P1", "MKT")]), str(tmp_path / "predictions.csv"))
    assert not (tmp_path / "predictions.csv").exists() and not (tmp_path / "predictions.csv.parts").exists()
    model, tokenizer = load_classifier(diverged_folder, "cpu")
    with pytest.raises(ModelError, match=words):
        ProteinClassificationPipeline(model=model, tokenizer=tokenizer)("MKT")


def test_scores_beyond_float16_are_not_laid_at_the_trainings_door(classifier, tokenizer):
    with torch.no_grad():
        linear = [module for module in classifier.head.modules() if isinstance(module, torch.nn.Linear)][-1]
        linear.bias.fill_(65_504)
        linear.weight.fill_(0)
        linear.weight[0, 0], linear.weight[1, 0] = 65_504, -65_504  # one of the two exceeds it, whatever the feature
    pipeline = ProteinClassificationPipeline(model=classifier.to(torch.float16), tokenizer=tokenizer, device="cpu")
    with pytest.raises(ModelError, match="gives scores beyond float16's range; compute in bfloat16 or float32"):
        pipeline("MKT")
