"""A classifier computes and trains: what a protein gets, its gradients, and what is frozen."""

import pytest
import torch
from torch.nn import functional

from protbert_classify import ProteinClassifier

from .conftest import BACKBONES, COMBINATIONS, POOLINGS


def logits(model, batch):
    with torch.no_grad():
        return model(**batch).logits


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


# what a protein gets does not depend on its batch


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind, pooling", COMBINATIONS)
def test_padding_changes_no_logit(fresh, proteins, pad, kind, pooling, side):
    model = fresh(kind, pooling=pooling)
    alone = torch.cat([logits(model, {"input_ids": protein[None]}) for protein in proteins])
    batch = pad(proteins, model.config.pad_token_id, side)
    assert (logits(model, batch) - alone).abs().max() < 1e-5
    assert (alone[0] - alone[1]).abs().max() > 1e-4  # different proteins, different logits


@pytest.mark.parametrize("kind, pooling", COMBINATIONS)
def test_another_protein_of_the_batch_moves_no_logit(fresh, proteins, pad, kind, pooling):
    model = fresh(kind, pooling=pooling)
    before = logits(model, pad(proteins, model.config.pad_token_id))
    proteins[1] = proteins[1].flip(0)
    after = logits(model, pad(proteins, model.config.pad_token_id))
    assert (after - before)[[0, 2]].abs().max() < 1e-6
    assert (after - before)[1].abs().max() > 1e-4


def test_special_tokens_are_left_out_of_the_mean(fresh, proteins):
    model = fresh()
    protein = proteins[1][None]
    with torch.no_grad():
        hidden = model.backbone(protein).last_hidden_state
        expected = model.head(hidden[:, 1:-1].mean(1))
    assert torch.allclose(logits(model, {"input_ids": protein}), expected, atol=1e-6)


def test_t5_has_a_special_token_at_the_end_only(fresh, proteins):
    model = fresh("t5")
    protein = proteins[1][None]
    with torch.no_grad():
        expected = model.head(model.backbone(protein).last_hidden_state[:, :-1].mean(1))
    assert torch.allclose(logits(model, {"input_ids": protein}), expected, atol=1e-6)


def test_inputs_embeds_gives_the_logits_of_its_ids(fresh, proteins, pad):
    model = fresh(pooling="light_attention")
    for side in ("right", "left"):
        batch = pad(proteins, side=side)
        embeds = {"inputs_embeds": model.get_input_embeddings()(batch["input_ids"])}
        mask = {"attention_mask": batch["attention_mask"]}
        assert torch.allclose(logits(model, embeds | mask), logits(model, batch), atol=1e-6)


def test_nothing_to_read_and_two_things_to_read_are_refused(fresh, proteins, pad):
    model = fresh()
    with pytest.raises(ValueError, match="give input_ids or inputs_embeds$"):
        model()
    embeds = model.get_input_embeddings()(pad(proteins)["input_ids"])
    with pytest.raises(ValueError, match="give input_ids or inputs_embeds, not both"):
        model(**pad(proteins), inputs_embeds=embeds)


@pytest.mark.parametrize("kind", ["bert", "esm"])
def test_left_padding_takes_positions_and_token_types_along(fresh, proteins, pad, kind):
    """Transformers' way with padding on the left is to give `position_ids` that begin at the first token."""
    model = fresh(kind)

    def batch(side):
        padded = pad(proteins, model.config.pad_token_id, side)
        mask = padded["attention_mask"]
        own = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0) + 2 * mask}
        if kind == "bert":
            own["token_type_ids"] = (own["position_ids"] > 4) * mask
        return padded | own

    right = logits(model, batch("right"))
    assert (logits(model, batch("left")) - right).abs().max() < 1e-5
    if kind == "bert":  # whose positions are absolute
        assert (right - logits(model, pad(proteins))).abs().max() > 1e-3


def test_position_ids_of_one_row_are_those_of_all(fresh, proteins, pad):
    model = fresh()
    positions = torch.arange(16)[None] + 3
    one, all_ = (logits(model, pad(proteins) | {"position_ids": ids}) for ids in (positions, positions.expand(3, -1)))
    assert torch.equal(one, all_)


SHAPES = list(zip(range(2, 12), (7, 9, 30, 12, 64, 33, 21, 50, 44, 17), strict=True))  # proteins, tokens


def batch_of(proteins, tokens, pad_token_id):
    """Random proteins, padded on both sides in turns."""
    ids = torch.randint(5, 25, (proteins, tokens))
    mask = torch.ones_like(ids)
    mask[1, : tokens // 3] = 0
    mask[0, tokens // 2 :] = 0
    return {"input_ids": ids.where(mask.bool(), pad_token_id), "attention_mask": mask}


@pytest.mark.slow
@pytest.mark.parametrize("kind, pooling", [*((kind, "mean") for kind in BACKBONES), ("bert", "light_attention")])
def test_a_compiled_model_has_one_graph_for_all_shapes(fresh, kind, pooling):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    model, counter = fresh(kind, pooling=pooling), CompileCounter()
    compiled = torch.compile(model, backend=counter, dynamic=True)
    for shape in SHAPES:
        batch = batch_of(*shape, model.config.pad_token_id)
        assert torch.allclose(logits(compiled, batch), logits(model, batch), atol=1e-5)
    assert counter.frame_count == 1


@pytest.mark.slow
def test_a_compiled_training_has_one_graph_for_all_shapes(fresh):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    task = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}
    model, counter = fresh(auxiliary_tasks=[task]).train(), CompileCounter()
    compiled = torch.compile(model, backend=counter, dynamic=True, fullgraph=True)
    for proteins, tokens in SHAPES:
        labels = {"labels": torch.arange(proteins) % 3, "auxiliary_labels": torch.zeros(proteins, 1)}
        compiled(**batch_of(proteins, tokens, 0), **labels).loss.backward()
    assert counter.frame_count == 1


@pytest.mark.parametrize("kind", BACKBONES)
def test_an_exported_model_takes_batches_of_any_shape(fresh, kind):
    from torch.export import Dim

    model = fresh(kind)
    free = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    batch = batch_of(3, 9, model.config.pad_token_id)
    program = torch.export.export(model, (), batch, dynamic_shapes=dict.fromkeys(batch, free), strict=False)
    for shape in SHAPES[:4]:
        batch = batch_of(*shape, model.config.pad_token_id)
        assert torch.allclose(logits(program.module(), batch), logits(model, batch), atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS[:2] + POOLINGS[3:])
def test_a_row_without_residues_moves_no_other_and_stays_finite(fresh, proteins, pad, pooling):
    """Such rows fill up the batches of several processes."""
    model = fresh(pooling=pooling)
    alone = pad(proteins)
    filled = {name: torch.cat([rows, torch.zeros_like(rows[:1])]) for name, rows in alone.items()}
    filled["attention_mask"][3, :2] = 1  # the special tokens
    found = logits(model, filled)
    assert torch.allclose(found[:3], logits(model, alone), atol=1e-6)
    assert found[3].abs().max() < 10


def test_loss_is_the_mean_cross_entropy(fresh, proteins, pad):
    model = fresh()
    batch, labels = pad(proteins), torch.tensor([2, 0, 1])
    output = model(**batch, labels=labels)
    by_hand = -output.logits.softmax(-1).log()[torch.arange(3), labels].mean()
    assert output.loss.item() == pytest.approx(by_hand.item(), abs=1e-6)
    assert model(**batch).loss is None


def test_trainer_must_not_believe_that_the_model_divides_the_loss_itself(fresh):
    assert fresh().accepts_loss_kwargs is False


def test_hidden_states_attentions_and_tuples_come_as_asked_for(fresh, proteins, pad):
    model = fresh(attn_implementation="eager")
    batch = pad(proteins)
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    assert [state.shape for state in output.hidden_states] == [(3, 16, 16)] * 3
    assert [attention.shape for attention in output.attentions] == [(3, 2, 16, 16)] * 2
    assert model(**batch).hidden_states is None
    loss, logits = model(**batch, labels=torch.tensor([0, 1, 2]), return_dict=False)
    assert loss.shape == () and torch.equal(logits, output.logits)
    model.config.output_hidden_states = model.config.output_attentions = True
    always = model(**batch)
    assert len(always.hidden_states) == 3 and len(always.attentions) == 2
    assert model(**batch, output_hidden_states=False).hidden_states is None


# training


@pytest.mark.parametrize("kind, pooling", COMBINATIONS)
def test_every_trainable_parameter_gets_a_gradient(fresh, proteins, pad, kind, pooling):
    model = fresh(kind, pooling=pooling).train()
    batch = pad(proteins, model.config.pad_token_id)
    model(**batch, labels=torch.tensor([0, 1, 2])).loss.backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == trainable(model)


def test_esms_contact_head_is_frozen_because_nothing_reaches_it(fresh, tmp_path):
    model = fresh("esm")
    model.save_pretrained(tmp_path / "saved")
    for esm in (model, ProteinClassifier.from_pretrained(tmp_path / "saved")):
        frozen = {name for name, parameter in esm.named_parameters() if not parameter.requires_grad}
        assert frozen == {"backbone.contact_head.regression.weight", "backbone.contact_head.regression.bias"}


FIRST_LAYER = {
    "bert": ("embeddings.", "encoder.layer.0."),
    "esm": ("embeddings.", "encoder.layer.0."),
    "t5": ("shared.", "encoder.block.0."),
}


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("fields", [{}, {"freeze_layers": 1}, {"freeze_backbone": True}])
def test_a_step_moves_all_that_trains_and_nothing_that_is_frozen(fresh, proteins, pad, tmp_path, kind, fields):
    fresh(kind, **fields).save_pretrained(tmp_path / "saved")
    model = ProteinClassifier.from_pretrained(tmp_path / "saved").train()  # freezing survives the reload
    frozen = {
        (): ("contact_head",),
        ("freeze_layers",): ("contact_head", *FIRST_LAYER[kind]),
        ("freeze_backbone",): ("",),
    }[tuple(fields)]
    expected = {
        name
        for name, _ in model.named_parameters()
        if not (name.startswith("backbone.") and name.removeprefix("backbone.").startswith(frozen))
    }
    assert trainable(model) == expected
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    # Adam without its epsilon: a key's bias has a gradient of rounding errors only, since softmax ignores it
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.01, eps=1e-20)
    model(**pad(proteins, model.config.pad_token_id), labels=torch.tensor([0, 1, 2])).loss.backward()
    optimizer.step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == expected


def test_what_is_frozen_can_be_chosen_later(fresh):
    model = fresh(freeze_backbone=True)
    model.freeze(layers=1)
    assert trainable(model) == trainable(fresh(freeze_layers=1)) and model.config.freeze_layers == 1
    model.freeze()
    assert trainable(model) == trainable(fresh())
    with pytest.raises(ValueError, match="freeze_layers=3: expected 0 to 2, the layers of the backbone"):
        model.freeze(layers=3)
    assert model.config.freeze_layers == 0


@pytest.mark.parametrize("fields", [{"freeze_layers": 1}, {"freeze_backbone": True}])
def test_what_is_frozen_has_no_dropout_in_training(fresh, fields):
    model = fresh(**fields)
    assert model.train() is model
    assert not any(module.training for module in model.backbone.embeddings.modules())
    assert not any(module.training for module in model.backbone.encoder.layer[0].modules())
    assert model.backbone.encoder.layer[1].training is ("freeze_layers" in fields)
    assert model.head.training
    assert not model.eval().head.training


def test_a_pooler_belongs_to_the_pooling_and_trains_on_a_frozen_backbone(fresh):
    model = fresh(pooling="pooler", freeze_backbone=True).train()
    assert trainable(model) == {
        "backbone.pooler.dense.weight",
        "backbone.pooler.dense.bias",
        "head.1.weight",
        "head.1.bias",
    }
    assert model.backbone.pooler.training


def test_a_class_given_twice_is_refused(fresh):
    with pytest.raises(ValueError, match="each class once"):
        fresh(labels=["Nucleus", "Nucleus"])


def test_a_frozen_backbone_gives_the_same_states_in_training(fresh, proteins, pad):
    model = fresh(freeze_backbone=True, classifier_dropout=0.0).train()
    assert torch.equal(logits(model, pad(proteins)), logits(model, pad(proteins)))


@pytest.mark.parametrize("kind", BACKBONES)
def test_gradient_checkpointing_gives_the_same_gradients(fresh, proteins, pad, kind):
    def gradients(checkpointing):
        model = fresh(kind, pooling="light_attention")
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing
        model.train()
        torch.manual_seed(5)  # the same dropout
        batch = pad(proteins, model.config.pad_token_id)
        model(**batch, labels=torch.tensor([0, 1, 2])).loss.backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}

    plain, checkpointed = gradients(False), gradients(True)
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        assert torch.allclose(checkpointed[name], gradient, atol=1e-7), name


# the position table


def test_a_sliced_position_table_changes_no_logit_and_survives_a_reload(fresh, proteins, pad, tmp_path):
    model = fresh(freeze_layers=1)
    before = logits(model, pad(proteins))
    assert model.max_positions == 64
    table = model.get_position_embeddings().weight.clone()
    model.resize_position_embeddings(16)
    model.save_pretrained(tmp_path / "saved")
    for sliced in (model, ProteinClassifier.from_pretrained(tmp_path / "saved")):
        assert sliced.max_positions == sliced.config.backbone_config.max_position_embeddings == 16
        assert torch.equal(sliced.get_position_embeddings().weight, table[:16])
        assert not sliced.get_position_embeddings().weight.requires_grad
        assert torch.equal(logits(sliced, pad(proteins)), before)


def test_a_position_table_cannot_grow(fresh):
    with pytest.raises(ValueError, match="65 positions asked for, 64 there"):
        fresh().resize_position_embeddings(65)


@pytest.mark.parametrize("kind", ["esm", "t5"])
def test_relative_positions_have_no_limit_and_no_table_to_slice(fresh, kind):
    model = fresh(kind)
    assert model.max_positions is None
    model.resize_position_embeddings(8)
    protein = torch.randint(5, 25, (1, 200), generator=torch.Generator().manual_seed(0))  # the configuration says 64
    assert logits(model, {"input_ids": protein}).isfinite().all()


def test_cross_entropy_of_half_precision_is_taken_in_single(tiny_classifier, proteins, pad):
    model = tiny_classifier().to(torch.bfloat16).eval()
    labels = torch.tensor([0, 1, 2])
    output = model(**pad(proteins), labels=labels)
    assert torch.equal(output.loss, functional.cross_entropy(output.logits.float(), labels))


def test_embeddings_are_those_of_the_backbone_and_can_be_replaced(fresh):
    model = fresh()
    assert model.get_input_embeddings() is model.backbone.embeddings.word_embeddings
    other = torch.nn.Embedding(40, 16)
    model.set_input_embeddings(other)
    assert model.backbone.embeddings.word_embeddings is other
