"""The trainer of masked-language models: its loss, its evaluation, and how it goes on after a stop."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForMaskedLM

from protbert_classify import MaskedLMTrainer, PretrainingArguments
from protbert_classify.data.masking import MaskingCollator
from protbert_classify.errors import ModelError, OptionError
from protbert_classify.pretraining.metrics import MaskedSums, frequency_loss
from tests.pretraining.encoders import FAMILIES, save_lm
from tests.pretraining.trainers import masked_lm_trainer, proteins
from tests.training.trainers import StopAt


def first_step(trainer):
    trainer.train()
    return next(entry for entry in trainer.state.log_history if "loss" in entry)


def expected_loss(trainer):
    """The loss of all training proteins in the first epoch, by the model's own forward."""
    model, collate = trainer.model.eval(), trainer._padding()
    batch = collate([{"input_ids": ids} for ids in trainer.train_dataset["input_ids"]])
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = model(**batch).logits
    return float(functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100))


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize(
    "batches",
    [
        {"per_device_train_batch_size": 8},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
        {"per_device_train_batch_size": 8, "tokens_per_batch": "96"},
        {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 3, "train_sampling_strategy": "sequential"},
    ],
    ids=["1x8", "4x2", "parts", "uneven"],
)
def test_the_loss_of_a_step_is_the_mean_over_its_masked_residues(tmp_path, kind, batches):
    options = {"dropout": 0.0, "max_steps": 1, "max_grad_norm": 1e9, "learning_rate": 0.0, "count": 8}
    trainer = masked_lm_trainer(tmp_path, kind, **options, **batches)
    found = first_step(trainer)
    assert found["loss"] == pytest.approx(expected_loss(trainer), abs=1e-5)
    whole = masked_lm_trainer(tmp_path / "whole", kind, **options, per_device_train_batch_size=8, tokens_per_batch=None)
    assert found["grad_norm"] == pytest.approx(first_step(whole)["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("kind", ["bert", "esm"])
@pytest.mark.parametrize("strategy", ["group_by_length", "random"])
@pytest.mark.parametrize("step", [6, 9])  # the end of an epoch, the middle of the next
def test_a_resumed_run_has_the_weights_of_an_undisturbed_one(tmp_path, kind, strategy, step):
    options = {"train_sampling_strategy": strategy, "validation": 6}
    undisturbed = masked_lm_trainer(tmp_path / "undisturbed", kind, **options)
    undisturbed.train()
    stopped = masked_lm_trainer(tmp_path / "stopped", kind, **options)
    stopped.add_callback(StopAt(step))
    stopped.train()
    assert stopped.state.global_step == step
    resumed = masked_lm_trainer(tmp_path / "stopped", kind, **options, resume=True)
    resumed.train()
    assert resumed.state.global_step == 12
    before, after = (
        [entry for entry in trainer.state.log_history if "loss" in entry] for trainer in (undisturbed, resumed)
    )
    assert [entry["loss"] for entry in after] == [entry["loss"] for entry in before]
    expected = undisturbed.model.state_dict()
    for name, weight in resumed.model.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_masks_change_from_epoch_to_epoch_and_come_back_with_the_seed(tmp_path):
    losses = []
    for seed in (1, 1, 2):
        trainer = masked_lm_trainer(
            tmp_path / f"{len(losses)}",
            dropout=0.0,
            count=8,
            per_device_train_batch_size=8,
            learning_rate=0.0,
            seed=seed,
        )
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == losses[1] and losses[0] != losses[2]
    assert losses[0][0] != losses[0][1]  # the weights stay, the masks do not


def test_a_run_with_other_masks_is_not_resumed(tmp_path):
    masked_lm_trainer(tmp_path).train()
    for options, words in (({"mask_share": 0.3}, "mask_share was 0.15"), ({"max_length": 40}, "max_length was 48")):
        with pytest.raises(OptionError, match=f"resume: {words} when the run in .* began and is"):
            masked_lm_trainer(tmp_path, resume=True, **options).train()


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_evaluation_gives_loss_perplexity_and_accuracy_of_the_same_masks_each_time(tmp_path, kind):
    trainer = masked_lm_trainer(tmp_path, kind, validation=9)
    found = trainer.evaluate()
    batch = trainer._padding()([{"input_ids": ids} for ids in trainer.eval_dataset["input_ids"]])
    labels = batch.pop("labels")
    asked = labels != -100
    with torch.no_grad():
        scores = trainer.model.eval()(**batch).logits[asked]
    loss = float(functional.cross_entropy(scores, labels[asked]))
    assert found["eval_loss"] == pytest.approx(loss, abs=1e-5)
    assert found["eval_perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found["eval_masked_accuracy"] == pytest.approx(float((scores.argmax(-1) == labels[asked]).float().mean()))
    again = trainer.evaluate()
    assert again["eval_loss"] == found["eval_loss"]
    trained = np.bincount(np.concatenate(trainer.train_dataset["input_ids"]), minlength=scores.shape[1])
    counts = np.bincount(labels[asked], minlength=scores.shape[1])
    assert trainer.frequency_loss() == pytest.approx(frequency_loss(counts, trained))


def test_the_loss_of_frequencies_is_their_cross_entropy():
    assert frequency_loss(np.array([2, 0, 2]), np.array([9, 50, 29])) == pytest.approx(-math.log(0.25 * 0.75) / 2)
    sums = MaskedSums(3.0, 1, np.array([1, 1])) + MaskedSums(1.0, 1, np.array([0, 2]))
    assert sums.metrics() == {"loss": 1.0, "perplexity": math.e, "masked_accuracy": 0.5}
    assert MaskedSums(float("inf"), 0, np.array([1])).metrics()["perplexity"] == float("inf")


@pytest.mark.parametrize(("metric", "better"), [("loss", False), ("perplexity", False), ("masked_accuracy", True)])
def test_the_best_checkpoint_is_that_of_the_metric(tmp_path, metric, better):
    trainer = masked_lm_trainer(tmp_path, validation=9, metric_for_best_model=metric, num_train_epochs=3)
    trainer.train()
    values = [entry[f"eval_{metric}"] for entry in trainer.state.log_history if f"eval_{metric}" in entry]
    assert len(values) == 3
    assert trainer.state.best_metric == (max if better else min)(values)
    assert trainer.evaluate()[f"eval_{metric}"] == pytest.approx(trainer.state.best_metric, abs=1e-6)


def test_a_metric_of_classifiers_is_refused(tmp_path):
    with pytest.raises(OptionError, match="metric_for_best_model='mcc': expected one of loss, perplexity, masked_acc"):
        masked_lm_trainer(tmp_path, validation=4, metric_for_best_model="mcc")


def test_every_weight_but_those_of_no_use_here_is_trained(tmp_path):
    for kind in FAMILIES:
        trainer = masked_lm_trainer(tmp_path / kind, kind)
        before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
        trainer.train()
        same = {name for name, weight in trainer.model.named_parameters() if torch.equal(weight, before[name])}
        assert all("contact_head" in name or "key.bias" in name for name in same), (kind, same)  # no gradient in theory


def test_checkpoints_have_the_names_of_the_modules(tmp_path):
    for kind in FAMILIES:
        trainer = masked_lm_trainer(tmp_path / kind, kind)
        trainer.train()
        saved = load_file(tmp_path / kind / "run" / "checkpoint-12" / "model.safetensors")
        state = trainer.model.state_dict()
        assert set(saved) <= set(state) and set(state) - set(saved) <= set(trainer.model.all_tied_weights_keys)
        assert all(torch.equal(weight, state[name]) for name, weight in saved.items())


def test_the_tokenizer_is_that_of_the_models_folder(tmp_path):
    folder = save_lm("esm", tmp_path / "esm")
    model = AutoModelForMaskedLM.from_pretrained(folder)
    trainer = MaskedLMTrainer(model, PretrainingArguments(str(tmp_path), use_cpu=True), train_dataset=proteins(4))
    assert isinstance(trainer.data_collator, MaskingCollator) and trainer.data_collator.mask == 32
    model.config.name_or_path = ""
    with pytest.raises(ModelError, match="no tokenizer is known for this model.*processing_class="):
        MaskedLMTrainer(model, PretrainingArguments(str(tmp_path), use_cpu=True), train_dataset=proteins(4))


def test_memory_is_estimated_of_the_encoder(tmp_path):
    trainer = masked_lm_trainer(tmp_path)
    sized = trainer._sized_model()
    assert sized.device.type == "meta" and sized.config.backbone_config.hidden_size == 16
    tokens = trainer._fitting_tokens()
    assert tokens % 256 == 0 and 256 <= tokens <= 32_768


def test_what_cannot_be_is_refused_when_the_arguments_are_made(tmp_path):
    for options, words in (
        ({"mask_share": 0.0}, "mask_share=0.0: expected more than 0"),
        ({"push_to_hub": True}, "push_to_hub: not for a pretraining"),
    ):
        with pytest.raises(ValueError, match=words):
            PretrainingArguments(str(tmp_path), use_cpu=True, **options)
    with pytest.raises(OptionError, match="max_length=200: the backbone has 128 positions"):
        masked_lm_trainer(tmp_path, max_length=200)
