"""Measured on fake tensors; the expectation is what torch's allocator gives out for real ones."""

import logging

import pytest
import torch
from torch import nn

from protbert_classify.cost.activation_memory import activation_memory
from protbert_classify.model.pooling import POOLINGS
from tests.conftest import TINY_SHAPE
from tests.cost.allocator import allocated
from tests.cost.test_flops import ESM, T5, classifier

PROTEINS, LENGTH = 12, 256
# wide and deep enough for activations to outweigh what the loss and the masks need
WIDER = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3, "max_position_embeddings": 512}
BERT = {**TINY_SHAPE, **WIDER}
DROPOUT = {**BERT, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
WIDE_ESM = {**ESM, **WIDER}
ESM2 = {**WIDE_ESM, "token_dropout": True}
ESMC = {**BERT, "model_type": "esmc", "vocab_size": 64, "pad_token_id": 1}


def measure(model, half, checkpointing, length=LENGTH, fused_attention=False, packed=False):
    return activation_memory(
        model,
        length,
        half_precision=half,
        gradient_checkpointing=checkpointing,
        fused_attention=fused_attention,
        packed=packed,
    )


def real_step(model, half, checkpointing, folder):
    """Bytes that a real training step keeps after forward, and at its fullest moment; it adds to gradients."""
    if checkpointing:
        model.activation_checkpointing_enable()
    mask = torch.ones(PROTEINS, LENGTH, dtype=torch.long)
    mask[1:, -1] = 0  # hardly any padding: but each layer keeps the mask
    batch = {"input_ids": torch.randint(5, 25, (PROTEINS, LENGTH)), "attention_mask": mask}

    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return model(**batch).logits.sum()

    forward().backward()
    kept, _ = allocated(forward, folder)
    _, peak = allocated(lambda: forward().backward(), folder)
    return kept, peak


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [BERT, DROPOUT, WIDE_ESM], ids=["bert", "dropout", "esm"])
def test_a_step_takes_what_was_measured_without_running_it(shape, half, checkpointing, tmp_path):
    model = classifier(shape, "sdpa")
    measured = measure(model, half, checkpointing)
    if half:
        model.enable_packing()  # its attention: what training takes on a CPU in bfloat16
    kept, peak = real_step(model, half, checkpointing, tmp_path)
    tokens = PROTEINS * LENGTH
    copies = 0 if checkpointing else measured.weight_copies  # a checkpointed layer copies its weights again
    assert measured.kept * tokens + copies == pytest.approx(kept, rel=0.02)
    assert measured.peak * tokens + copies + measured.transient == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize(
    ("shape", "attention", "fields"),
    [
        (BERT, "sdpa", {"pooling": "light_attention"}),
        (BERT, "sdpa", {"pooling": "light_attention", "light_attention_layers": 2}),
        (BERT, "sdpa", {"pooling": "light_attention", "freeze_backbone": True}),
        (BERT, "sdpa", {"freeze_layers": 2}),
        (BERT, "sdpa", {"adapter": {"base_model": "", "rank": 4}}),
        (BERT, "sdpa", {"adapter": {"base_model": "", "rank": 4, "dropout": 0.1}}),
        (WIDE_ESM, "sdpa", {"adapter": {"base_model": "", "rank": 4, "kind": "dora"}}),
        (BERT, "eager", {}),
        (T5, "sdpa", {}),
        (ESM2, "sdpa", {}),
        (ESMC, "sdpa", {}),
    ],
    ids=[
        "light attention",
        "light attention with layers",
        "frozen",
        "two layers frozen",
        "lora",
        "lora with dropout",
        "dora",
        "eager",
        "t5",
        "esm2",
        "esmc",
    ],
)
def test_each_kind_of_model_is_measured_as_it_is(shape, attention, fields, tmp_path):
    model = classifier(shape, attention, **fields)
    measured = measure(model, False, False)
    kept, peak = real_step(model, False, False, tmp_path)
    assert measured.kept * PROTEINS * LENGTH == pytest.approx(kept, rel=0.02)
    assert measured.peak * PROTEINS * LENGTH + measured.transient == pytest.approx(peak, rel=0.05)


def test_forward_alone_takes_what_was_measured(tmp_path):
    model = classifier(BERT, "sdpa")
    ids = torch.randint(5, 25, (PROTEINS, LENGTH))
    mask = torch.ones(PROTEINS, LENGTH, dtype=torch.long)
    mask[1:, -1] = 0
    with torch.no_grad():
        _, peak = allocated(lambda: model(input_ids=ids, attention_mask=mask).logits, tmp_path)
    assert measure(model, False, False).inference * PROTEINS * LENGTH == pytest.approx(peak, rel=0.05)


def test_the_copies_of_the_weights_are_those_of_the_linear_layers_below_the_head():
    layer = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32)
    model = classifier(TINY_SHAPE, "sdpa")
    bytes_of_all = 2 * 2 * layer  # two layers, two bytes
    assert measure(model, True, False, 64, True).weight_copies == pytest.approx(bytes_of_all, rel=0.02)
    assert measure(model, False, False, 64, True).weight_copies == 0
    frozen = classifier(TINY_SHAPE, "sdpa", freeze_backbone=True)
    assert measure(frozen, True, False, 64, True).weight_copies < 1024


def test_a_gpu_keeps_no_attention_weights_and_one_byte_of_dropout():
    """On an H100 these estimates were within 2% of the real peak: benchmarks/README.md."""
    plain, dropout = classifier(BERT, "sdpa"), classifier(DROPOUT, "sdpa")
    on_gpu = measure(dropout, False, False, fused_attention=True).kept - measure(plain, False, False).kept
    dropouts = 1 + 2 * BERT["num_hidden_layers"]  # after the embeddings, and twice in each layer
    assert on_gpu == pytest.approx(dropouts * BERT["hidden_size"] * 1, rel=0.01)
    on_cpu = measure(dropout, False, False).kept - measure(plain, False, False).kept
    assert on_cpu > 4 * on_gpu


def test_packed_proteins_need_no_mask():
    """Each layer keeps a float32 mask of (B, 1, T, T)."""
    model = classifier(BERT, "sdpa")
    padded, packed = (measure(model, False, False, fused_attention=True, packed=way) for way in (False, True))
    assert padded.kept - packed.kept == pytest.approx(BERT["num_hidden_layers"] * 4 * LENGTH, rel=0.1)


def test_the_model_stays_as_it_is():
    model = classifier(BERT, "sdpa").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure(model, True, True, fused_attention=True)
    assert not model.training and model.config._attn_implementation == "sdpa"
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    assert all(parameter.grad is None and parameter.device.type == "cpu" for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.fixture
def register():
    """Register poolings for one test."""
    names = []

    def add(name, pooling):
        names.append(name)
        return POOLINGS.register(name)(pooling)

    yield add
    for name in names:
        del POOLINGS._parts[name]


class GatedPooling(nn.Module):
    """A user's: a gate for each residue and feature, then the sum."""

    def __init__(self, config):
        super().__init__()
        self.gate = nn.Linear(config.hidden_size, config.hidden_size)
        self.output_size = config.hidden_size

    def forward(self, output, mask):
        hidden = output.last_hidden_state
        return (hidden * self.gate(hidden).sigmoid() * mask[..., None]).sum(1)


class LoopedPooling(GatedPooling):
    """The same a protein at a time, by its length: a value, which fake tensors do not have."""

    def forward(self, output, mask):
        states = zip(output.last_hidden_state, mask.sum(1).tolist(), strict=True)
        return torch.stack([(h[:n] * self.gate(h[:n]).sigmoid()).sum(0) for h, n in states])


def test_a_pooling_of_ones_own_is_measured_too(register, tmp_path, caplog):
    register("gated", GatedPooling)
    model = classifier(BERT, "sdpa", pooling="gated", freeze_backbone=True)
    kept, _ = real_step(model, False, False, tmp_path)
    assert measure(model, False, False).kept * PROTEINS * LENGTH == pytest.approx(kept, rel=0.02)
    assert not caplog.records


def test_a_pooling_that_reads_values_is_left_out_with_a_warning(register, log):
    register("looped", LoopedPooling)
    log.set_level(logging.WARNING)
    found = measure(classifier(BERT, "sdpa", pooling="looped"), False, False)
    assert found.kept == pytest.approx(measure(classifier(BERT, "sdpa"), False, False).kept, rel=0.01)
    assert "pooling 'looped' looks at the values of its input" in log.text


def test_many_tasks_and_kinds_of_labels_are_measured_without_labels():
    task = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}
    several = classifier(BERT, "sdpa", problem_type="multi_label_classification", auxiliary_tasks=[task])
    single = classifier(BERT, "sdpa")
    assert measure(several, False, False).kept == pytest.approx(measure(single, False, False).kept, rel=0.01)
