"""Steps: what they learn does not depend on the memory of a device, and every known label weighs the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinTrainer
from protbert_classify.data.collators import PaddingCollator
from protbert_classify.model.losses import model_loss
from protbert_classify.training.training_arguments import ProteinTrainingArguments
from protbert_classify.training.training_step import known_labels
from tests.training.child import DEFAULTS
from tests.training.runs import LABELS, ROOT, SHAPE, encoded_proteins, environment

STEPS = {"num_train_epochs": 2, "per_device_train_batch_size": 12, "max_grad_norm": 1e9, "learning_rate": 1e-3}
MEMBRANE = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"], "weight": 0.5}
NAN = float("nan")


def build(folder, proteins=48, dataset=None, fields=None, **arguments):
    torch.manual_seed(3)
    config = ProteinClassifierConfig(
        {**SHAPE, "vocab_size": 30, "hidden_dropout_prob": 0.0},
        classifier_dropout=0.0,
        labels=LABELS,
        **(fields or {}),
    )
    return ProteinTrainer(
        ProteinClassifier(config),
        ProteinTrainingArguments(output_dir=str(folder), **{**DEFAULTS, **arguments}),
        train_dataset=encoded_proteins(proteins) if dataset is None else dataset,
    )


def trained_weights(trainer, room=None):
    """The weights after training on a device with room for so many tokens in a forward pass."""
    if room is not None:

        def small_device(module, args, given):
            if module.training and given["input_ids"].numel() > room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        trainer.model.register_forward_pre_hook(small_device, with_kwargs=True)
    trainer.train()
    return [parameter.detach().clone() for parameter in trainer.model.parameters()]


def furthest(first, second):
    return max((a - b).abs().max().item() for a, b in zip(first, second, strict=True))


def passes(trainer):
    """Tokens of each forward pass of a training, and how many steps it took."""
    tokens = []
    trainer.model.register_forward_pre_hook(
        lambda module, args, given: tokens.append(given["input_ids"].numel()), with_kwargs=True
    )
    trainer.train()
    return tokens, trainer.state.global_step


def test_a_process_with_a_protein_less_computes_as_many_parts_and_learns_the_same(tmp_path, monkeypatch):
    """Under FSDP, all processes gather the weights for each part."""
    trainer = build(tmp_path, packing="off", tokens_per_batch="64", **STEPS)
    trainer.tokens_per_batch = 64
    batch = next(iter(trainer.get_train_dataloader()))
    alone = trainer._parts(batch)
    monkeypatch.setattr(trainer, "is_fsdp_enabled", True)
    monkeypatch.setattr(type(trainer.args), "world_size", 2)
    proteins = len(batch["labels"])
    monkeypatch.setattr(trainer.accelerator, "gather", lambda count: torch.tensor([proteins + 2, int(count)]))
    parts = trainer._parts(batch)
    assert len(alone) <= proteins and len(parts) == proteins + 2
    total = trainer._count_labels(batch)
    losses = [trainer.compute_loss(trainer.model.eval(), dict(part), num_items_in_batch=total) for part in parts]
    assert losses[-1] == losses[-2] == 0
    expected = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=total)
    torch.testing.assert_close(torch.stack(losses).sum(), expected)


@pytest.mark.parametrize("packing", ["on", "off"])
@pytest.mark.parametrize("tokens", ["130", "400", "auto"])
def test_the_tokens_of_a_pass_change_neither_the_steps_nor_what_they_learn(tmp_path, packing, tokens):
    whole = build(tmp_path / "whole", packing=packing, tokens_per_batch=None, **STEPS)
    expected = trained_weights(whole)
    parts = build(tmp_path / "parts", packing=packing, tokens_per_batch=tokens, **STEPS)
    assert furthest(expected, trained_weights(parts)) < 1e-6
    assert parts.state.global_step == whole.state.global_step == 8
    losses = [[log["loss"] for log in trainer.state.log_history if "loss" in log] for trainer in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_no_pass_has_more_tokens_than_asked_for_however_many_proteins_a_step_has(tmp_path):
    tokens, steps = passes(build(tmp_path, tokens_per_batch="200", **{**STEPS, "per_device_train_batch_size": 48}))
    assert steps == 2
    assert max(tokens) <= 200
    assert len(tokens) > 10


def test_frozen_backbones_take_as_many_steps_with_a_budget_as_without(tmp_path):
    fields = {"freeze_backbone": True}
    options = {**STEPS, "per_device_train_batch_size": 4, "tokens_per_batch": "100000"}
    trainer = build(tmp_path, fields=fields, **options)
    trainer.train()
    assert trainer.state.global_step == 2 * 48 // 4


@pytest.mark.parametrize("packing", ["on", "off"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_passes_that_do_not_fit_are_split_and_the_weights_are_those_of_a_larger_device(
    tmp_path, log, packing, accumulation
):
    options = {**STEPS, "packing": packing, "gradient_accumulation_steps": accumulation, "tokens_per_batch": "400"}
    large = trained_weights(build(tmp_path / "large", **options))
    assert "out of memory" not in log.text
    small = trained_weights(build(tmp_path / "small", **options), room=150)
    assert "out of memory" in log.text and "computing them in halves" in log.text
    assert furthest(large, small) < 1e-6


def test_out_of_memory_in_the_middle_of_backward_leaves_no_gradient_behind(tmp_path):
    options = {**STEPS, "gradient_accumulation_steps": 2, "tokens_per_batch": "400"}
    large = trained_weights(build(tmp_path / "large", **options))
    trainer = build(tmp_path / "small", **options)
    backwards = []

    def full(gradient):  # the head already has its gradient when the embeddings' turn comes
        backwards.append(1)
        if len(backwards) in (2, 5):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    trainer.model.backbone.embeddings.word_embeddings.weight.register_hook(full)
    assert furthest(large, trained_weights(trainer)) < 1e-6


def test_a_protein_that_does_not_fit_alone_ends_the_run_with_the_devices_own_error(tmp_path):
    with pytest.raises(torch.OutOfMemoryError):
        trained_weights(build(tmp_path, **STEPS), room=10)


def test_packed_training_takes_the_steps_that_padded_training_takes(tmp_path):
    padded = trained_weights(build(tmp_path / "padded", packing="off", **STEPS))
    packed = trained_weights(build(tmp_path / "packed", packing="on", **STEPS))
    assert furthest(padded, packed) < 1e-5


@pytest.mark.parametrize("packing", ["on", "off"])
def test_a_run_in_parts_resumed_in_the_middle_of_an_epoch_ends_with_the_same_weights(tmp_path, packing):
    options = {
        **STEPS,
        "tokens_per_batch": "200",
        "packing": packing,
        "save_strategy": "steps",
        "save_steps": 3,
        "save_total_limit": 20,
        "num_train_epochs": 3,
    }
    undisturbed = trained_weights(build(tmp_path, **options))
    trainer = build(tmp_path, **options)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert trainer.state.global_step == 12
    assert furthest(undisturbed, [p.detach() for p in trainer.model.parameters()]) == 0


@pytest.mark.parametrize(
    "options, line",
    [
        ({"tokens_per_batch": "400"}, "4 proteins a device, of similar length, padded, computed in parts of up to 400"),
        ({"tokens_per_batch": None, "packing": "on"}, "4 proteins a device, of similar length, packed into one row"),
        ({"train_sampling_strategy": "random"}, "4 proteins a device, padded, computed in parts of up to"),
    ],
)
def test_the_log_says_how_batches_are_made(tmp_path, log, options, line):
    build(tmp_path, max_steps=1, **options).train()
    assert f"batches: {line}" in log.text


def test_a_backbone_that_cannot_be_packed_is_padded_with_one_line(tmp_path, log):
    config = ProteinClassifierConfig(
        {"model_type": "t5", "vocab_size": 30, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
        labels=LABELS,
        pad_token_id=0,
    )
    arguments = ProteinTrainingArguments(output_dir=str(tmp_path), **{**DEFAULTS, "packing": "on", "max_steps": 1})
    ProteinTrainer(ProteinClassifier(config), arguments, train_dataset=encoded_proteins(12)).train()
    assert log.text.count("batches are padded: a t5 cannot be packed") == 1
    assert "4 proteins a device, of similar length, padded" in log.text


@pytest.mark.parametrize("tokens", ["0", "many", "-3", "1.5"])
def test_tokens_that_are_no_number_are_refused(tmp_path, tokens):
    with pytest.raises(ValueError, match=f"tokens_per_batch='{tokens}': expected a number of tokens"):
        build(tmp_path, tokens_per_batch=tokens)


def with_membrane(count, known):
    """Proteins with an auxiliary label, known for every third only where `known` says so."""
    proteins = encoded_proteins(count)
    labels = [[float(index % 2)] if known(index) else [NAN] for index in range(count)]
    return proteins.add_column("auxiliary_labels", labels).with_format("numpy")


def expected_step(trainer, proteins):
    """Loss and gradient norm of all proteins at once, by the definition."""
    model = trainer.model.train()
    batch = PaddingCollator(0)([proteins[index] for index in range(len(proteins))])
    output = model(batch["input_ids"], batch["attention_mask"])
    auxiliary = batch.get("auxiliary_labels")
    loss = model_loss(output.logits, batch["labels"], model.config, output.auxiliary_logits, auxiliary)
    loss.backward()
    gradients = [parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]
    return loss.item(), torch.stack(gradients).norm().item()


@pytest.mark.parametrize(
    "batch_size, accumulation, tokens", [(12, 1, None), (4, 3, None), (12, 1, "100"), (6, 2, "70")]
)
def test_a_masked_auxiliary_label_weighs_the_same_in_every_way_to_cut_a_step(
    tmp_path, batch_size, accumulation, tokens
):
    proteins = with_membrane(12, lambda index: index % 3 == 0)
    fields = {"auxiliary_tasks": [MEMBRANE]}
    expected = expected_step(build(tmp_path / "expected", dataset=proteins, fields=fields), proteins)
    trainer = build(
        tmp_path / "run",
        dataset=proteins,
        fields=fields,
        max_steps=1,
        max_grad_norm=1e9,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        tokens_per_batch=tokens,
    )
    trainer.train()
    log = trainer.state.log_history[0]
    assert (log["loss"], log["grad_norm"]) == pytest.approx(expected, abs=1e-5)


def test_the_known_labels_of_a_batch_are_counted_for_each_task():
    config = ProteinClassifierConfig({**SHAPE, "vocab_size": 30}, labels=LABELS, auxiliary_tasks=[MEMBRANE])
    batch = {"labels": torch.tensor([0, -100, 2]), "auxiliary_labels": torch.tensor([[NAN], [1.0], [NAN]])}
    assert known_labels(batch, config).tolist() == [2, 1]
    assert known_labels({"labels": torch.tensor([0, 1])}, config).tolist() == [2, 0]


def test_a_frozen_head_moves_where_it_has_labels_and_not_where_all_are_unknown(tmp_path):
    fields = {"auxiliary_tasks": [MEMBRANE]}
    for known in (True, False):
        proteins = with_membrane(12, lambda index, known=known: known)
        trainer = build(tmp_path / str(known), dataset=proteins, fields=fields, weight_decay=0.0)
        before = trainer.model.auxiliary_heads[0][1].weight.detach().clone()
        trainer.train()
        assert torch.equal(before, trainer.model.auxiliary_heads[0][1].weight) is not known


LIMITED = """
import json, resource, sys
from tests.training.test_training_step import build
trainer = build(sys.argv[1], proteins=64, tokens_per_batch="3000", per_device_train_batch_size=64, num_train_epochs=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), resource.RLIM_INFINITY))
trainer.train()
print(json.dumps(trainer.state.global_step))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="address space is read as Linux gives it")
def test_a_process_that_the_system_gives_no_more_memory_goes_on_in_halves(tmp_path):
    shape = {**SHAPE, "hidden_size": 256, "intermediate_size": 32768, "max_position_embeddings": 512}
    code = f"import tests.training.test_training_step as t; t.SHAPE = {shape!r}\n" + LIMITED
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(1000 << 20)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "out of memory" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) >= 1
