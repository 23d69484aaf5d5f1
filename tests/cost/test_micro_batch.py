"""A micro-batch that is too large ends a training; one that is too small leaves the device idle."""

import numpy as np
import pytest
import torch

from protbert_classify.cost.devices import ROOM
from protbert_classify.cost.estimate import estimate
from protbert_classify.cost.micro_batch import MOST, fitting_tokens
from protbert_classify.cost.step_memory import step_memory
from tests.conftest import TINY_SHAPE
from tests.cost.allocator import allocated
from tests.cost.test_flops import ESM, classifier

WIDER = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4, "max_position_embeddings": 512}
MIB = 2**20


def fitting(model, free_bytes, longest=256, **options):
    settings = {"half_precision": False, "gradient_checkpointing": False, "fused_attention": False, **options}
    return fitting_tokens(model, longest, free_bytes=free_bytes, **settings)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("fields", [{}, {"freeze_backbone": True, "pooling": "light_attention"}])
def test_what_auto_takes_is_what_estimate_says_fits_and_no_more(fields, half, checkpointing):
    model = classifier({**TINY_SHAPE, **WIDER}, "sdpa", **fields)
    settings = {"half_precision": half, "gradient_checkpointing": checkpointing, "fused_attention": True}
    free = 60 * MIB
    tokens = fitting(model, free, **settings)
    assert 256 < tokens < MOST and tokens % 256 == 0
    steps = [
        estimate(model, np.array([256, 100]), tokens_per_batch=count, flops_per_second=1, **settings).step
        for count in (tokens, tokens + 256)
    ]
    assert steps[0] <= ROOM * free < steps[1]


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
def test_a_real_step_of_so_many_tokens_fills_the_memory_that_was_free(checkpointing, tmp_path):
    free = 150 * MIB
    model = classifier({**TINY_SHAPE, **WIDER}, "sdpa")
    tokens = fitting(model, free, gradient_checkpointing=checkpointing)
    if checkpointing:
        model.activation_checkpointing_enable()
    batch = {"input_ids": torch.randint(5, 25, (tokens // 256, 256)), "labels": torch.zeros(tokens // 256).long()}
    mask = torch.ones(tokens // 256, 256, dtype=torch.long)
    mask[:, -1:] = torch.arange(tokens // 256)[:, None] % 2  # some padding

    def training():
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            model(**batch, attention_mask=mask).loss.backward()
            optimizer.step()
        return optimizer

    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    _, peak = allocated(training, tmp_path)
    assert weights + peak == pytest.approx(ROOM * free, rel=0.05)


def test_half_precision_and_checkpointing_make_room_for_more():
    """The issue: both were left out, and a batch had less than a tenth of what fits."""
    model = classifier({**ESM, **WIDER}, "sdpa")
    plain, half, checkpointed = (
        step_memory(model, 256, half_precision=h, gradient_checkpointing=c, packed=True).activations.peak
        for h, c in ((False, False), (True, False), (True, True))
    )
    assert half < 0.65 * plain and checkpointed < 0.45 * half


def test_tokens_have_bounds():
    model = classifier({**TINY_SHAPE, "max_position_embeddings": 1024}, "sdpa")
    assert fitting(model, 0, longest=120) == 256  # the longest protein, fit or not
    assert fitting(model, 0, longest=257) == 512
    assert fitting(model, 1 << 60, longest=60) == MOST == 32_768
    assert fitting(model, 1 << 60, longest=60, most=2000) == 1792
    assert fitting(model, 1 << 60, longest=600, most=300) == 768


def test_sharded_weights_leave_room_for_more_tokens():
    model = classifier({**TINY_SHAPE, **WIDER, "vocab_size": 100_000}, "sdpa")
    alone, parallel = (fitting(model, 300 * MIB, data_parallel=parallel) for parallel in (False, True))
    sharded = fitting(model, 300 * MIB, shards=8)
    assert parallel < alone < sharded


def test_a_lighter_optimizer_leaves_room_for_more_tokens():
    model = classifier({**TINY_SHAPE, **WIDER}, "sdpa")
    assert fitting(model, 20 * MIB, optimizer_bytes=0) > fitting(model, 20 * MIB)
