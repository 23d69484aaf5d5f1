"""The table of `evaluate`: what each problem type shows."""

from protbert_classify.commands.metrics_table import metrics_table
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL

LOCATION = {"name": "location", "problem_type": SINGLE_LABEL, "labels": ["Nucleus", "ER"]}
NUCLEUS = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "mcc": 0.2, "support": 1234}
NOTHING = {"precision": None, "recall": None, "f1": None, "mcc": None, "support": 0}
SINGLE = {
    "accuracy": 0.25,
    "mcc": 0.1,
    "macro_f1": 0.3,
    "balanced_accuracy": 0.4,
    "per_class": {"Nucleus": NUCLEUS, "ER": NOTHING},
}


def test_a_class_without_proteins_has_dashes():
    text = metrics_table({"proteins": 1234, "tasks": [LOCATION], **SINGLE}, "test")
    assert text.splitlines() == [
        "test: 1,234 proteins, accuracy 0.250, MCC 0.100, macro F1 0.300, balanced accuracy 0.400",
        "",
        "class    precision  recall     F1    MCC  proteins",
        "Nucleus      0.500   0.250  0.333  0.200     1,234",
        "ER               -       -      -      -         0",
    ]
    assert metrics_table({"proteins": 1, "tasks": [LOCATION], **SINGLE}, "all").startswith("all: 1 protein, accuracy")


def test_prediction_sets_stand_behind_the_scores():
    sets = {"sets_coverage": 0.9125, "sets_size": 1.5, "sets_by_class_coverage": 0.905, "sets_by_class_size": 2.25}
    lines = metrics_table({"proteins": 1234, "tasks": [LOCATION], **SINGLE, **sets}, "test").splitlines()
    assert lines[1:3] == [
        "prediction sets at 10% error: coverage 0.912, mean size 1.50; by class: coverage 0.905, mean size 2.25",
        "",
    ]


def test_several_labels_have_their_thresholds():
    values = {**NUCLEUS, "mcc": -0.125, "average_precision": 0.75, "threshold": 0.4}
    over_all = {"micro_f1": 0.5, "macro_f1": 0.4, "jaccard": 0.3, "subset_accuracy": 0.2, "mcc": 0.1}
    metrics = {**over_all, "average_precision": 0.6, "per_class": {"Nucleus": values}}
    task = {"name": "place", "problem_type": MULTI_LABEL, "labels": ["Nucleus"]}
    assert metrics_table({"proteins": 5, "tasks": [task], **metrics}, "test").splitlines() == [
        "test: 5 proteins, micro F1 0.500, macro F1 0.400, Jaccard 0.300, subset accuracy 0.200, MCC 0.100, average "
        "precision 0.600",
        "",
        "class    precision  recall     F1     MCC  average precision  threshold  proteins",
        "Nucleus      0.500   0.250  0.333  -0.125              0.750      0.400     1,234",
    ]


def test_numbers_have_their_errors_and_auxiliary_tasks_stand_below():
    target = {"spearman": 0.9, "pearson": None, "r2": -1.5, "mae": 12345.678, "n": 7}
    metrics = {"spearman": 0.9, "pearson": 0.0, "r2": -1.5, "mae": 12345.678, "per_target": {"length": target}}
    task = {"name": "length", "problem_type": REGRESSION, "labels": ["length"]}
    beside = {f"location_{name}": value for name, value in SINGLE.items()}
    unknown = {"name": "membrane", "problem_type": SINGLE_LABEL, "labels": ["M", "S"]}
    text = metrics_table({"proteins": 7, "tasks": [task, LOCATION, unknown], **metrics, **beside}, "validation")
    assert text.splitlines() == [
        "validation: 7 proteins, Spearman 0.900, Pearson 0.000, R² -1.500, MAE 1.235e+04",
        "",
        "number  Spearman  Pearson      R²        MAE  proteins",
        "length     0.900        -  -1.500  1.235e+04         7",
        "",
        "",
        "location: accuracy 0.250, MCC 0.100, macro F1 0.300, balanced accuracy 0.400",
        "",
        "class    precision  recall     F1    MCC  proteins",
        "Nucleus      0.500   0.250  0.333  0.200     1,234",
        "ER               -       -      -      -         0",
    ]
