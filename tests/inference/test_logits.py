import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from protbert_classify.errors import ModelError
from protbert_classify.inference.logits import batched_logits, predict_logits
from protbert_classify.training.embedding_cache import EmbeddingCollator

from .conftest import LONG, build_classifier

SEQUENCES = ["MKTAYIAKQR", LONG, "WWCCHH", "MLSRAVCGTSRQ", "GGGGGG"]


@pytest.fixture
def encoded(tokenizer):
    return [np.array(tokenizer(sequence)["input_ids"]) for sequence in SEQUENCES]


def test_logits_come_in_the_order_of_the_proteins_and_count_them(classifier, encoded):
    counted = []
    together = predict_logits(classifier, encoded, 70, counted.append)
    alone = np.concatenate([predict_logits(classifier, [ids]) for ids in encoded])
    assert (together.dtype, together.shape) == (np.float32, (5, 3))
    assert np.abs(together - alone).max() < 1e-5
    assert counted == [1, 2, 2]  # 35 tokens, padded to 64; then 14 and 12, and 8 and 8, padded to 32


@given(st.lists(st.integers(3, 128), min_size=1, max_size=12), st.integers(1, 400))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lengths_of_padded_batches_are_few_on_a_cpu_and_stay_within_budget_and_positions(classifier, lengths, tokens):
    classifier.resize_position_embeddings(100)  # no multiple of 32
    lengths = [min(length, 100) for length in lengths]
    shapes = []
    hook = classifier.backbone.register_forward_pre_hook(
        lambda module, args, given: shapes.append(given["input_ids"].shape), with_kwargs=True
    )
    predict_logits(classifier, [np.full(length, 5) for length in lengths], tokens)
    hook.remove()
    assert {width for _, width in shapes} <= {32, 64, 96, 100}
    assert all(rows == 1 or rows * width <= tokens for rows, width in shapes)
    assert sum(rows for rows, _ in shapes) == len(lengths)


def test_packed_proteins_are_pooled_in_few_lengths_on_a_cpu(encoded):
    """Light attention's convolutions are kernels, too."""
    classifier = build_classifier(pooling="light_attention")
    padded = predict_logits(classifier, encoded)
    assert classifier.enable_packing() is None
    widths = []
    classifier.pooling.features.register_forward_pre_hook(lambda module, args: widths.append(args[0].shape[-1]))
    assert np.abs(predict_logits(classifier, encoded, 40) - padded).max() < 1e-5
    assert set(widths) == {32, 64}


def test_no_proteins_have_no_logits(classifier):
    assert predict_logits(classifier, []).shape == (0, 3)


def test_a_packed_model_gives_the_logits_of_a_padded_one(classifier, encoded):
    padded = predict_logits(classifier, encoded)
    assert classifier.enable_packing() is None
    assert np.abs(predict_logits(classifier, encoded, 40) - padded).max() < 1e-5


@pytest.mark.parametrize("kind", ["bert", "esm"])
def test_batches_computed_at_the_same_time_give_the_logits_of_one_after_the_other(kind, encoded, torch_threads):
    esm = {"model_type": "esm", "position_embedding_type": "rotary", "token_dropout": True, "mask_token_id": 4}
    classifier = build_classifier(esm if kind == "esm" else {})
    assert classifier.enable_packing() is None
    many = [ids for ids in encoded for _ in range(12)]
    names = set()
    classifier.register_forward_pre_hook(lambda module, args: names.add(threading.current_thread().name))
    torch_threads(1)
    expected = predict_logits(classifier, many, 70)
    assert names == {"MainThread"}
    torch_threads(3)
    assert np.abs(predict_logits(classifier, many, 70) - expected).max() < 1e-5
    assert {"batch_0", "batch_1", "batch_2"} <= names


def test_a_batch_that_does_not_fit_is_halved_with_the_same_logits(classifier, encoded):
    exact = predict_logits(classifier, encoded)

    def small_device(module, args, given):
        if len(given["input_ids"]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    classifier.register_forward_pre_hook(small_device, with_kwargs=True)
    told = []
    assert np.abs(predict_logits(classifier, encoded, progress=told.append) - exact).max() < 1e-5
    assert told == [1] * 5


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler", "light_attention"])
def test_under_autocast_the_head_computes_in_float32(encoded, pooling):
    classifier = build_classifier(pooling=pooling)
    exact = predict_logits(classifier, encoded)
    seen = {}
    classifier.head[1].register_forward_hook(lambda m, args, out: seen.update(head=(args[0].dtype, out.dtype)))
    layer = next(module for module in classifier.backbone.encoder.modules() if isinstance(module, nn.Linear))
    layer.register_forward_hook(lambda m, args, out: seen.update(backbone=out.dtype))
    rounded = predict_logits(classifier, encoded, autocast=torch.bfloat16)
    assert seen == {"head": (torch.float32, torch.float32), "backbone": torch.bfloat16}
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()
    assert not torch.is_autocast_enabled("cpu")
    assert np.array_equal(predict_logits(classifier, encoded), exact)  # nothing of it stays


def test_a_failure_under_autocast_leaves_the_model_as_it_was(classifier, encoded):
    exact = predict_logits(classifier, encoded)
    hook = classifier.head[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict_logits(classifier, encoded, autocast=torch.bfloat16)
    hook.remove()
    assert not classifier.head._forward_pre_hooks and not classifier.head._forward_hooks
    assert np.array_equal(predict_logits(classifier, encoded), exact)


def test_validating_with_autocast_amid_a_training_leaves_gradients_alone(classifier, encoded):
    classifier.train()
    with torch.autocast("cpu", torch.bfloat16):
        predict_logits(classifier.eval(), encoded, autocast=torch.bfloat16)
        loss = classifier.train()(torch.tensor(encoded[0])[None], labels=torch.tensor([1])).loss
    loss.backward()
    assert all(parameter.grad is not None for parameter in classifier.head.parameters())


def test_logits_of_auxiliary_tasks_stand_behind_those_of_the_main_one(classifier, encoded):
    exact = predict_logits(classifier, encoded)
    extra = nn.Linear(3, 2)

    def with_auxiliary(**batch):
        logits = classifier(**batch).logits
        return SimpleNamespace(logits=logits, auxiliary_logits=extra(logits))

    found = predict_logits(classifier, encoded, 40, forward=with_auxiliary)
    expected = np.concatenate([exact, extra(torch.from_numpy(exact)).detach().numpy()], axis=1)
    assert found.shape == (5, 5)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_logits_of_embedded_proteins_come_in_their_order(encoded):
    classifier = build_classifier(pooling="light_attention")
    expected = predict_logits(classifier, encoded)
    with torch.inference_mode():
        proteins = [
            {"last_hidden_state": classifier.backbone(torch.tensor(ids)[None]).last_hidden_state[0, 1:-1].numpy()}
            for ids in encoded
        ]
    # the special tokens are gone from them
    classifier.special_tokens = (0, 0)
    lengths = [len(protein["last_hidden_state"]) for protein in proteins]
    pad = EmbeddingCollator()
    found = batched_logits(classifier, lengths, lambda rows: pad([proteins[row] for row in rows]), 20)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_model_that_diverged_is_refused_unless_its_logits_are_wanted_as_they_are(classifier, encoded):
    nn.init.constant_(classifier.head[1].bias, float("nan"))
    with pytest.raises(ModelError, match="scores that are not numbers"):
        predict_logits(classifier, encoded)
    assert np.isnan(predict_logits(classifier, encoded, finite=False)).all()


@pytest.mark.parametrize("packed", [True, False])
def test_a_longest_input_that_is_no_multiple_of_32_is_read_whole(tiny_classifier, tiny_shape, packed):
    """Rounding its length up must not ask for positions that the backbone lacks."""
    model = tiny_classifier(shape={**tiny_shape, "max_position_embeddings": 58}).eval()
    if packed:
        assert model.enable_packing() is None
    proteins = [np.arange(58, dtype=np.int64) % 20 + 5, np.arange(9, dtype=np.int64) + 5]
    logits = predict_logits(model, proteins)
    with torch.inference_mode():
        alone = model(torch.from_numpy(proteins[0])[None]).logits[0]
    assert logits[0] == pytest.approx(alone.numpy(), abs=1e-5)
