import json
import os

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import InputError, ModelError, ProteinClassifierError
from protbert_classify.inference.saved_classifier import classifier_encoder, load_classifier
from tests.conftest import TINY_SHAPE

from .conftest import LABELS, LONG


def refusal(folder):
    with pytest.raises(ModelError) as error:
        load_classifier(folder)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(folder))
    assert isinstance(error.value, InputError) and error.value.exit_code == 2
    return message


@pytest.mark.parametrize("inside", ["", "model"])
def test_a_runs_folder_and_its_models_folder_are_the_same_model(run_folder, classifier, inside):
    model, tokenizer = load_classifier(run_folder / inside)
    for name, tensor in classifier.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    assert not model.training
    assert model.config.labels == LABELS
    assert tokenizer("mkt")["input_ids"] == protbert_tokenizer()("M K T")["input_ids"]


def test_a_bert_classifier_of_transformers_is_a_classifier_too(tmp_path):
    BertForSequenceClassification(BertConfig(**TINY_SHAPE)).save_pretrained(tmp_path)
    protbert_tokenizer().save_pretrained(tmp_path)
    model, tokenizer = load_classifier(tmp_path)
    assert model.config.labels == ["LABEL_0", "LABEL_1"]
    assert len(classifier_encoder(model, tokenizer)(LONG)) == 35


def test_a_folder_without_a_model_is_refused_with_what_was_expected(tmp_path):
    assert "no model there (no config.json); expected the output_dir of a run" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["/no/such/folder", "./typo", "runs/typo", "a/b/c", ".typo", "~/typo"])
def test_what_looks_like_a_path_is_not_asked_of_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(ProteinClassifier, "from_pretrained", lambda *args: 1 / 0)
    expected = "expected the output_dir of a training, a model folder, or owner/name on the Hub"
    assert refusal(name) == f"{name}: no such folder; {expected}"


def test_a_hub_that_cannot_be_reached_is_no_fault_of_the_name():
    with pytest.raises(ProteinClassifierError, match="no/such: no such folder here, and the Hub") as error:
        load_classifier("no/such")
    assert error.value.exit_code == 1


def test_an_encoder_without_a_head_is_refused(tmp_path):
    BertModel(BertConfig(**TINY_SHAPE)).save_pretrained(tmp_path)
    message = refusal(tmp_path)
    assert "an encoder without classes; fine-tune it first" in message
    assert f"protbert-classify train --data LABELLED.fasta --model_name_or_path {tmp_path}" in message


def test_a_model_without_its_tokenizer_is_refused(own_folder):
    (own_folder / "tokenizer.json").unlink()
    assert "no tokenizer there; expected tokenizer.json beside the weights" in refusal(own_folder)


def test_a_model_that_does_not_name_its_classes_is_taken_with_a_warning(tmp_path, log):
    config = ProteinClassifierConfig(TINY_SHAPE, num_labels=3)
    ProteinClassifier(config).save_pretrained(tmp_path)
    protbert_tokenizer().save_pretrained(tmp_path)
    load_classifier(tmp_path)
    assert "does not name its classes: they are LABEL_0, LABEL_1, ..." in log.text


@pytest.mark.parametrize("kept", [0, 4, 100, -100])
def test_damaged_weights_are_refused(own_folder, kept):
    path = own_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(own_folder)
    assert "its weights are damaged" in message and "copy or download them again" in message


def test_missing_weights_are_refused(own_folder):
    os.remove(own_folder / "model.safetensors")
    assert "model.safetensors" in refusal(own_folder)


def test_a_configuration_that_is_no_json_is_refused(own_folder):
    (own_folder / "config.json").write_text("{")
    assert "not a valid JSON file" in refusal(own_folder)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"format_version": 99}, "format version 99"),
        ({"pooling": "median"}, "pooling='median'"),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}, "2 weights are missing or of another shape"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(own_folder, change, message):
    path = own_folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert message in refusal(own_folder)


@pytest.mark.parametrize("crop, kept", [("ends", LONG[:10] + LONG[-10:]), ("head", LONG[:20]), ("tail", LONG[-20:])])
def test_proteins_are_cropped_as_in_training(classifier, tokenizer, crop, kept):
    classifier.config.crop = crop
    encoder = classifier_encoder(classifier, tokenizer)
    assert list(encoder(LONG)) == tokenizer(kept)["input_ids"]


def test_proteins_are_cropped_to_the_positions_of_an_esm_1b(tiny_classifier, tokenizer):
    shape = {"model_type": "esm", "vocab_size": 30, "pad_token_id": 0, "max_position_embeddings": 64}
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = tiny_classifier(shape={**shape, **size})
    ids = list(classifier_encoder(model, tokenizer)("M" * 500))
    assert len(ids) == 63
    assert model(torch.tensor([ids])).logits.isfinite().all()


def test_without_a_trained_length_the_positions_are_the_limit(classifier, tokenizer):
    classifier.config.max_sequence_length = None
    assert len(classifier_encoder(classifier, tokenizer)("M" * 500)) == classifier.max_positions == 128
