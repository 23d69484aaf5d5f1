"""The card says what the run recorded, nothing else, and no name breaks it."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from protbert_classify.data.deeploc import URL
from protbert_classify.evaluation.calibration import calibration
from protbert_classify.evaluation.decision import Decision, decide_task
from protbert_classify.evaluation.intervals import bootstrap_intervals, task_intervals
from protbert_classify.evaluation.metrics import classification_metrics
from protbert_classify.model.tasks import Task
from protbert_classify.reporting.card import Licences, escaped, hub_id
from protbert_classify.reporting.model_card import EXAMPLE, draw_card_pictures, model_card
from protbert_classify.runs.finished_run import Run, read_run
from protbert_classify.runs.predictions import Predictions
from tests.conftest import TINY_SHAPE
from tests.reporting.runs import MELTING, MEMBRANE, PLACES, STABILITY, write_tasks_run

LABELS = ["Cell <wall>", "In|Out", "a: b_c", "[x](y) `z`"]
TASK = Task(name="location", problem_type="single_label_classification", labels=LABELS)


@pytest.fixture
def config(tiny_classifier):
    def build(**fields):
        return tiny_classifier(labels=LABELS, max_sequence_length=64, **fields).config

    return build


@pytest.fixture
def run(tmp_path):
    """A run of 80 test proteins, with awkward names of classes."""
    generator = np.random.default_rng(0)
    references = np.repeat(np.arange(4), [40, 30, 8, 2])
    probabilities = generator.dirichlet(np.ones(4), 80)
    probabilities[np.arange(80), references] += 0.7
    probabilities /= probabilities.sum(1, keepdims=True)
    chosen = np.eye(4, dtype=bool)[probabilities.argmax(1)]
    metrics = classification_metrics(probabilities.argmax(1), references, LABELS)
    ids = [f"P{index}" for index in range(80)]
    lengths = sorted(generator.integers(20, 100, 80).tolist())
    split = {"classes": dict(zip(LABELS, [40, 30, 8, 2])), "lengths": lengths}
    return Run(
        folder=str(tmp_path / "runs" / "mine"),
        tasks=(TASK,),
        metrics={
            **{f"test_{name}": value for name, value in metrics.items()},
            **{"test_proteins": 80, "parameters": 12_345, "train_runtime": 90.0, "epoch": 2.0},
        },
        record={
            "model_arguments": {"model_name_or_path": "Rostlab/prot_bert_bfd", "backbone_config": None},
            "data_arguments": {"data": None, "crop": "ends", "max_length": 64},
            "training_arguments": {"learning_rate": 3e-5, "seed": 0, "fp16": False, "hub_token": "<HUB_TOKEN>"},
            "data_fingerprint": {"train": "ab" * 32, "test": "cd" * 32},
            "device": "NVIDIA H100",
            "world_size": 2,
            "versions": {"torch": "2.13.0"},
        },
        log=[],
        data={"max_residues": 62, "splits": {"train": split, "test": split}},
        predictions=Predictions(ids, np.full(80, 50), Decision(TASK, probabilities, chosen), references),
    )


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_metadata_has_the_exact_metrics_with_backbone_and_task(config, run):
    card = ModelCard(model_card(config(), "me/mine", run, Licences(model="afl-3.0")))
    results = {result.metric_type: (result.metric_value, result.dataset_split) for result in card.data.eval_results}
    assert results == {
        "accuracy": (run.metrics["test_accuracy"], "test"),
        "matthews_correlation": (run.metrics["test_mcc"], "test"),
        "f1": (run.metrics["test_macro_f1"], "test"),
    }
    assert {result.dataset_name for result in card.data.eval_results} == {"DeepLoc 1.0"}
    assert (card.data.license, card.data.base_model) == ("afl-3.0", "Rostlab/prot_bert_bfd")
    assert (card.data.pipeline_tag, card.data.library_name) == ("text-classification", "transformers")
    assert card.data.model_name == "mine" and card.data.widget[0]["text"].startswith("MNRGV")
    assert card.data.datasets is None, "a file is no dataset of the Hub"


def test_the_text_has_values_with_intervals_calibration_data_training_and_references(config, run):
    text = model_card(config(pooling="light_attention"), "me/mine", run)
    for name in ("accuracy", "mcc", "macro_f1"):
        low, high = bootstrap_intervals(run.metrics["test_confusion_matrix"])[name]
        assert f"**{run.metrics[f'test_{name}']:.3f}** ({low:.3f} to {high:.3f})" in text
    ece = calibration(run.predictions.decision, run.predictions.references)["ece"]
    assert f"expected calibration error is **{ece:.3f}**" in text
    assert f"[DeepLoc 1.0]({URL})" in text and "`" + "ab" * 32 + "`" in text
    assert "1 min" in text or "90 s" in text
    assert "NVIDIA H100, 2 processes" in text and "torch 2.13.0" in text
    assert "| `learning_rate` | 3e-05 |" in text and "| `seed` | 0 |" in text and "fp16" not in text
    assert "HUB_TOKEN" not in text
    for doi in ("10.1109/TPAMI.2021.3095381", "10.1093/bioadv/vbab035", "10.1093/bioinformatics/btx431"):
        assert f"https://doi.org/{doi}" in text
    assert "It reads 62 residues. Longer proteins lose their middle" in text
    assert "@misc{mine,\n  title = {{mine}},\n  author = {{me}}," in text


ADAPTER = {"tuning": "lora", "lora_kind": "dora", "lora_rank": 4, "lora_targets": []}


def test_an_adapter_is_among_the_options_and_cited(config, run):
    card = model_card(config(), "me/mine", dataclasses.replace(run, record={**run.record, "model_arguments": ADAPTER}))
    assert "| `tuning` | lora |" in card and "| `lora_rank` | 4 |" in card and "lora_targets" not in card
    assert "https://doi.org/10.48550/arXiv.2402.09353" in card and "QLoRA" not in card
    in_four_bits = {**ADAPTER, "lora_bits": 4}
    told = dataclasses.replace(run, record={**run.record, "model_arguments": in_four_bits})
    assert "Dettmers et al. 2023, QLoRA" in model_card(config(), "me/mine", told)
    scaled = {**ADAPTER, "lora_kind": "ia3"}
    card = model_card(config(), "me/mine", dataclasses.replace(run, record={**run.record, "model_arguments": scaled}))
    assert "| `lora_kind` | ia3 |" in card and "lora_rank" not in card
    plain = {**ADAPTER, "tuning": "full"}
    card = model_card(config(), "me/mine", dataclasses.replace(run, record={**run.record, "model_arguments": plain}))
    assert "lora" not in card.lower()


def test_losses_and_layers_are_among_the_options_and_those_of_another_pooling_are_not(config, run):
    given = {"loss": "focal", "layer": "8", "pooling": "mean", "light_attention_kernel_size": 9}
    training = {"class_weights": 0.3, "class_sampling": 0.0, "head_learning_rate": None, "layer_decay": 0.9}
    record = {**run.record, "model_arguments": given, "training_arguments": training}
    card = model_card(config(), "me/mine", dataclasses.replace(run, record=record))
    for row in ("| `loss` | focal |", "| `layer` | 8 |", "| `class_weights` | 0.3 |", "| `layer_decay` | 0.9 |"):
        assert row in card
    assert not any(name in card for name in ("light_attention", "class_sampling", "head_learning_rate"))


def test_names_of_classes_with_markup_stay_what_they_are_and_keep_the_tables_whole(config, run):
    text = model_card(config(), "me/mine", run)
    table = next(i for i, row in enumerate(rows(text)) if row.startswith("| class |"))
    classes = rows(text)[table + 2 : table + 6]
    assert [row.split(" | ")[0] for row in classes] == [
        "| Cell &lt;wall&gt;",
        "| In\\|Out",
        "| a: b\\_c",
        "| \\[x\\](y) \\`z\\`",
    ]
    assert {len(row.replace("\\|", "").split("|")) for row in classes} == {9}
    assert ModelCard(text).data.eval_results, "the metadata can be read"


def test_without_a_run_nothing_is_claimed(config):
    text = model_card(config(), "me/mine")
    card = ModelCard(text)
    assert card.data.eval_results is None and card.data.base_model is None and card.data.license is None
    for heading in ("## Classes", "## Calibration", "## Data", "## Training"):
        assert heading not in text
    assert "was not recorded" in text and "not stated by who published it" in text
    assert "Whether its scores are probabilities was not measured" in text


def test_without_test_proteins_the_card_says_that_the_numbers_are_optimistic(config, run):
    metrics = {name.replace("test_", "validation_"): value for name, value in run.metrics.items()}
    text = model_card(config(), "me/mine", dataclasses.replace(run, metrics=metrics, predictions=None))
    assert {result.dataset_split for result in ModelCard(text).data.eval_results} == {"validation"}
    assert "optimistic" in text and "## Calibration" not in text and "reliability" not in text


def test_similarity_that_was_not_measured_is_a_limit(config, run):
    limits = model_card(config(), "me/mine", run).split("## Limits")[1].split("\n- ")
    found = next(" ".join(limit.split()) for limit in limits if "proteins like those" in limit)
    assert found == (
        "The numbers hold for proteins like those it was measured on. Whether these resemble the training proteins was "
        "not measured here; expect less on proteins without known relatives."
    )


def test_classes_with_few_proteins_are_named_among_the_limits(config, run):
    text = model_card(config(), "me/mine", run)
    assert "Fewer than 30 proteins were evaluated of a: b\\_c and \\[x\\](y) \\`z\\`: their" in text


def test_a_network_from_scratch_has_no_base_model(config, run):
    record = {**run.record, "model_arguments": {"model_name_or_path": None, "backbone_config": {"model_type": "bert"}}}
    text = model_card(config(), "me/mine", dataclasses.replace(run, record=record))
    assert ModelCard(text).data.base_model is None
    assert "trained from scratch" in text and "Its backbone" not in text


def test_data_of_the_hub_is_linked_and_a_file_is_named_without_its_folders(config, run):
    def card_of(data):
        record = {**run.record, "data_arguments": {**run.record["data_arguments"], "data": data}}
        return ModelCard(model_card(config(), "me/mine", dataclasses.replace(run, record=record)))

    there = card_of("me/deeploc")
    assert there.data.datasets == ["me/deeploc"] and "(https://huggingface.co/datasets/me/deeploc)" in there.text
    here = card_of("/home/somebody/secret/proteins.fasta")
    assert here.data.datasets is None and "proteins.fasta" in here.text and "somebody" not in here.text


def test_the_pictures_are_drawn_as_far_as_there_is_something_to_draw(run, tmp_path):
    found = draw_card_pictures(run, str(tmp_path))
    assert sorted(found) == ["figures/confusion_matrix.png", "figures/reliability.png"]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in found.values())
    assert draw_card_pictures(None, str(tmp_path)) == {}


def test_only_what_can_be_a_repository_is_taken_for_one(tmp_path):
    (tmp_path / "runs" / "mlm").mkdir(parents=True)
    folder = str(tmp_path / "runs" / "mine")
    assert hub_id("Rostlab/prot_bert_bfd", folder) == "Rostlab/prot_bert_bfd"
    for name in ("runs/mlm", "data/proteins.fasta", "./x", "/a/b", "x", "a/b/c", None):
        assert hub_id(name, folder) is None


def test_escaped_text_is_one_line_without_markup():
    assert escaped("a\nb|c<d>&*e*") == "a b\\|c&lt;d&gt;&amp;\\*e\\*"


def configured(tiny_classifier, tasks, **fields):
    """A model of any tasks, the main one first."""
    main, *others = tasks
    return tiny_classifier(
        labels=main.labels,
        shape=TINY_SHAPE | {"initializer_range": 0.3},
        **{"problem_type": main.problem_type, "task_name": main.name, "max_sequence_length": 100, "crop": "head"},
        **{"thresholds": main.thresholds, "target_mean": main.mean, "target_std": main.std},
        auxiliary_tasks=others,
        **fields,
    ).eval()


def test_the_card_of_several_labels_has_their_metrics_thresholds_and_limits(tiny_classifier, tmp_path):
    run = read_run(write_tasks_run(tmp_path / "run", [PLACES, MEMBRANE]))
    text = model_card(configured(tiny_classifier, [PLACES, MEMBRANE]).config, "me/mine", run)
    results = [(r.metric_type, r.metric_name, r.metric_value) for r in ModelCard(text).data.eval_results]
    assert results[:2] == [
        ("f1", "Micro F1", run.metrics["test_micro_f1"]),
        ("f1", "Macro F1", run.metrics["test_macro_f1"]),
    ]
    assert {name for _, name, _ in results} >= {"Jaccard", "Subset accuracy", "MCC", "Average precision"}
    assert "which of 5 classes a protein belongs to, one or several" in text
    header = "| class | to train | test | precision | recall | F1 | MCC | average precision | threshold |"
    assert header in rows(text) and rows(text)[rows(text).index(header) + 2].startswith("| Cytoplasm | ")
    low, high = task_intervals(run.predictions.decision, run.predictions.references)["jaccard"]
    assert f"**{run.metrics['test_jaccard']:.3f}** ({low:.3f} to {high:.3f})" in text
    assert "It always predicts at least one of its 5 classes" in text
    assert "own threshold on, chosen on validation" in text
    membrane = f"- membrane (M and S): accuracy **{run.metrics['test_membrane_accuracy']:.3f}** ("
    assert "## Auxiliary tasks" in text and membrane in text
    assert sorted(draw_card_pictures(run, str(tmp_path))) == ["figures/per_class.png", "figures/reliability.png"]
    assert "](figures/per_class.png)" in text and "](figures/reliability.png)" in text


def test_the_card_of_numbers_has_their_errors_and_claims_no_scores(tiny_classifier, tmp_path):
    run = read_run(write_tasks_run(tmp_path / "run", [STABILITY]))
    text = model_card(configured(tiny_classifier, [STABILITY]).config, "me/mine", run)
    results = {r.metric_type: r.metric_value for r in ModelCard(text).data.eval_results}
    assert results == {
        "spearmanr": run.metrics["test_spearman"],
        "pearsonr": run.metrics["test_pearson"],
        "r_squared": run.metrics["test_r2"],
        "mae": run.metrics["test_mae"],
    }
    assert "Predicts 2 numbers for a protein by its sequence:\nmelting point and half-life." in text
    assert "| number | to train | test | Spearman | Pearson | R² | MAE |" in rows(text) and "## Numbers" in text
    assert "softmax" not in text and "probabilities" not in text and "Calibration" not in text
    assert list(draw_card_pictures(run, str(tmp_path))) == ["figures/predicted_and_true.png"]


def test_without_predictions_there_are_no_intervals_and_the_card_explains_none(tiny_classifier, tmp_path):
    run = read_run(write_tasks_run(tmp_path / "run", [PLACES], test=False))
    text = model_card(configured(tiny_classifier, [PLACES]).config, "me/mine", run)
    assert f"| validation | 60 | **{run.metrics['validation_micro_f1']:.3f}** |" in text
    assert "bootstrap" not in text and "optimistic" in text


def test_the_last_evaluation_of_an_unjudged_training_has_its_own_metrics(tiny_classifier, tmp_path):
    folder = write_tasks_run(tmp_path / "run", [MELTING])
    run = dataclasses.replace(read_run(folder), metrics={}, predictions=None)
    text = model_card(configured(tiny_classifier, [MELTING]).config, "me/mine", run)
    assert "Spearman 0.450, Pearson 0.500, R² 0.550, MAE 3." in text


LOCATION = Task(name="location", problem_type="single_label_classification", labels=["Nucleus", "Golgi", "Plastid"])
UNFITTED = dataclasses.replace(PLACES, thresholds=None)
UNSCALED = dataclasses.replace(STABILITY, mean=None, std=None)


@pytest.mark.parametrize(
    "task", [LOCATION, PLACES, UNFITTED, STABILITY, UNSCALED], ids=["class", "labels", "0.5", "numbers", "raw"]
)
@pytest.mark.parametrize("protein", ["", "MKTAYIAKQR"], ids=["the card's", "another"])
def test_the_code_on_the_card_prints_what_the_decision_is(tiny_classifier, tokenizer, tmp_path, capsys, task, protein):
    model = configured(tiny_classifier, [task], seed=3)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    text = model_card(model.config, "me/mine")
    code = text.split("by the code in this repository:\n\n```python\n")[1].split("```")[0]
    code = code.replace("me/mine", str(tmp_path / "model")).replace(EXAMPLE, protein or EXAMPLE)
    exec(code, {})
    printed = capsys.readouterr().out.strip()
    with torch.no_grad():
        logits = model(**tokenizer(protein or EXAMPLE, return_tensors="pt")).logits.numpy()
    expected = decide_task(logits, task).answer(0)
    if task is LOCATION:
        label, score = printed.split()
        assert (label, float(score)) == (expected["label"], pytest.approx(expected["score"], abs=1e-5))
    else:
        found = ast.literal_eval(printed)
        assert found == pytest.approx({part["label"]: part["score"] for part in expected}, rel=1e-4, abs=1e-5)
