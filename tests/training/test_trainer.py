import os

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import TrainingArguments

from protbert_classify import ProteinTrainer
from protbert_classify.data.collators import PaddingCollator
from protbert_classify.evaluation.metrics import classification_metrics
from tests.training.child import build_trainer, trained
from tests.training.runs import LABELS, assert_same_weights, encoded_proteins

STEP = {"max_steps": 1, "dropout": 0.0, "train_sampling_strategy": "sequential", "max_grad_norm": 1e9}


def first_step(folder, **options):
    """Loss and gradient norm of the first step."""
    log = trained(str(folder), **{**STEP, **options})["history"][0]
    return log["loss"], log["grad_norm"]


def expected_step(trainer, proteins):
    """The same by hand, from the definition: the mean over the proteins."""
    model = trainer.model.train()
    batch = PaddingCollator(0)([proteins[index] for index in range(len(proteins))])
    loss = functional.cross_entropy(model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"])
    loss.backward()
    gradients = [parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]
    return loss.item(), torch.stack(gradients).norm().item()


@pytest.mark.parametrize(("batch_size", "accumulation"), [(8, 1), (4, 2), (2, 4), (1, 8)])
def test_accumulation_changes_neither_loss_nor_gradient(tmp_path, batch_size, accumulation):
    expected = expected_step(build_trainer(str(tmp_path), dropout=0.0), encoded_proteins(8))
    found = first_step(
        tmp_path, proteins=8, per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation
    )
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(7, 1), (4, 2), (3, 3)])
def test_uneven_micro_batches_weigh_every_protein_the_same(tmp_path, batch_size, accumulation):
    expected = expected_step(build_trainer(str(tmp_path), dropout=0.0), encoded_proteins(7))
    found = first_step(
        tmp_path, proteins=7, per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation
    )
    assert found == pytest.approx(expected, abs=1e-5)


def test_label_smoothing_reaches_the_loss_with_accumulation_too(tmp_path):
    plain = first_step(tmp_path, proteins=8, per_device_train_batch_size=8)
    smooth = [
        first_step(
            tmp_path,
            proteins=8,
            label_smoothing_factor=0.3,
            per_device_train_batch_size=8 // steps,
            gradient_accumulation_steps=steps,
        )
        for steps in (1, 2)
    ]
    trainer, proteins = build_trainer(str(tmp_path), dropout=0.0), encoded_proteins(8)
    batch = PaddingCollator(0)([proteins[index] for index in range(8)])
    logits = trainer.model.train()(batch["input_ids"], batch["attention_mask"]).logits
    expected = functional.cross_entropy(logits, batch["labels"], label_smoothing=0.3).item()
    assert smooth[0][0] == pytest.approx(expected, abs=1e-5)
    assert smooth[1] == pytest.approx(smooth[0], abs=1e-5)
    assert plain[1] != pytest.approx(smooth[0][1], abs=1e-3)


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_predictions_come_back_in_the_order_of_the_dataset(tmp_path, strategy):
    trainer = build_trainer(str(tmp_path), train_sampling_strategy=strategy, per_device_eval_batch_size=4)
    proteins = encoded_proteins(30, seed=2)
    output = trainer.predict(proteins)
    model = trainer.model.eval()
    with torch.no_grad():
        one_by_one = [model(torch.tensor(np.array([row], dtype=np.int64))).logits[0] for row in proteins["input_ids"]]
    assert np.abs(output.predictions - torch.stack(one_by_one).numpy()).max() < 1e-5
    assert output.label_ids.tolist() == proteins["labels"][:].tolist()


def test_evaluate_gives_the_metrics_of_its_predictions(tmp_path):
    trainer = build_trainer(str(tmp_path), validation=25)
    found = trainer.evaluate()
    output = trainer.predict(encoded_proteins(25, seed=1))
    expected = classification_metrics(output.predictions.argmax(-1), output.label_ids, LABELS)
    for name in ("accuracy", "mcc", "macro_f1"):
        assert found[f"eval_{name}"] == pytest.approx(expected[name])
    loss = functional.cross_entropy(torch.tensor(output.predictions), torch.tensor(output.label_ids))
    assert found["eval_loss"] == pytest.approx(loss.item(), abs=1e-5)


def test_predicting_without_labels_works(tmp_path):
    trainer = build_trainer(str(tmp_path))
    labelled = encoded_proteins(9)
    output = trainer.predict(labelled.remove_columns("labels"))
    assert output.label_ids is None
    assert np.allclose(output.predictions, trainer.predict(labelled).predictions)


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_every_strategy_shows_every_protein_once_an_epoch(tmp_path, strategy):
    result = trained(str(tmp_path), proteins=30, num_train_epochs=2, train_sampling_strategy=strategy)
    epochs = result["batches"][:8], result["batches"][8:]
    seen = [[protein for batch in epoch for protein in batch] for epoch in epochs]
    assert len(set(seen[0])) == 30
    assert sorted(seen[0]) == sorted(seen[1])
    assert (seen[0] == seen[1]) is (strategy == "sequential")


def test_the_last_incomplete_accumulation_of_an_epoch_is_a_step_of_its_own(tmp_path):
    result = trained(
        str(tmp_path), proteins=20, gradient_accumulation_steps=2, num_train_epochs=2, per_device_train_batch_size=4
    )
    assert result["steps"] == 6


def test_training_stops_when_nothing_gets_better_and_ends_with_the_best_checkpoint(tmp_path):
    result = trained(
        str(tmp_path),
        validation=12,
        patience=2,
        num_train_epochs=20,
        learning_rate=0.0,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
    )
    evaluations = [log for log in result["history"] if "eval_mcc" in log]
    assert len(evaluations) == 3  # the first is the best, two more are no better
    assert os.path.basename(result["best"]) == "checkpoint-8"


def test_the_model_at_the_end_is_the_best_one_not_the_last(tmp_path):
    result = trained(
        str(tmp_path),
        validation=20,
        num_train_epochs=6,
        learning_rate=0.03,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        greater_is_better=False,
    )
    losses = [log["eval_loss"] for log in result["history"] if "eval_loss" in log]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert os.path.basename(result["best"]) == f"checkpoint-{8 * (best + 1)}"
    assert_same_weights(os.path.join(tmp_path, "final"), result["best"])


def test_a_trainer_without_arguments_of_ours_still_works(tiny_classifier, tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, max_steps=1, report_to="none", disable_tqdm=True)
    trainer = ProteinTrainer(tiny_classifier(), args, train_dataset=encoded_proteins(8))
    assert trainer.train().training_loss > 0


def test_resuming_where_there_is_nothing_to_resume_says_so(tmp_path):
    with pytest.raises(ValueError, match="no complete checkpoint"):
        build_trainer(str(tmp_path)).train(resume_from_checkpoint=True)
