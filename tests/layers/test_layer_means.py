"""What is probed of a layer is what the model cut there would give."""

import numpy as np
import pytest
import torch
from transformers import ConvBertConfig

from protbert_classify.errors import ModelError, OptionError, ProteinClassifierError
from protbert_classify.inference.embeddings import embed_proteins
from protbert_classify.layers import layer_means as module
from protbert_classify.layers.layer_means import layer_means
from protbert_classify.model.attention import PADDING_FREE
from tests.model.test_layers import FAMILIES, classifier

PROTEINS = [np.array([2, *range(5, 5 + length), 3], dtype=np.uint8) for length in (20, 3, 9, 1, 14)]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("packed", [False, True])
def test_the_mean_of_a_layer_is_the_embedding_of_the_model_cut_there(name, packed, tmp_path):
    model = classifier(FAMILIES[name])
    reason = model.enable_packing() if packed else None
    if reason is not None:
        pytest.skip(reason)
    assert (model.backbone.config._attn_implementation == PADDING_FREE) == packed
    means = layer_means(model, PROTEINS, tmp_path / "means", tokens_per_batch=40)
    assert means.shape == (3, 5, 16) and means.dtype == np.float32
    for layer in (3, 2, 1):
        model.keep_first_layers(layer)
        expected = np.stack(embed_proteins(model, PROTEINS, tokens_per_batch=40))
        np.testing.assert_allclose(means[layer - 1], expected, atol=1e-5, rtol=1e-5)
    assert np.abs(means[0] - means[2]).max() > 0.01


def test_progress_counts_every_protein_once(tmp_path):
    seen = []
    layer_means(classifier(FAMILIES["bert"]), PROTEINS, tmp_path / "means", 40, seen.append)
    assert sum(seen) == len(PROTEINS) and len(seen) > 1


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    model = classifier(FAMILIES["bert"])
    model.backbone.encoder.layer[1].output.dense.weight.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match="gives hidden states that are not numbers: its weights are damaged"):
        layer_means(model, PROTEINS, tmp_path / "means")


def test_a_backbone_that_computes_more_after_its_last_layer_is_refused(tmp_path):
    class Doubling(torch.nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def forward(self, *args, **kwargs):
            output = self.encoder(*args, **kwargs)
            output.last_hidden_state = output.last_hidden_state * 2
            return output

    model = classifier(FAMILIES["bert"])
    model.backbone.encoder = Doubling(model.backbone.encoder)
    with pytest.raises(OptionError, match="layers of a bert cannot be probed: it computes more after its last layer"):
        layer_means(model, PROTEINS, tmp_path / "means")


def test_a_full_disk_is_told_before_it_is_filled(tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(ProteinClassifierError, match="hidden states of all layers need .* GB, and .* has 0.0 GB free"):
        layer_means(classifier(FAMILIES["bert"]), PROTEINS, tmp_path / "means")
    assert not (tmp_path / "means").exists()


def test_convbert_is_probed_too(tmp_path):
    config = ConvBertConfig(
        vocab_size=33,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        embedding_size=16,
    )
    assert np.isfinite(layer_means(classifier(config), PROTEINS, tmp_path / "means")).all()
