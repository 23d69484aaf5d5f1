"""An ensemble gives the means of its members' scores, saved and loaded, packed and padded."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from protbert_classify import ProteinClassifier, ProteinClassifierConfig, ProteinEnsemble
from protbert_classify.evaluation.decision import decide
from protbert_classify.model.tasks import MULTI_LABEL, REGRESSION
from tests.conftest import TINY_SHAPE

LABELS = ["Cytoplasm", "Mitochondrion", "Nucleus"]
MEMBRANE = {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"]}
# what each of three members was fitted to, for each kind of task
FITTED = {
    "single_label_classification": [
        {},
        {"calibration_temperature": 2.0},
        {"calibration_temperature": [0.5, 1.0, 2.0], "calibration_bias": [0.1, -0.2, 0.0]},
    ],
    MULTI_LABEL: [{"thresholds": [0.2, 0.5, 0.7]}, {"thresholds": [0.4, 0.5, 0.1]}, {"calibration_temperature": 3.0}],
    REGRESSION: [
        {"target_mean": [1.0, 2.0, 3.0], "target_std": [2.0, 2.0, 2.0]},
        {"target_mean": [0.0, 5.0, 3.0], "target_std": [1.0, 4.0, 9.0]},
        {},
    ],
}


def member(seed, problem_type="single_label_classification", auxiliary=None, **fields):
    torch.manual_seed(seed)
    config = ProteinClassifierConfig(
        TINY_SHAPE | {"initializer_range": 0.3},
        labels=LABELS,
        problem_type=problem_type,
        auxiliary_tasks=[MEMBRANE | (auxiliary or {})],
        max_sequence_length=22,
        **fields,
    )
    return ProteinClassifier(config).eval()


def members(problem_type="single_label_classification"):
    return [
        member(seed, problem_type, {"temperature": 1.0 + seed}, **fitted)
        for seed, fitted in enumerate(FITTED[problem_type])
    ]


def scores(model, batch):
    """Of the main and of the auxiliary task, each in columns, as `predict` would write them."""
    with torch.inference_mode():
        output = model(**batch)
    logits = torch.cat([output.logits, output.auxiliary_logits], -1).numpy()
    answers = decide(logits, model.config)
    return np.concatenate([answers.scores, answers.auxiliary["membrane"].scores], axis=1)


@pytest.fixture
def batch(proteins, pad):
    return pad(proteins)


@pytest.mark.parametrize("problem_type", FITTED)
def test_scores_are_the_means_of_the_members_calibrated_scores(problem_type, batch, tmp_path):
    models = members(problem_type)
    each = [scores(model, batch) for model in models]
    assert min(np.abs(one - other).max() for one, other in zip(each, each[1:], strict=False)) > 0.01
    ensemble = ProteinEnsemble.from_members(models)
    np.testing.assert_allclose(scores(ensemble, batch), np.mean(each, axis=0), atol=1e-6, rtol=1e-6)
    ensemble.save_pretrained(tmp_path)
    for door in (ProteinClassifier, AutoModelForSequenceClassification, ProteinEnsemble):
        loaded = door.from_pretrained(tmp_path)
        assert type(loaded) is ProteinEnsemble
        np.testing.assert_array_equal(scores(loaded, batch), scores(ensemble, batch))


def test_very_sure_members_are_averaged_without_overflow(batch):
    models = members(MULTI_LABEL)
    for model in models:
        torch.nn.init.constant_(model.head[1].bias, 200.0)
    logits = ProteinEnsemble.from_members(models)(**batch).logits
    assert torch.isfinite(logits).all()
    assert (logits.sigmoid() > 0.999).all()


def test_thresholds_are_the_means_of_the_members(batch):
    ensemble = ProteinEnsemble.from_members(members(MULTI_LABEL))
    assert ensemble.config.thresholds == pytest.approx([(0.2 + 0.4 + 0.5) / 3, 0.5, (0.7 + 0.1 + 0.5) / 3])


def test_building_an_ensemble_leaves_its_members_as_they_were(batch):
    models = members()
    before = [(scores(model, batch), model.config.to_dict()) for model in models]
    ProteinEnsemble.from_members(models)
    for model, (values, config) in zip(models, before, strict=True):
        np.testing.assert_array_equal(scores(model, batch), values)
        assert model.config.to_dict() == config


def test_packed_and_padded_scores_are_equal(proteins, batch):
    from protbert_classify.inference.logits import predict_logits

    ensemble = ProteinEnsemble.from_members(members())
    ids = [protein.numpy() for protein in proteins]
    padded = predict_logits(ensemble, ids)
    assert ensemble.enable_packing() is None
    assert {model.backbone.config._attn_implementation for model in ensemble.members} == {"padding_free"}
    np.testing.assert_allclose(predict_logits(ensemble, ids), padded, atol=1e-5)


def test_a_member_may_have_another_pooling_and_head(batch):
    models = [member(0), member(1, pooling="light_attention", head="tanh")]
    ensemble = ProteinEnsemble.from_members(models)
    assert ensemble.config.members[1].items() >= {"pooling": "light_attention", "head": "tanh"}.items()
    assert not {"classifier_dropout", "crop", "light_attention_kernel_size"} & set(ensemble.config.members[1])
    expected = np.mean([scores(model, batch) for model in models], axis=0)
    np.testing.assert_allclose(scores(ensemble, batch), expected, atol=1e-6)


def relabelled():
    model = member(1)
    model.config.id2label = dict(enumerate("ABC"))
    return model


def resized():
    config = ProteinClassifierConfig(
        TINY_SHAPE | {"num_hidden_layers": 1}, labels=LABELS, auxiliary_tasks=[MEMBRANE], max_sequence_length=22
    )
    return ProteinClassifier(config)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (relabelled, r"model 2: labels is \['A', 'B', 'C'\], in the first"),
        (lambda: member(1, crop="head"), "model 2: crop is head, in the first ends; expected the same in all"),
        (resized, "model 2: num_hidden_layers is 1, in the first 2; expected the same in all"),
        (lambda: member(1, auxiliary={"labels": ["S", "M"]}), "model 2: auxiliary_tasks is "),
        (lambda: ProteinEnsemble.from_members([member(0), member(1)]), "model 2 is an ensemble: expected its members"),
    ],
)
def test_models_that_do_not_fit_together_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        ProteinEnsemble.from_members([member(0), other()])


def test_one_model_is_no_ensemble():
    with pytest.raises(ValueError, match="an ensemble of 1: expected two models or more"):
        ProteinEnsemble.from_members([member(0)])


def test_an_ensemble_is_not_trained_further_and_has_no_one_backbone(tmp_path):
    ensemble = ProteinEnsemble.from_members([member(0), member(1)])
    with pytest.raises(ValueError, match="an ensemble is not trained further: train its members"):
        ensemble.train()
    ensemble.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is an ensemble: load the backbone of a member"):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is an ensemble: a fresh head needs one backbone; start from a member"):
        ProteinClassifier.from_pretrained(tmp_path, labels=["A", "B"])


def test_a_configuration_builds_the_class_that_it_is_of():
    config = ProteinEnsemble.from_members([member(0), member(1)]).config
    assert type(AutoModelForSequenceClassification.from_config(config)) is ProteinEnsemble
    with pytest.raises(ValueError, match=r"expected ProteinEnsemble\(config\)"):
        ProteinClassifier(config)
    with pytest.raises(ValueError, match=r"expected ProteinClassifier\(config\)"):
        ProteinEnsemble(member(0).config)


def test_models_of_former_versions_load(tmp_path):
    model = member(0)
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"format_version": 4', '"format_version": 3'))
    assert AutoConfig.from_pretrained(tmp_path).members is None
    assert type(ProteinClassifier.from_pretrained(tmp_path)) is ProteinClassifier


def test_a_loss_is_that_of_the_averaged_scores(batch):
    ensemble = ProteinEnsemble.from_members(members())
    output = ensemble(**batch, labels=torch.tensor([0, 1, 2]))
    expected = -output.logits.log_softmax(-1)[range(3), [0, 1, 2]].mean()
    assert float(output.loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
