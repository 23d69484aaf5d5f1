"""Batches by tokens in training: what they are, that a full memory ends no run, that the numbers stay."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinTrainer
from protbert_classify.errors import OptionError
from protbert_classify.training.memory import MOST, fitting_tokens, saved_bytes_per_token
from protbert_classify.training.training_arguments import ProteinTrainingArguments
from tests.training.child import DEFAULTS
from tests.training.runs import LABELS, ROOT, SHAPE, encoded_proteins, environment

STEPS = {"num_train_epochs": 2, "tokens_per_batch": "400", "max_grad_norm": 1e9, "learning_rate": 1e-3}


def build(folder, proteins=48, **arguments):
    torch.manual_seed(3)
    config = ProteinClassifierConfig(
        {**SHAPE, "vocab_size": 30, "hidden_dropout_prob": 0.0},
        classifier_dropout=0.0,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    return ProteinTrainer(
        ProteinClassifier(config),
        ProteinTrainingArguments(output_dir=str(folder), **{**DEFAULTS, **arguments}),
        train_dataset=encoded_proteins(proteins),
    )


def trained_weights(trainer, room=None):
    """The weights after training on a device with room for so many tokens in a batch."""
    if room is not None:

        def small_device(module, args, given):
            if module.training and given["input_ids"].numel() > room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        trainer.model.register_forward_pre_hook(small_device, with_kwargs=True)
    trainer.train()
    return [parameter.detach().clone() for parameter in trainer.model.parameters()]


def furthest(first, second):
    return max((a - b).abs().max().item() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("packing", ["on", "off"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_batches_that_do_not_fit_are_split_and_the_weights_are_those_of_a_larger_device(
    tmp_path, log, packing, accumulation
):
    options = {**STEPS, "packing": packing, "gradient_accumulation_steps": accumulation}
    large = trained_weights(build(tmp_path / "large", **options))
    assert "out of memory" not in log.text
    small = trained_weights(build(tmp_path / "small", **options), room=150)
    assert "out of memory" in log.text and "computing them in halves" in log.text
    assert furthest(large, small) < 1e-6


def test_out_of_memory_in_the_middle_of_backward_leaves_no_gradient_behind(tmp_path):
    options = {**STEPS, "gradient_accumulation_steps": 2}
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
    """With all proteins in one batch the order of them does not matter."""
    options = {**STEPS, "tokens_per_batch": "100000"}
    padded = trained_weights(build(tmp_path / "padded", packing="off", **options))
    packed = trained_weights(build(tmp_path / "packed", packing="on", **options))
    assert furthest(padded, packed) < 1e-5


@pytest.mark.parametrize("packing", ["on", "off"])
def test_a_run_with_a_budget_resumed_in_the_middle_of_an_epoch_ends_with_the_same_weights(tmp_path, packing):
    options = {
        **STEPS,
        "packing": packing,
        "save_strategy": "steps",
        "save_steps": 5,
        "save_total_limit": 20,
        "num_train_epochs": 3,
    }
    undisturbed = trained_weights(build(tmp_path, **options))
    trainer = build(tmp_path, **options)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert trainer.state.global_step > 10
    assert furthest(undisturbed, [p.detach() for p in trainer.model.parameters()]) == 0


@pytest.mark.parametrize(
    "options, line",
    [
        ({"tokens_per_batch": "400"}, "batches: up to 400 tokens a device, of similar length, padded; 8 proteins"),
        ({"tokens_per_batch": "400", "packing": "on"}, "batches: up to 400 tokens a device, packed into one row"),
        ({}, "batches: 4 proteins a device, of similar length, padded"),
        ({"packing": "on"}, "batches: 4 proteins a device, packed into one row"),
    ],
)
def test_the_log_says_how_batches_are_made(tmp_path, log, options, line):
    build(tmp_path, max_steps=1, **options).train()
    assert line in log.text


def test_a_backbone_that_cannot_be_packed_is_padded_with_one_line(tmp_path, log):
    config = ProteinClassifierConfig(
        {"model_type": "t5", "vocab_size": 30, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        pad_token_id=0,
    )
    arguments = ProteinTrainingArguments(output_dir=str(tmp_path), **{**DEFAULTS, "packing": "on", "max_steps": 1})
    ProteinTrainer(ProteinClassifier(config), arguments, train_dataset=encoded_proteins(12)).train()
    assert log.text.count("batches are padded: a t5 cannot be packed") == 1
    assert "4 proteins a device, of similar length, padded" in log.text


@pytest.mark.parametrize(("options", "autocast"), [({"bf16": True}, torch.bfloat16), ({}, None)])
def test_packing_is_decided_for_the_device_and_the_precision_of_the_training(tmp_path, monkeypatch, options, autocast):
    """Under FSDP the model is elsewhere yet, and its weights are in float32 under autocast."""
    asked = []

    def watched(model, *given, **named):
        asked.append((given, named))
        return enable_packing(model, *given, **named)

    enable_packing = ProteinClassifier.enable_packing
    monkeypatch.setattr(ProteinClassifier, "enable_packing", watched)
    trainer = build(tmp_path, packing="on", **options)
    assert trainer.packed
    assert asked[-1] == ((trainer.args.device, autocast), {"training": True})


@pytest.mark.parametrize("tokens", ["0", "many", "-3", "1.5"])
def test_a_budget_that_is_no_number_is_refused(tmp_path, tokens):
    with pytest.raises(ValueError, match=f"tokens_per_batch='{tokens}': expected a number of tokens"):
        build(tmp_path, tokens_per_batch=tokens)


def test_a_budget_below_the_longest_protein_is_refused(tmp_path):
    with pytest.raises(OptionError, match="tokens_per_batch=30: the longest protein has 6"):
        build(tmp_path, tokens_per_batch="30").train()


def test_a_budget_wants_batches_of_our_own(tmp_path):
    with pytest.raises(OptionError, match="wants train_sampling_strategy=group_by_length"):
        build(tmp_path, tokens_per_batch="400", train_sampling_strategy="random").train()


def test_auto_is_what_the_free_memory_has_room_for(tmp_path, monkeypatch, log):
    model = build(tmp_path).model
    per_token = saved_bytes_per_token(model, 60)
    trained = 12 * sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr("protbert_classify.training.memory.free_memory", lambda device: trained + 1000 * per_token)
    assert fitting_tokens(model, 60) == 512  # 0.7 x 1000 in steps of 256
    monkeypatch.setattr("protbert_classify.training.memory.free_memory", lambda device: 0)
    assert fitting_tokens(model, 120) == 256  # the longest protein, at least
    monkeypatch.setattr("protbert_classify.training.memory.free_memory", lambda device: 1 << 60)
    assert fitting_tokens(model, 60) == MOST
    trainer = build(tmp_path, tokens_per_batch="auto", max_steps=1)
    trainer.train()
    assert trainer.tokens_per_batch == MOST
    assert f"batches: up to {MOST:,} tokens" in log.text


def test_what_a_token_keeps_for_backward_is_counted_once_and_without_the_weights():
    model = torch.nn.Module()
    torch.manual_seed(0)
    config = ProteinClassifierConfig({**SHAPE, "vocab_size": 30, "hidden_dropout_prob": 0.0}, classifier_dropout=0.0)
    model = ProteinClassifier(config)
    hidden, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    per_token = saved_bytes_per_token(model, 100)
    # at least: q, k, v, attention's output, two sums before layer norm and their outputs, and gelu's two sides
    assert 4 * (8 * hidden + 2 * inner) <= per_token <= 4 * (16 * hidden + 4 * inner) + 64
    assert saved_bytes_per_token(model, 100) == pytest.approx(saved_bytes_per_token(model, 120), rel=0.05)


LIMITED = """
import json, resource, sys
from tests.training.test_memory import build
trainer = build(sys.argv[1], proteins=64, tokens_per_batch="3000", num_train_epochs=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), resource.RLIM_INFINITY))
trainer.train()
print(json.dumps(trainer.state.global_step))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="address space is read as Linux gives it")
def test_a_process_that_the_system_gives_no_more_memory_goes_on_in_halves(tmp_path):
    shape = {**SHAPE, "hidden_size": 256, "intermediate_size": 32768, "max_position_embeddings": 512}
    code = f"import tests.training.test_memory as t; t.SHAPE = {shape!r}\n" + LIMITED
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(1200 << 20)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "out of memory" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) >= 1
