"""An ensemble of saved models: built from runs or models that fit together, and from no others."""

import shutil

import pytest
import torch

from protbert_classify import (
    ProteinClassifier,
    ProteinEnsemble,
    ProteinTrainer,
    ProteinTrainingArguments,
    build_ensemble,
)
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import ModelError, OptionError
from protbert_classify.inference.predict import _fingerprint
from protbert_classify.inference.saved_classifier import load_classifier
from tests.training.runs import encoded_proteins

from .conftest import build_classifier


def save(folder, scale=1.0, **fields):
    model = build_classifier(**fields)
    with torch.no_grad():
        model.head[1].weight *= scale
    model.save_pretrained(folder)
    protbert_tokenizer().save_pretrained(folder)
    return folder


def test_runs_and_models_become_one_model_in_the_order_given(run_folder, tmp_path):
    folders = [run_folder, save(tmp_path / "other", -2.0, calibration_temperature=1.5)]
    ensemble = build_ensemble(folders, tmp_path / "both")
    loaded, tokenizer = load_classifier(tmp_path / "both", "cpu")
    assert type(ensemble) is type(loaded) is ProteinEnsemble
    assert tokenizer("MKT")["input_ids"] == protbert_tokenizer()("MKT")["input_ids"]
    for member, folder in zip(loaded.members, [run_folder / "model", tmp_path / "other"], strict=True):
        alone = ProteinClassifier.from_pretrained(folder)
        assert all(torch.equal(a, b) for a, b in zip(member.parameters(), alone.parameters(), strict=True))
        assert member.config.calibration_temperature == alone.config.calibration_temperature


def test_models_that_do_not_fit_together_are_refused_in_one_line(run_folder, tmp_path):
    with pytest.raises(OptionError, match="an ensemble of 1: expected two models or more"):
        build_ensemble([run_folder])
    cropped = save(tmp_path / "cropped", crop="tail")
    with pytest.raises(
        OptionError, match="no ensemble of .*: model 2: crop is tail, in the first ends; expected the same"
    ):
        build_ensemble([run_folder, cropped])
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        build_ensemble([run_folder, tmp_path / "nowhere"])
    other = shutil.copytree(run_folder / "model", tmp_path / "spoken")
    path = other / "tokenizer.json"
    text = path.read_text()
    assert '"A":' in text and '"L":' in text
    path.write_text(text.replace('"A":', '"?":').replace('"L":', '"A":').replace('"?":', '"L":'))
    with pytest.raises(OptionError, match="have different tokenizers; expected the same"):
        build_ensemble([run_folder, other])


def test_a_trainer_refuses_an_ensemble(run_folder, tmp_path):
    ensemble = build_ensemble([run_folder, run_folder])
    with pytest.raises(OptionError, match="an ensemble is not trained further: train its members, and build it again"):
        ProteinTrainer(ensemble, ProteinTrainingArguments(str(tmp_path)), train_dataset=encoded_proteins(8))


def test_predictions_of_another_ensemble_are_not_continued(run_folder, tmp_path):
    """`predict` continues only what the same weights began; here the second member alone differs."""
    others = [save(tmp_path / str(scale), scale) for scale in (2.0, 3.0)]
    prints = {_fingerprint(build_ensemble([run_folder, other])) for other in others}
    assert len(prints) == 2


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_heads_of_members_stay_in_float32(run_folder, tmp_path, precision):
    build_ensemble([run_folder, run_folder], tmp_path / "both")
    model, _ = load_classifier(tmp_path / "both", "cpu", precision)
    expected = getattr(torch, precision)
    for member in model.members:
        assert member.backbone.dtype == expected
        assert member.head[1].weight.dtype == torch.float32
