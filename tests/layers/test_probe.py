"""The layer that is chosen is the one that knows the answer."""

import dataclasses
import os
import tempfile

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import OptionError
from protbert_classify.evaluation.layer_scores import LayerScores
from protbert_classify.inference.saved_encoder import load_encoder
from protbert_classify.layers.probe import probe_layers
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task
from tests.layers.encoders import save_planted
from tests.training.runs import LABELS, easy_records


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(save_planted(tmp_path_factory.mktemp("planted")), device="cpu")[0]


def proteins(count, seed, task):
    records = easy_records(count, 0, seed)
    classes = [LABELS.index(header.split()[1].removesuffix("-U")) for header, _ in records]
    answers = {
        SINGLE_LABEL: classes,
        MULTI_LABEL: [[label, 2] if label != 2 else [2] for label in classes],
        REGRESSION: [30.0 + 10 * label for label in classes],
    }[task.problem_type]
    label = ClassLabel(names=LABELS)
    feature = {SINGLE_LABEL: label, MULTI_LABEL: List(label), REGRESSION: Value("float64")}[task.problem_type]
    features = Features({"id": Value("string"), "sequence": Value("string"), task.name: feature})
    table = {
        "id": [header for header, _ in records],
        "sequence": [" ".join(sequence) for _, sequence in records],
        task.name: answers,
    }
    return Dataset.from_dict(table, features=features)


def splits_of(task, train=120, validation=60):
    return DatasetDict({"train": proteins(train, 0, task), "validation": proteins(validation, 1, task)})


@pytest.mark.parametrize(("kind", "metric"), [(SINGLE_LABEL, "mcc"), (MULTI_LABEL, "mcc"), (REGRESSION, "spearman")])
def test_the_layer_with_the_signal_is_the_best_and_the_scrambled_ones_are_at_chance(encoder, kind, metric):
    labels = ("location",) if kind == REGRESSION else tuple(LABELS)
    task = Task(name="location", problem_type=kind, labels=labels)
    found = probe_layers(encoder, protbert_tokenizer(), splits_of(task), task, max_length=64)
    assert found.metric == metric and found.best == 1 and found.last == 4
    assert found.values[0] > 0.7
    assert max(map(abs, found.values[1:])) < 0.01  # what rounding makes of the same values is not learned
    assert (found.train_proteins, found.validation_proteins, found.width) == (120, 60, 16)
    assert found.gain == found.values[0] - found.values[3] > 0.4
    low, high = found.interval or (found.gain, found.gain)  # resampling what is all right always gives the same
    assert 0.2 < low <= found.gain <= high
    assert kind != REGRESSION or low < high


def test_no_more_proteins_are_used_than_asked_for_and_nothing_is_left_behind(encoder, tmp_path, monkeypatch):
    task = Task(name="location", problem_type=SINGLE_LABEL, labels=tuple(LABELS))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = probe_layers(encoder, protbert_tokenizer(), splits_of(task), task, max_length=64, most_proteins=30)
    assert (found.train_proteins, found.validation_proteins) == (30, 30)
    assert os.listdir(tmp_path) == []


def test_without_validation_proteins_there_is_nothing_to_compare_on(encoder):
    task = Task(name="location", problem_type=SINGLE_LABEL, labels=tuple(LABELS))
    splits = DatasetDict({"train": proteins(12, 0, task)})
    with pytest.raises(OptionError, match="no validation proteins to compare the layers on"):
        probe_layers(encoder, protbert_tokenizer(), splits, task, max_length=64)


def scores(*values):
    task = Task(name="location", problem_type=SINGLE_LABEL, labels=tuple(LABELS))
    return LayerScores(task, [{"mcc": value, "accuracy": 0.5, "macro_f1": 0.5} for value in values], 90, 10, 16)


def test_of_equal_layers_the_first_is_the_best_because_it_makes_the_smallest_model():
    assert scores(0.2, 0.7, 0.7, 0.4).best == 2


def test_the_verdict_names_the_best_the_last_and_their_difference():
    assert scores(0.2, 0.7, 0.44).verdict == (
        "layer 2 of 3 is the best: MCC 0.700 on validation proteins, 0.260 more than the last (0.440)"
    )
    tied = "layer 2 of 3 is as good as the last: MCC 0.700 on validation proteins; it makes a smaller model"
    assert scores(0.2, 0.7, 0.7).verdict == tied
    assert scores(0.2, 0.7).verdict == "the last layer, 2, is the best: MCC 0.700 on validation proteins"
    assert np.isclose(scores(0.2, 0.7, 0.44).gain, 0.26)
    sure = dataclasses.replace(scores(0.2, 0.7, 0.44), interval=(0.1, 0.4049))
    assert sure.verdict.endswith("0.260 more than the last (0.440; 95% interval 0.100 to 0.405)")
