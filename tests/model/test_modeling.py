import json
import os

import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    EsmForSequenceClassification,
)

from protbert_classify import ProteinClassifier, ProteinClassifierConfig

from .conftest import BACKBONES, LABELS, pretrained

POOLINGS = ["mean", "cls", "pooler", "light_attention"]
COMBINATIONS = [(kind, pooling) for kind in BACKBONES for pooling in POOLINGS if (kind, pooling) != ("t5", "pooler")]


@pytest.fixture
def fresh(checkpoint):
    """A fresh head on a tiny pretrained backbone."""

    def build(kind="bert", labels=LABELS, **fields):
        torch.manual_seed(1)
        return ProteinClassifier.from_pretrained(checkpoint[kind][0], labels=labels, **fields)

    return build


@pytest.fixture
def bert_classifier(tmp_path):
    """A `BertForSequenceClassification` with labels of its own: (folder, model)."""
    config = pretrained("bert").config
    config.num_labels = 3
    config.id2label = {0: "M", 1: "S", 2: "U"}
    config.label2id = {"M": 0, "S": 1, "U": 2}
    config.classifier_dropout = 0.3
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "bert_classifier")
    return str(tmp_path / "bert_classifier"), model


def logits(model, batch):
    with torch.no_grad():
        return model(**batch).logits


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_folder_that_is_not_there_is_called_one_and_not_a_bad_repository_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs/mine", "./mine", "~/mine", "/nowhere", "somewhere/else/model", tmp_path / "mine"):
        with pytest.raises(OSError, match="no such folder; expected the model/ of a") as raised:
            ProteinClassifier.from_pretrained(name)
        assert str(raised.value).startswith(f"{name}: no such folder")


# a pretrained encoder and a fresh head


@pytest.mark.parametrize("kind, pooling", COMBINATIONS)
def test_the_backbone_is_the_pretrained_one_and_not_random(checkpoint, fresh, kind, pooling):
    _, source = checkpoint[kind]
    backbone = fresh(kind, pooling=pooling).backbone.state_dict()
    loaded = {name for name in backbone if not name.startswith("pooler.")}  # masked-language models are saved without
    assert len(loaded) >= 19
    for name in loaded:
        assert torch.equal(backbone[name], source[BACKBONES[kind] + name]), name


def test_the_pretrained_pooler_is_used_where_there_is_one(bert_classifier):
    folder, source = bert_classifier
    model = ProteinClassifier.from_pretrained(folder, labels=["a", "b"], pooling="pooler")
    assert torch.equal(model.backbone.pooler.dense.weight, source.bert.pooler.dense.weight)


def test_only_the_encoder_of_t5_is_loaded(fresh):
    assert not [name for name, _ in fresh("t5").named_parameters() if "decoder" in name]


def test_t5_has_no_pooler_to_pool_with(fresh, checkpoint):
    with pytest.raises(ValueError, match="pooling='pooler': a t5 has no pooler; use mean, cls or light_attention"):
        fresh("t5", pooling="pooler")
    with pytest.raises(ValueError, match="a t5 has no pooler"):
        ProteinClassifier(ProteinClassifierConfig(pretrained("t5").config, pooling="pooler"))


@pytest.mark.parametrize("head", ["linear", "tanh"])
def test_a_fresh_head_has_the_users_labels_and_fields(fresh, head):
    model = fresh(head=head, classifier_dropout=0.4, crop="tail", max_sequence_length=40)
    assert model.config.labels == LABELS
    assert model.config.label2id == {"Cytoplasm": 0, "Mitochondrion": 1, "Nucleus": 2}
    assert (model.config.head, model.config.classifier_dropout) == (head, 0.4)
    assert (model.config.crop, model.config.max_sequence_length) == ("tail", 40)
    assert not model.training


def test_an_encoder_without_labels_is_refused_in_one_line(checkpoint):
    with pytest.raises(ValueError, match="an encoder without a head \\(bert\\): name the classes, labels=") as error:
        ProteinClassifier.from_pretrained(checkpoint["bert"][0])
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_pooling_is_refused_by_name(fresh):
    with pytest.raises(ValueError, match="pooling='median'"):
        fresh(pooling="median")


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_attention_asked_for_reaches_the_backbone(checkpoint, proteins, pad, tmp_path, implementation):
    folder, _ = checkpoint["bert"]
    torch.manual_seed(1)
    model = ProteinClassifier.from_pretrained(folder, labels=LABELS, attn_implementation=implementation)
    assert model.backbone.config._attn_implementation == implementation
    model.save_pretrained(tmp_path / "saved")
    other = {"sdpa": "eager", "eager": "sdpa"}[implementation]
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", attn_implementation=other)
    assert again.backbone.config._attn_implementation == other
    assert torch.allclose(logits(again, pad(proteins)), logits(model, pad(proteins)), atol=1e-6)


@pytest.mark.parametrize("kind", BACKBONES)
def test_bfloat16_is_the_dtype_of_every_weight_and_of_a_reload(fresh, proteins, pad, tmp_path, kind):
    model = fresh(kind, dtype=torch.bfloat16, pooling="light_attention")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    batch = pad(proteins, model.config.pad_token_id) | {"labels": torch.tensor([0, 1, 2])}
    assert model(**batch).loss.dtype == torch.float32
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", dtype=torch.bfloat16)
    assert torch.equal(logits(again, batch), logits(model, batch))
    wide = ProteinClassifier.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    assert {parameter.dtype for parameter in wide.parameters()} == {torch.float32}


def test_a_foreign_bin_checkpoint_loads_and_the_log_says_so(checkpoint, tmp_path, log):
    _, source = checkpoint["bert"]
    pretrained("bert").config.save_pretrained(tmp_path / "foreign")
    torch.save(source, tmp_path / "foreign" / "pytorch_model.bin")
    model = ProteinClassifier.from_pretrained(tmp_path / "foreign", labels=LABELS)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, source["bert." + name]), name
    assert "foreign has no safetensors file: reading it through torch's weights_only loader" in log.text


def test_a_bin_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    pretrained("bert").config.save_pretrained(tmp_path)
    torch.save({"bert.embeddings.word_embeddings.weight": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(Exception, match="Weights only load failed"):
        ProteinClassifier.from_pretrained(tmp_path, labels=LABELS)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertForSequenceClassification"])
@pytest.mark.parametrize("options", [{}, {"trust_remote_code": True}])
def test_code_beside_the_weights_is_neither_run_nor_asked_about(tmp_path, monkeypatch, architecture, options):
    def asked(*args):
        raise AssertionError("a question to the user")

    monkeypatch.setattr("builtins.input", asked)
    pretrained("bert").save_pretrained(tmp_path)
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'evil')!r})\n")
    names = ["AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification"]
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"auto_map": dict.fromkeys(names, "evil.Evil"), "architectures": [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert ProteinClassifier.from_pretrained(tmp_path, labels=LABELS, **options).config.labels == LABELS
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "evil"}))
    with pytest.raises(ValueError, match="custom code"):
        ProteinClassifier.from_pretrained(tmp_path, labels=LABELS, **options)
    assert not (tmp_path / "evil").exists()


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


# saved and loaded again


@pytest.mark.parametrize("kind, pooling", COMBINATIONS)
def test_a_reloaded_classifier_gives_the_same_bits(fresh, proteins, pad, tmp_path, kind, pooling):
    head = "tanh" if pooling == "cls" else "linear"
    model = fresh(kind, pooling=pooling, head=head, crop="head")
    batch = pad(proteins, model.config.pad_token_id)
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved")
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert torch.equal(logits(again, batch), logits(model, batch))
    assert (again.config.labels, again.config.head, again.config.crop) == (LABELS, head, "head")


def test_only_safetensors_and_no_code_is_saved(fresh, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    assert sorted(os.listdir(tmp_path / "saved")) == ["config.json", "model.safetensors"]
    assert "auto_map" not in (tmp_path / "saved" / "config.json").read_text()


def test_auto_model_for_sequence_classification_opens_it(fresh, proteins, pad, tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    assert type(again) is ProteinClassifier
    assert torch.equal(logits(again, pad(proteins)), logits(model, pad(proteins)))


def test_an_esm_loads_where_transformers_names_its_frequencies_otherwise(fresh, proteins, pad, tmp_path):
    """As in the container that serves it: its transformers is older than the one that saved the model."""
    from safetensors.torch import load_file, save_file

    model = fresh("esm")
    model.save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if "inv_freq" not in name}
    save_file(tensors, path, {"format": "pt"})
    again = ProteinClassifier.from_pretrained(tmp_path / "saved")
    assert torch.equal(logits(again, pad(proteins, 1)), logits(model, pad(proteins, 1)))


def test_a_file_without_all_weights_is_refused_and_not_filled_with_random_ones(fresh, tmp_path):
    from safetensors.torch import load_file, save_file

    fresh(pooling="light_attention").save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "model.safetensors"
    tensors = load_file(path)
    del tensors["pooling.features.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match="1 weights are missing or of another shape .pooling.features.weight"):
        ProteinClassifier.from_pretrained(tmp_path / "saved")


def test_a_configuration_over_a_pretrained_encoder_does_not_give_a_random_backbone(checkpoint):
    folder, _ = checkpoint["bert"]
    config = ProteinClassifierConfig(pretrained("bert").config, num_labels=3)
    with pytest.raises(ValueError, match="is not the classifier that its configuration says"):
        ProteinClassifier.from_pretrained(folder, config=config)


@pytest.mark.parametrize("field, value", [("pooling", "cls"), ("pooling", "pooler"), ("head", "tanh")])
def test_a_trained_head_cannot_turn_into_another_by_an_option(fresh, tmp_path, field, value):
    fresh().save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match=f"trained with {field}='.*', not '{value}': name its classes, labels="):
        ProteinClassifier.from_pretrained(tmp_path / "saved", **{field: value})


def test_the_former_name_of_a_head_is_the_same_head(fresh, tmp_path):
    fresh(head="article").save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", head="article")
    assert again.config.head == "tanh" and isinstance(again.head.get_submodule("2"), torch.nn.Tanh)


def test_options_that_need_no_other_weights_apply_to_a_trained_classifier(fresh, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    model = ProteinClassifier.from_pretrained(tmp_path / "saved", classifier_dropout=0.7, freeze_layers=1, crop="tail")
    assert model.head.get_submodule("0").p == 0.7
    assert model.config.crop == "tail"
    assert not any(parameter.requires_grad for parameter in model.backbone.embeddings.parameters())
    with pytest.raises(ValueError, match="freeze_layers=9: expected 0 to 2"):
        ProteinClassifier.from_pretrained(tmp_path / "saved", freeze_layers=9)


def test_the_report_of_loading_names_what_is_fresh(fresh, checkpoint, bert_classifier, tmp_path):
    load = ProteinClassifier.from_pretrained
    head = {"head.1.weight", "head.1.bias"}
    model, info = load(checkpoint["bert"][0], labels=LABELS, output_loading_info=True)
    assert info["missing_keys"] == head
    assert "cls.predictions.bias" in info["unexpected_keys"]  # of the masked-language model
    pooler = {"backbone.pooler.dense.weight", "backbone.pooler.dense.bias"}
    _, info = load(checkpoint["bert"][0], labels=LABELS, pooling="pooler", output_loading_info=True)
    assert info["missing_keys"] == head | pooler
    model.save_pretrained(tmp_path / "saved")
    again, info = load(tmp_path / "saved", output_loading_info=True)
    assert type(again) is ProteinClassifier
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    _, info = load(tmp_path / "saved", labels=["a", "b"], output_loading_info=True)
    assert info["missing_keys"] == head
    _, info = load(bert_classifier[0], output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


@pytest.mark.parametrize("auto", [False, True])
def test_another_number_of_labels_takes_the_word_of_the_user_as_in_transformers(fresh, tmp_path, auto):
    load = (AutoModelForSequenceClassification if auto else ProteinClassifier).from_pretrained
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    with pytest.raises(RuntimeError, match="is not the classifier that its configuration says: 2 weights"):
        load(tmp_path / "saved", num_labels=5)
    other, info = load(tmp_path / "saved", num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True)
    assert {key for key, *_ in info["mismatched_keys"]} == {"head.1.weight", "head.1.bias"}
    assert other.config.labels == [f"LABEL_{index}" for index in range(5)]
    assert other.head.get_submodule("1").weight.shape == (5, 16)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(other.backbone.state_dict()[name], tensor), name


def test_what_was_fitted_to_other_labels_does_not_stay(fresh, tmp_path):
    multi = "multi_label_classification"
    fresh(problem_type=multi, thresholds=[0.1, 0.2, 0.3]).save_pretrained(tmp_path / "saved")
    load = ProteinClassifier.from_pretrained
    assert load(tmp_path / "saved").config.thresholds == [0.1, 0.2, 0.3]
    assert load(tmp_path / "saved", num_labels=2, ignore_mismatched_sizes=True).config.thresholds is None
    model = load(tmp_path / "saved", num_labels=2, ignore_mismatched_sizes=True, thresholds=[0.4, 0.5])
    assert model.config.task.thresholds == (0.4, 0.5)
    for labels in (["a", "b"], ["a", "b", "c"]):
        assert load(tmp_path / "saved", labels=labels).config.thresholds is None


def test_its_own_labels_for_another_kind_of_task_start_a_fresh_head(fresh, tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    multi = {"labels": LABELS, "problem_type": "multi_label_classification"}
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", **multi)
    assert not torch.equal(again.head.get_submodule("1").weight, model.head.get_submodule("1").weight)


def test_one_label_is_a_regression_as_in_transformers(fresh, checkpoint, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    model = ProteinClassifier.from_pretrained(tmp_path / "saved", num_labels=1, ignore_mismatched_sizes=True)
    assert model.config.problem_type == "regression"
    assert ProteinClassifier.from_pretrained(checkpoint["bert"][0], num_labels=1).config.problem_type == "regression"


@pytest.mark.parametrize("auto", [False, True])
def test_names_of_labels_and_the_problem_type_change_no_weight(fresh, proteins, pad, tmp_path, auto):
    load = (AutoModelForSequenceClassification if auto else ProteinClassifier).from_pretrained
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    names = {0: "in", 1: "out", 2: "between"}
    again = load(tmp_path / "saved", id2label=names, label2id={name: i for i, name in names.items()})
    assert again.config.labels == ["in", "out", "between"]
    assert again.config.label2id == {"in": 0, "out": 1, "between": 2}
    multi = load(tmp_path / "saved", problem_type="multi_label_classification")
    assert multi.config.task.problem_type == "multi_label_classification"
    for other in (again, multi):
        assert torch.equal(logits(other, pad(proteins)), logits(model, pad(proteins)))


def test_num_labels_or_id2label_name_the_classes_of_an_encoder_as_through_the_auto_class(checkpoint):
    folder, source = checkpoint["bert"]
    model = ProteinClassifier.from_pretrained(folder, num_labels=4)
    assert model.config.labels == ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]
    assert torch.equal(model.get_input_embeddings().weight, source["bert.embeddings.word_embeddings.weight"])
    named = ProteinClassifier.from_pretrained(folder, id2label={"0": "a", "1": "b"}, num_labels=2)
    assert (named.config.labels, named.config.label2id) == (["a", "b"], {"a": 0, "b": 1})


@pytest.mark.parametrize("fields", [{"num_labels": 2}, {"id2label": {0: "a", 1: "b", 2: "c"}}])
def test_labels_that_contradict_each_other_are_refused(checkpoint, fields):
    with pytest.raises(ValueError, match="contradict num_labels or id2label"):
        ProteinClassifier.from_pretrained(checkpoint["bert"][0], labels=LABELS, **fields)


def test_a_bert_classifier_takes_other_labels_as_its_own_class_does(bert_classifier, proteins, pad):
    folder, source = bert_classifier
    renamed = ProteinClassifier.from_pretrained(folder, id2label={0: "x", 1: "y", 2: "z"})
    assert renamed.config.labels == ["x", "y", "z"]
    assert (logits(renamed, pad(proteins)) - logits(source, pad(proteins))).abs().max() < 1e-5
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        ProteinClassifier.from_pretrained(folder, num_labels=2)
    model = ProteinClassifier.from_pretrained(folder, num_labels=2, ignore_mismatched_sizes=True)
    assert (model.num_labels, model.config.pooling) == (2, "pooler")
    assert torch.equal(model.backbone.pooler.dense.weight, source.bert.pooler.dense.weight)


@pytest.mark.parametrize("door", ["encoder", "classifier", "auto"])
def test_outputs_are_asked_for_when_loading(checkpoint, fresh, proteins, pad, tmp_path, door):
    fresh().save_pretrained(tmp_path / "saved")
    name, labels = (checkpoint["bert"][0], {"labels": LABELS}) if door == "encoder" else (tmp_path / "saved", {})
    load = (AutoModelForSequenceClassification if door == "auto" else ProteinClassifier).from_pretrained
    output = load(name, **labels, output_attentions=True, output_hidden_states=True)(**pad(proteins))
    assert len(output.hidden_states) == 3
    assert [attention.shape for attention in output.attentions] == [(3, 2, 16, 16)] * 2


def test_fields_of_the_encoder_can_be_set_when_loading(checkpoint, fresh, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    load, (folder, _) = ProteinClassifier.from_pretrained, checkpoint["bert"]
    whole = BertConfig.from_pretrained(folder, hidden_dropout_prob=0.4)
    for model in (
        load(folder, labels=LABELS, hidden_dropout_prob=0.4),
        load(folder, labels=LABELS, backbone_config={"hidden_dropout_prob": 0.4}),
        load(folder, labels=LABELS, backbone_config=whole),
        load(tmp_path / "saved", backbone_config={"hidden_dropout_prob": 0.4}),
        load(tmp_path / "saved", backbone_config=whole),
    ):
        assert model.backbone.embeddings.dropout.p == 0.4
        assert (model.config.hidden_size, model.config.labels) == (16, LABELS)


def test_a_configuration_that_was_given_stays_as_it_was(fresh, tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    config = ProteinClassifierConfig.from_pretrained(tmp_path / "saved")
    ProteinClassifier.from_pretrained(tmp_path / "saved", config=config, crop="tail", output_hidden_states=True)
    assert (config.crop, config.output_hidden_states) == ("ends", False)


def test_a_state_dict_is_taken_in_place_of_a_file_and_must_be_whole(fresh, proteins, pad):
    model = fresh()
    load, config, state = ProteinClassifier.from_pretrained, model.config, model.state_dict()
    again = load(None, config=config, state_dict=state)
    assert torch.equal(logits(again, pad(proteins)), logits(model, pad(proteins)))
    del state["head.1.bias"]
    with pytest.raises(ValueError, match="1 weights are missing or of another shape .head.1.bias"):
        load(None, config=config, state_dict=state)
    with pytest.raises(ValueError, match="give the name or the folder of a model, or a config and a state_dict"):
        load(None)


def test_auto_model_gives_the_backbone_with_its_trained_weights(fresh, proteins, pad, tmp_path):
    model = fresh(freeze_backbone=True, pooling="pooler")
    torch.nn.init.normal_(model.backbone.pooler.dense.weight)
    model.save_pretrained(tmp_path / "saved")
    backbone, info = AutoModel.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert type(backbone) is BertModel and type(backbone.config) is BertConfig
    assert not backbone.training and not info["missing_keys"]
    with torch.no_grad():
        found, expected = (bert(**pad(proteins)) for bert in (backbone, model.backbone))
    assert torch.equal(found.last_hidden_state, expected.last_hidden_state)
    assert torch.equal(found.pooler_output, expected.pooler_output)
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert type(AutoModel.from_config(model.config)) is BertModel


def test_its_own_labels_keep_the_head(fresh, proteins, pad, tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", labels=LABELS, pooling="mean")
    assert torch.equal(logits(again, pad(proteins)), logits(model, pad(proteins)))


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c"], LABELS[::-1]])
def test_other_labels_start_a_fresh_head_on_the_trained_backbone(fresh, tmp_path, log, labels):
    model = fresh(crop="tail")
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", labels=labels)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(again.backbone.state_dict()[name], tensor), name
    assert again.config.labels == labels
    assert again.config.crop == "tail"
    assert again.head.get_submodule("1").weight.shape == (len(labels), 16)
    assert not torch.equal(again.head.get_submodule("1").weight[:2], model.head.get_submodule("1").weight[:2])
    assert "starting a fresh head" in log.text


def test_labels_with_another_pooling_start_a_fresh_head_even_when_they_are_its_own(fresh, proteins, pad, tmp_path):
    model = fresh(pooling="pooler")
    model.save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved", labels=LABELS, pooling="light_attention")
    assert again.config.pooling == "light_attention"
    again(**pad(proteins), labels=torch.tensor([0, 1, 2])).loss.backward()
    # the pooler that is not used any more would stop DistributedDataParallel
    assert [name for name, parameter in again.named_parameters() if parameter.grad is None] == []


def test_a_pooler_that_was_not_saved_is_not_made_up(fresh, tmp_path):
    fresh().save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match="saved without its backbone's pooler"):
        ProteinClassifier.from_pretrained(tmp_path / "saved", labels=["a", "b"], pooling="pooler")


# classifiers of transformers


def test_a_bert_classifier_gives_the_logits_of_transformers_own_class(bert_classifier, proteins, pad):
    folder, source = bert_classifier
    model = ProteinClassifier.from_pretrained(folder)
    assert (logits(model, pad(proteins)) - logits(source, pad(proteins))).abs().max() < 1e-5
    assert model.config.labels == ["M", "S", "U"]
    assert (model.config.pooling, model.config.head, model.config.classifier_dropout) == ("pooler", "linear", 0.3)


def test_a_bert_classifier_is_ours_once_saved(bert_classifier, proteins, pad, tmp_path):
    folder, source = bert_classifier
    ProteinClassifier.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    again = ProteinClassifier.from_pretrained(tmp_path / "saved")
    assert (logits(again, pad(proteins)) - logits(source, pad(proteins))).abs().max() < 1e-5
    assert again.config.labels == ["M", "S", "U"]


def test_a_bert_classifier_keeps_its_head_for_its_own_labels(bert_classifier, proteins, pad):
    folder, source = bert_classifier
    model = ProteinClassifier.from_pretrained(folder, labels=["M", "S", "U"])
    assert (logits(model, pad(proteins)) - logits(source, pad(proteins))).abs().max() < 1e-5


def test_a_bert_classifier_with_other_labels_keeps_its_backbone(bert_classifier):
    folder, source = bert_classifier
    model = ProteinClassifier.from_pretrained(folder, labels=LABELS)
    assert (model.config.labels, model.config.pooling) == (LABELS, "mean")
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, source.bert.state_dict()[name]), name


def test_a_bert_classifiers_head_cannot_follow_another_pooling(bert_classifier):
    with pytest.raises(ValueError, match="trained with pooling='pooler', not 'mean'"):
        ProteinClassifier.from_pretrained(bert_classifier[0], pooling="mean")


def test_a_head_of_another_architecture_is_refused_and_replaced_when_labels_are_named(tmp_path):
    source = EsmForSequenceClassification(pretrained("esm").config)
    source.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="EsmForSequenceClassification, whose head this package does not have"):
        ProteinClassifier.from_pretrained(tmp_path)
    model = ProteinClassifier.from_pretrained(tmp_path, labels=LABELS)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, source.esm.state_dict()[name]), name


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
