"""An estimate that is off costs a GPU that is too small, or one that is too dear."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from protbert_classify.errors import ModelError, OptionError
from protbert_classify.model.configuration import PROTBERT_SHAPE
from protbert_classify.training.arguments import ModelArguments
from protbert_classify.training.estimate import (
    DEEPLOC_PERCENTILES,
    deeploc_lengths,
    encoded_lengths,
    estimate,
    planned_model,
)
from protbert_classify.training.weighing import kept_bytes, measure
from tests.conftest import TINY_SHAPE
from tests.model.test_flops import ESM, T5, classifier


def planned(shape, max_length=128, labels=10, pooling=None, **fields):
    return planned_model(ModelArguments(backbone_config=json.dumps(shape), **fields), max_length, labels, pooling)


def cost(model, lengths=(64, 64), tokens_per_batch=256, **options):
    return estimate(model, np.array(lengths), tokens_per_batch=tokens_per_batch, flops_per_second=1e9, **options)


def really_kept(model, proteins, length, half=False):
    """Bytes a token that a forward of real tensors keeps for backward."""
    totals = []
    for count in (proteins, 2 * proteins):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half), kept_bytes(model) as kept:
            batch = torch.randint(5, 25, (count, length))
            model(input_ids=batch, labels=torch.zeros(count, dtype=torch.long))
        totals.append(kept.total)
    return (totals[1] - totals[0]) / (proteins * length)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("shape", "pooling", "fields"),
    [
        (TINY_SHAPE, "mean", {}),
        (TINY_SHAPE, "pooler", {}),
        (TINY_SHAPE, "light_attention", {}),
        (TINY_SHAPE, "light_attention", {"freeze_backbone": True}),
        (TINY_SHAPE, "mean", {"freeze_layers": 1}),
        (ESM, "mean", {}),
    ],
)
def test_fake_tensors_keep_what_real_ones_keep(shape, pooling, fields, half):
    real = classifier(shape, "sdpa", pooling=pooling, **fields)
    expected = really_kept(real, 2, 64, half)
    assert measure(planned(shape, pooling=pooling, **fields), 64, half).saved == pytest.approx(expected, rel=0.02)


def test_a_t5_keeps_its_position_bias_besides():
    expected = really_kept(classifier(T5, "sdpa"), 2, 64)
    assert measure(planned(T5), 64, False, fused_attention=False).saved == pytest.approx(expected, rel=0.02)


def test_dropout_of_attention_costs_memory_on_a_cpu_only():
    shape = {**TINY_SHAPE, "attention_probs_dropout_prob": 0.1}
    expected = really_kept(classifier(shape, "sdpa"), 2, 64)
    assert measure(planned(shape), 64, False, fused_attention=False).saved == pytest.approx(expected, rel=0.02)
    without = measure(planned(TINY_SHAPE), 64, False).saved
    assert measure(planned(shape), 64, False, fused_attention=True).saved == without < expected


def test_the_parameters_of_protbert_are_counted_after_the_position_table_is_cut():
    embeddings = (30 + 512 + 2) * 1024 + 2 * 1024  # vocabulary, positions, two segments, norm
    layer = 4 * (1024**2 + 1024) + (1024 * 4096 + 4096) + (4096 * 1024 + 1024) + 2 * 2 * 1024
    head = 1024 * 10 + 10
    whole = cost(planned(PROTBERT_SHAPE, 512))
    assert whole.parameters == whole.trained_parameters == embeddings + 30 * layer + head == 378_456_074
    assert cost(planned(PROTBERT_SHAPE, 1024)).parameters == whole.parameters + 512 * 1024
    frozen = cost(planned(PROTBERT_SHAPE, 512, freeze_backbone=True))
    assert (frozen.parameters, frozen.trained_parameters) == (378_456_074, 10_250)


def test_bytes_and_seconds_follow_from_the_counts():
    model = planned(TINY_SHAPE)
    whole = cost(model)
    assert (whole.weights, whole.gradients, whole.optimizer) == tuple(n * whole.parameters for n in (4, 4, 8))
    assert whole.weight_copies == 0
    assert whole.step == whole.weights + whole.gradients + whole.optimizer + whole.activations + whole.working
    assert whole.seconds_per_epoch == whole.flops_per_epoch / 1e9
    assert cost(model, tokens_per_batch=512).activations == pytest.approx(2 * whole.activations, abs=2)
    linear = 2 * (4 * 33 * 32 + 33 * 64 + 65 * 32) + 33 * 10  # with biases
    assert cost(model, half_precision=True).weight_copies == 2 * linear


def test_checkpointing_keeps_a_hidden_state_a_layer_and_one_layer():
    shape = {**TINY_SHAPE, "num_hidden_layers": 12}
    deep, deeper = (planned({**shape, "num_hidden_layers": layers}) for layers in (12, 24))
    plain, checkpointed = cost(deep), cost(deep, gradient_checkpointing=True)
    assert checkpointed.activations < plain.activations / 3
    more = cost(deeper, gradient_checkpointing=True).activations - checkpointed.activations
    assert more == 12 * 256 * 32 * 4  # tokens, H, float32
    assert checkpointed.step - checkpointed.activations == plain.step - plain.activations


def test_a_frozen_backbone_keeps_next_to_nothing():
    frozen = cost(planned(TINY_SHAPE, freeze_backbone=True))
    assert frozen.activations < cost(planned(TINY_SHAPE)).activations / 100
    assert frozen.working > 256 * 64 * 4  # but one layer of hidden states at a time


def test_a_run_folder_is_planned_with_its_own_classes_and_pooling(tmp_path):
    classifier(TINY_SHAPE, pooling="light_attention").config.save_pretrained(tmp_path / "model")  # and no weights
    arguments = ModelArguments(model_name_or_path=str(tmp_path))
    model = planned_model(arguments, 64)
    assert (model.config.pooling, model.config.num_labels, model.max_positions) == ("light_attention", 10, 64)
    other = planned_model(arguments, 64, labels=3, pooling="mean")
    assert (other.config.pooling, other.config.num_labels) == ("mean", 3)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_half_precision_weights_are_planned_as_training_holds_them(tmp_path):
    config = classifier(TINY_SHAPE).config.backbone_config
    config.dtype = torch.float16
    config.save_pretrained(tmp_path)
    model = planned_model(ModelArguments(model_name_or_path=str(tmp_path)), 64)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_what_cannot_be_planned_is_named():
    with pytest.raises(OptionError, match="max_length=129: the backbone has 128 positions"):
        planned(TINY_SHAPE, 129)
    with pytest.raises(OptionError, match="pooling='pooler': a t5 has no pooler"):
        planned(T5, pooling="pooler")
    with pytest.raises(ModelError, match="/nowhere: no such folder"):
        planned_model(ModelArguments(model_name_or_path="/nowhere"), 64)


def test_deeplocs_lengths_have_its_percentiles(deeploc_sample):
    lengths = deeploc_lengths()
    assert (len(lengths), lengths.min(), lengths.max()) == (11_090, 42, 13_089)
    assert np.percentile(lengths, np.arange(0, 100, 5)).round() == pytest.approx(DEEPLOC_PERCENTILES[:-1], abs=1)

    from protbert_classify.data.sources import read_proteins

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
    ).step
    # every tensor in pages of its own, given back when it is gone
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    arguments = json.dumps([shape, proteins, length, checkpointing, half])
    child = subprocess.run([sys.executable, "-c", STEP, arguments], env=environment, capture_output=True, check=True)
    # measured when written: the estimate is 1.00 to 1.17 times the real peak
    assert int(child.stdout) == pytest.approx(expected, rel=0.35)
