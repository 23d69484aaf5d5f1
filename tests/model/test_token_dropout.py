"""ESM's factor for masked residues: each protein's own when packed, and not forgotten for embeddings."""

import functools
import itertools

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import EsmModel

from protbert_classify.model.token_dropout import UNMASKED_IN_PRETRAINING, backbone_inputs

from .packs import PACKABLE, SHAPES, assert_same_gradients, classifier, encoded, gradients, logits, packed, padded

MASK = 32


def masked(every=3):
    """Proteins of which the second has a third of its residues masked, the fourth one, the others none."""
    proteins = encoded()
    proteins[1]["input_ids"][1:-1:every] = MASK
    proteins[3]["input_ids"][7] = MASK
    return proteins


@given(
    st.lists(st.lists(st.sampled_from([5, 6, MASK]), min_size=1, max_size=6), min_size=1, max_size=5),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(deadline=None, max_examples=50)
def test_any_packed_proteins_are_embedded_as_each_by_itself(proteins, dtype):
    backbone = esm().to(dtype)
    proteins = [torch.tensor([[0, *residues, 2]]) for residues in proteins]
    starts = torch.tensor([0, *itertools.accumulate(map(torch.numel, proteins))], dtype=torch.int32)
    found = backbone_inputs(backbone, torch.cat(proteins, dim=1), None, cu_seq_lens=starts)["inputs_embeds"]
    expected = torch.cat([backbone.embeddings(protein) for protein in proteins], dim=1)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)


@functools.cache
def esm():
    return classifier("esm").backbone


@pytest.mark.parametrize("kind", ["esm", "esmc"])
@pytest.mark.parametrize("pooling", ["mean", "light_attention"])
def test_packed_proteins_with_masked_residues_have_the_logits_and_gradients_of_padded_ones(kind, pooling):
    model = classifier(kind, pooling)
    expected = logits(model, padded(kind, masked()))
    assert (expected - logits(model, padded(kind))).abs().amax(-1)[[1, 3]].min() > 1e-3  # the masks count
    torch.testing.assert_close(logits(model, packed(masked())), expected)
    assert_same_gradients(gradients(model, packed(masked())), gradients(model, padded(kind, masked())))


def test_masked_residues_of_one_packed_protein_change_no_hidden_state_of_another():
    model = classifier("esm", "mean")
    before, after = logits(model, packed()), logits(model, packed(masked()))
    torch.testing.assert_close(after[[0, 2, 4, 5]], before[[0, 2, 4, 5]])


ESM_1B = {"position_embedding_type": "absolute", "emb_layer_norm_before": True, "max_position_embeddings": 730}


@pytest.mark.parametrize(
    ("kind", "shape", "packing"),
    [
        ("bert", {}, False),
        ("bert", {}, True),
        ("esm", {}, False),
        ("esm", {}, True),
        ("esm", {"token_dropout": False}, False),
        ("esm", {"token_dropout": False}, True),
        ("esm", ESM_1B, False),
        ("esmc", {}, False),
    ],
)
def test_embeddings_of_the_tokens_give_the_logits_of_the_tokens(kind, shape, packing):
    model = classifier(kind, packing=packing, **shape)
    batch = packed() if packing else padded(kind)
    expected = logits(model, batch)
    embeds = model.get_input_embeddings()(batch.pop("input_ids"))
    assert torch.equal(logits(model, {"inputs_embeds": embeds, **batch}), expected)


def test_attributions_by_embeddings_are_those_of_the_embeddings_that_the_tokens_use():
    model = classifier("esm", packing=False)
    batch = padded("esm")
    used = []
    handle = model.get_input_embeddings().register_forward_hook(lambda *args: used.append(args[-1]))
    batch_of_tokens = model(**batch)
    handle.remove()
    (expected,) = torch.autograd.grad(batch_of_tokens.logits.sum(), used)
    embeds = model.get_input_embeddings()(batch.pop("input_ids")).detach().requires_grad_()
    (found,) = torch.autograd.grad(model(inputs_embeds=embeds, **batch).logits.sum(), embeds)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected)


def test_the_factor_is_that_of_transformers():
    model = classifier("esm", packing=False).backbone
    assert isinstance(model, EsmModel)
    ids = torch.tensor(encoded()[0]["input_ids"])[None]
    words = model.get_input_embeddings()(ids)
    torch.testing.assert_close(model.embeddings(ids), UNMASKED_IN_PRETRAINING * words)


@pytest.mark.parametrize("kind", PACKABLE)
@pytest.mark.parametrize("packing", [False, True])
def test_a_batch_without_tokens_or_embeddings_is_refused_in_words(kind, packing):
    batch = packed() if packing else padded(kind)
    del batch["input_ids"]
    with pytest.raises(ValueError, match="give input_ids or inputs_embeds"):
        classifier(kind)(**batch)


def test_packed_embeddings_are_refused_in_words_by_a_backbone_that_takes_none():
    batch = packed()
    length = batch.pop("input_ids").shape[1]
    with pytest.raises(ValueError, match="an esmc takes input_ids alone"):
        classifier("esmc")(inputs_embeds=torch.zeros(1, length, 16), **batch)


@pytest.fixture
def alone():
    """A process group of this process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_an_embedding_layer_that_fsdp_shards_by_itself_is_asked_as_a_whole(alone):
    model = classifier("esm")
    expected = logits(model, padded("esm", masked()))
    for part in (model.backbone.embeddings, *model.backbone.encoder.layer, model):
        fully_shard(part, mesh=alone)
    torch.testing.assert_close(logits(model, packed(masked())), expected)
    batch = padded("esm")
    size = (*batch.pop("input_ids").shape, SHAPES["esm"]["hidden_size"])
    assert torch.isfinite(logits(model, {"inputs_embeds": torch.ones(size), **batch})).all()
