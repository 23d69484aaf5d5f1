"""What a model takes from its training proteins before it trains: the weights of classes, and how often each comes."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protbert_classify import ProteinTrainer
from protbert_classify.errors import OptionError
from protbert_classify.training import trainer
from protbert_classify.training.preparation import (
    check_for_problem_type,
    class_weights_for,
    draws_per_epoch,
    fit_model,
)
from tests.training.trainers import arguments, product, raw_proteins, small_model


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=12).filter(any), st.floats(0, 1))
def test_weights_follow_the_power_of_the_number_of_proteins_and_are_1_in_the_mean(counts, power):
    counts = np.array(counts)
    weights = np.array(class_weights_for(counts, power))
    assert (weights * counts).sum() == pytest.approx(counts.sum())
    seen = counts > 0
    factors = weights[seen] * counts[seen] ** power
    np.testing.assert_allclose(factors, factors[0])
    assert (weights[~seen] == 1).all()


def test_at_a_power_of_1_all_classes_count_the_same():
    assert class_weights_for(np.array([100, 50, 0, 10]), 1.0) == pytest.approx([160 / 300, 160 / 150, 1, 160 / 30])


def test_weights_of_the_effective_number_are_the_inverse_for_rare_classes_and_level_off():
    counts = np.array([2, 4, 10**5, 10**6, 0])
    weights = np.array(class_weights_for(counts, beta=0.99))
    assert (weights * counts).sum() == pytest.approx(counts.sum()) and weights[4] == 1
    effective = np.array([1 + 0.99, 1 + 0.99 + 0.99**2 + 0.99**3, 100, 100])  # Cui et al. 2019, proposition 1
    assert weights[:4] * effective == pytest.approx([weights[2] * 100] * 4)


def test_weights_by_beta_0_are_equal_and_near_1_those_of_the_power_1():
    counts = np.array([3, 50, 700])
    assert class_weights_for(counts, beta=0.0) == pytest.approx([1, 1, 1])
    assert class_weights_for(counts, beta=1 - 1e-9) == pytest.approx(class_weights_for(counts, power=1.0), rel=1e-4)


def test_a_trainer_weighs_classes_by_their_effective_number(tmp_path):
    trainer = product(tmp_path, class_weights_beta=0.9)
    found = np.bincount(raw_proteins(60)["location"], minlength=3)
    assert trainer.model.config.class_weights == class_weights_for(found, beta=0.9)


def test_classes_are_weighed_in_one_way(tmp_path):
    with pytest.raises(ValueError, match=r"class_weights=0.3 and class_weights_beta=0.9: expected one of them; set"):
        arguments(tmp_path, class_weights=0.3, class_weights_beta=0.9)


def test_the_smallest_and_the_largest_class_weight_are_logged(caplog):
    proteins = raw_proteins(31)
    rare = max(proteins["location"])
    first = proteins["location"].index(rare)
    proteins = proteins.select([row for row, label in enumerate(proteins["location"]) if label != rare or row == first])
    with caplog.at_level(logging.INFO):
        fit_model(model := small_model(), proteins, 1.0)
    weights = model.config.class_weights
    assert f"class weights: from {min(weights):.2f} (" in caplog.text
    assert f" to {max(weights):.2f} ({model.config.labels[rare]}, 1 protein)" in caplog.text


def test_a_trainer_weighs_the_classes_of_its_training_proteins(tmp_path):
    trainer = product(tmp_path, class_weights=0.5)
    found = np.bincount(raw_proteins(60)["location"], minlength=3)
    assert trainer.model.config.class_weights == class_weights_for(found, 0.5)
    assert product(tmp_path / "plain").model.config.class_weights is None


@pytest.mark.parametrize("loss", ["logit_adjusted", "compensated"])
def test_a_loss_of_weights_without_weights_is_told_to_be_plain_cross_entropy(caplog, loss):
    fit_model(small_model(loss=loss), raw_proteins(6), 0.5)
    assert "cross_entropy" not in caplog.text
    fit_model(small_model(loss=loss), raw_proteins(6))
    assert f"loss {loss} is cross_entropy without class_weights" in caplog.text


def test_a_model_without_classes_has_no_weights_of_them():
    model = small_model(problem_type="multi_label_classification")
    with pytest.raises(OptionError, match="class_weights=0.5: expected 0 for multi_label_classification"):
        fit_model(model, raw_proteins(6), 0.5)
    with pytest.raises(OptionError, match="class_weights_beta=0.9: expected 0 for multi_label_classification"):
        fit_model(model, raw_proteins(6), class_weights_beta=0.9)


def test_encoded_proteins_are_refused_because_their_classes_were_not_read():
    with pytest.raises(OptionError, match="class_weights=0.5: the training proteins are encoded already"):
        fit_model(small_model(), None, 0.5)


def test_all_classes_come_equally_often_at_a_power_of_1_and_unknown_ones_once(log):
    labels, names = np.array([0, 0, 0, 1, -100]), ("Cytoplasm", "Golgi", "Nucleus")
    assert draws_per_epoch(labels, names, 1.0) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2, 1])
    shown = "times that a protein is shown in an epoch: from 0.67 (Cytoplasm, 3 proteins) to 2.00 (Golgi, 1 protein)"
    assert shown in log.text
    assert draws_per_epoch(labels, names, 0.0) == pytest.approx([1, 1, 1, 1, 1])


def test_a_trainer_draws_proteins_of_rare_classes_more_often(tmp_path):
    proteins = raw_proteins(60)
    proteins = proteins.select([row for row, label in enumerate(proteins["location"]) if label == 0 or row < 18])
    options = arguments(tmp_path, class_sampling=1.0, eval_strategy="no")
    trainer = ProteinTrainer(small_model(), options, train_dataset=proteins)
    labels = np.asarray(trainer.train_dataset["labels"])
    assert np.bincount(labels).tolist() == [20, 6, 6]
    batches = trainer.get_train_dataloader().batch_sampler
    seen = np.zeros(3)
    for epoch in range(100):
        batches.set_epoch(epoch)
        seen += np.bincount(labels[np.concatenate(list(batches))], minlength=3) / 100
    np.testing.assert_allclose(seen, [32 / 3] * 3, atol=0.5)
    assert product(tmp_path / "plain").get_train_dataloader().batch_sampler.draws is None


def test_label_smoothing_of_numbers_is_said_to_have_no_effect(tmp_path, caplog):
    options = arguments(tmp_path, label_smoothing_factor=0.1)
    for problem_type in ("single_label_classification", "multi_label_classification"):
        check_for_problem_type(problem_type, options)
    assert caplog.messages == []
    check_for_problem_type("regression", options)
    assert caplog.messages == ["label_smoothing_factor=0.1 has no effect on regression"]


def test_label_smoothing_of_several_labels_is_not_said_to_be_disabled(tmp_path, recwarn):
    product(tmp_path, 0, small_model(problem_type="multi_label_classification"), label_smoothing_factor=0.1)
    assert not [warning for warning in recwarn if "smoothing" in str(warning.message)]


@pytest.mark.parametrize("weights", [{"class_weights": 0.3}, {"class_weights_beta": 0.9}])
def test_weights_and_sampling_together_are_warned_about(tmp_path, caplog, weights):
    check_for_problem_type("single_label_classification", arguments(tmp_path, **weights))
    check_for_problem_type("single_label_classification", arguments(tmp_path, class_sampling=0.5))
    assert caplog.messages == []
    check_for_problem_type("single_label_classification", arguments(tmp_path, class_sampling=0.5, **weights))
    (name, value), (line,) = *weights.items(), caplog.messages
    assert line.startswith(f"{name}={value} and class_sampling=0.5 correct twice for rare classes; expected one of")
    assert ("(the recipe small sets class_weights)" in line) == (name == "class_weights")


@pytest.mark.parametrize(
    ("problem_type", "options", "words"),
    [
        ("multi_label_classification", {}, "class_sampling=0.5: expected 0 for multi_label_classification"),
        (
            "single_label_classification",
            {"train_sampling_strategy": "random"},
            "class_sampling=0.5: expected train_sampling_strategy=group_by_length, found random",
        ),
    ],
)
def test_class_sampling_is_refused_where_it_has_no_effect(tmp_path, monkeypatch, problem_type, options, words):
    monkeypatch.setattr(trainer, "encode_proteins", lambda *_: pytest.fail("the proteins are encoded first"))
    with pytest.raises(OptionError, match=words):
        product(tmp_path, 0, small_model(problem_type=problem_type), class_sampling=0.5, **options)
