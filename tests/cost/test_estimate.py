"""An estimate that is off costs a GPU that is too small, or one that is too dear."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from protbert_classify.cost.estimate import DEEPLOC_PERCENTILES, deeploc_lengths, encoded_lengths, estimate
from protbert_classify.cost.planned_model import planned_model
from protbert_classify.model.configuration import PROTBERT_SHAPE
from tests.conftest import TINY_SHAPE


def planned(shape, max_length=128, **options):
    return planned_model(backbone_config=json.dumps(shape), max_length=max_length, **options)


def cost(model, lengths=(64, 64), tokens_per_batch=256, **options):
    return estimate(model, np.array(lengths), tokens_per_batch=tokens_per_batch, flops_per_second=1e9, **options)


def test_the_parameters_of_protbert_are_counted_after_the_position_table_is_cut():
    embeddings = (30 + 512 + 2) * 1024 + 2 * 1024  # vocabulary, positions, two segments, norm
    layer = 4 * (1024**2 + 1024) + (1024 * 4096 + 4096) + (4096 * 1024 + 1024) + 2 * 2 * 1024
    head = 1024 * 10 + 10
    whole = cost(planned(PROTBERT_SHAPE, 512))
    assert whole.parameters == whole.trained_parameters == embeddings + 30 * layer + head == 378_456_074
    assert cost(planned(PROTBERT_SHAPE, 1024)).parameters == whole.parameters + 512 * 1024
    frozen = cost(planned(PROTBERT_SHAPE, 512, tuning="frozen"))
    assert (frozen.parameters, frozen.trained_parameters) == (378_456_074, 10_250)
    adapted = cost(planned(PROTBERT_SHAPE, 512, tuning="lora", adapter={"rank": 8}))
    adapter = 30 * 8 * (4 * 2 * 1024 + 2 * (1024 + 4096))  # four layers of 1024 x 1024, two of 1024 x 4096
    assert (adapted.parameters, adapted.trained_parameters) == (378_456_074 + adapter, 10_250 + adapter)


def test_bytes_and_seconds_follow_from_the_counts():
    model = planned(TINY_SHAPE)
    whole = cost(model)
    assert (whole.weights, whole.gradients, whole.optimizer) == tuple(n * whole.parameters for n in (4, 4, 8))
    assert whole.weight_copies == 0
    assert whole.step == whole.weights + whole.gradients + whole.optimizer + whole.activations + whole.working
    assert whole.seconds_per_epoch == whole.flops_per_epoch / 1e9
    assert cost(model, tokens_per_batch=512).activations == pytest.approx(2 * whole.activations, abs=2)
    linear = 2 * (4 * 33 * 32 + 33 * 64 + 65 * 32)  # with biases; the head computes in float32
    assert cost(model, half_precision=True).weight_copies == pytest.approx(2 * linear, rel=0.02)


def test_checkpointing_keeps_a_hidden_state_a_layer_and_computes_one_layer_at_a_time():
    shape = {**TINY_SHAPE, "num_hidden_layers": 12}
    deep, deeper = (planned({**shape, "num_hidden_layers": layers}) for layers in (12, 24))
    plain, checkpointed = cost(deep), cost(deep, gradient_checkpointing=True)
    assert checkpointed.activations < plain.activations / 10
    more = cost(deeper, gradient_checkpointing=True).activations - checkpointed.activations
    assert more == 12 * 256 * 32 * 4  # tokens, H, float32
    assert plain.activations / 12 < checkpointed.working < 2 * plain.activations / 12
    assert checkpointed.inference == plain.inference


def test_checkpointing_computes_dropout_again_as_it_was_computed():
    shape = {**TINY_SHAPE, "num_hidden_layers": 12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    deep, deeper = (planned({**shape, "num_hidden_layers": layers}) for layers in (12, 24))
    plain, checkpointed = cost(deep), cost(deep, gradient_checkpointing=True)
    assert checkpointed.activations < plain.activations / 10
    more = cost(deeper, gradient_checkpointing=True).activations - checkpointed.activations
    assert more == 12 * 256 * 32 * 4  # as without dropout: a hidden state, no mask
    without = cost(planned({**TINY_SHAPE, "num_hidden_layers": 12}), gradient_checkpointing=True)
    assert checkpointed.working > without.working
    assert cost(deep, gradient_checkpointing=True, fused_attention=False).activations > 0  # as on a CPU


def test_a_frozen_backbone_keeps_next_to_nothing():
    frozen = cost(planned(TINY_SHAPE, tuning="frozen"))
    assert frozen.activations < cost(planned(TINY_SHAPE)).activations / 100
    assert frozen.working > 256 * 64 * 4  # but one layer of hidden states at a time
    assert frozen.inference - frozen.weights == pytest.approx(frozen.activations + frozen.working, rel=0.01)


def test_deeplocs_lengths_have_its_percentiles(deeploc_sample):
    lengths = deeploc_lengths()
    assert (len(lengths), lengths.min(), lengths.max()) == (11_090, 42, 13_089)
    assert np.percentile(lengths, np.arange(0, 100, 5)).round() == pytest.approx(DEEPLOC_PERCENTILES[:-1], abs=1)

    from protbert_classify.data.loading import read_proteins

    real = np.array(read_proteins(deeploc_sample)["train"]["sequence_length"][:])
    assert tuple(np.percentile(real, np.arange(0, 101, 5)).round()) == DEEPLOC_PERCENTILES
    model = planned(TINY_SHAPE)
    ours, theirs = (encoded_lengths(each, model, 512) for each in (lengths, real))
    assert ours.max() == 512 and ours.mean() == pytest.approx(theirs.mean(), rel=0.005)


STEP = """\
import json, sys, psutil, torch
from protbert_classify import ProteinClassifier, ProteinClassifierConfig
torch.set_num_threads(1)
shape, proteins, length, checkpointing, half = json.loads(sys.argv[1])

def steps(shape, proteins, length):
    model = ProteinClassifier(ProteinClassifierConfig(shape, num_labels=10)).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):  # the moments are there from the second on
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            ids = torch.randint(5, 25, (proteins, length))
            loss = model(input_ids=ids, labels=torch.zeros(proteins, dtype=torch.long)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

steps({**shape, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}, 2, 8)  # libraries are loaded
before = psutil.Process().memory_info().rss
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # forget the peak so far
steps(shape, proteins, length)
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
print(peak - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize(("hidden", "proteins", "length"), [(256, 8, 256), (640, 2, 128)])
def test_a_real_step_takes_the_memory_that_was_estimated(hidden, proteins, length, checkpointing, half):
    shape = {**TINY_SHAPE, "num_hidden_layers": 6, "max_position_embeddings": length}
    shape.update(hidden_size=hidden, num_attention_heads=hidden // 64, intermediate_size=4 * hidden)
    expected = cost(
        planned(shape, length),
        [length],
        proteins * length,
        gradient_checkpointing=checkpointing,
        half_precision=half,
        packed=True,  # as there is no padding
    ).step
    # every tensor in pages of its own, given back when it is gone
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    arguments = json.dumps([shape, proteins, length, checkpointing, half])
    child = subprocess.run([sys.executable, "-c", STEP, arguments], env=environment, capture_output=True, check=True)
    # measured when written: 1.02 to 1.17; here the gradients are not there yet at the fullest moment
    assert 0.97 < expected / int(child.stdout) < 1.25
