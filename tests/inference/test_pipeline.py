import runpy
import subprocess
import sys

import pytest
import transformers
from transformers import BertConfig, BertForSequenceClassification

from protbert_classify import ProteinClassificationPipeline
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import SequenceError
from tests.conftest import ROOT, TINY_SHAPE

from .conftest import LABELS, LONG, build_classifier

PROTEINS = ["MKTAYIAKQR", "MLSRAVCGTSRQLAPVLAYLGSRQKHSLPD", "WWCCHH"]


@pytest.fixture
def pipe(classifier, tokenizer):
    return ProteinClassificationPipeline(model=classifier, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def folder_pipe(run_folder):
    return transformers.pipeline("protein-classification", model=str(run_folder / "model"))


@pytest.mark.slow
def test_who_has_a_model_has_the_task(run_folder):
    code = (
        "from protbert_classify import ProteinClassifier\nfrom transformers import pipeline\n"
        f"assert pipeline('protein-classification', model={str(run_folder / 'model')!r})('MKT')['label']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def assert_scores(calls, expected):
    """All classes, best first, with these probabilities."""
    assert [call["score"] for call in calls] == sorted((call["score"] for call in calls), reverse=True)
    assert {call["label"]: call["score"] for call in calls} == pytest.approx(dict(zip(LABELS, expected)), abs=1e-6)


@pytest.mark.parametrize("protein", [*PROTEINS, LONG])
def test_scores_are_the_models_probabilities(pipe, expected_scores, protein):
    assert_scores(pipe(protein, top_k=None), expected_scores(protein))


@pytest.mark.parametrize("protein", [*PROTEINS, LONG])
def test_a_saved_folder_is_all_that_transformers_pipeline_needs(folder_pipe, expected_scores, protein):
    assert type(folder_pipe) is ProteinClassificationPipeline
    assert_scores(folder_pipe(protein, top_k=None), expected_scores(protein))


@pytest.mark.parametrize("spelling", ["mktayiakqr", "M K T A Y I A K Q R", "m k t a y\ni a k q r\n", "MKTAYIAKQR*"])
def test_spelling_changes_nothing(pipe, spelling):
    assert pipe(spelling, top_k=None) == pipe("MKTAYIAKQR", top_k=None)


def test_one_protein_gets_its_best_class(pipe, expected_scores):
    scores = expected_scores(PROTEINS[0])
    call = pipe(PROTEINS[0])
    assert call == {"label": LABELS[scores.index(max(scores))], "score": pytest.approx(max(scores), abs=1e-6)}


@pytest.mark.parametrize("top_k, count", [(2, 2), (3, 3), (99, 3), (None, 3)])
def test_top_k_classes_come_best_first(pipe, top_k, count):
    every = pipe(PROTEINS[0], top_k=None)
    assert pipe(PROTEINS[0], top_k=top_k) == every[:count]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a_list_is_answered_in_its_order_whatever_the_batch(pipe, batch_size):
    calls = pipe(PROTEINS, top_k=None, batch_size=batch_size)
    assert len(calls) == 3
    for protein, answer in zip(PROTEINS, calls):
        scores = {call["label"]: call["score"] for call in answer}
        assert scores == pytest.approx({call["label"]: call["score"] for call in pipe(protein, top_k=None)}, abs=1e-6)


def test_a_generator_is_answered_one_by_one(pipe):
    assert list(pipe(protein for protein in PROTEINS)) == pipe(PROTEINS)


def test_a_model_still_in_training_mode_is_put_in_evaluation_mode(tokenizer):
    model = build_classifier(classifier_dropout=0.9).train()
    pipe = ProteinClassificationPipeline(model=model, tokenizer=tokenizer)
    assert pipe(PROTEINS[0]) == pipe(PROTEINS[0])
    assert not model.training


@pytest.mark.parametrize(
    "protein, message",
    [("MK1T", "'1' at position 3 is no residue"), ("MKé", "'é' at position 3"), ("", "no residues"), ("*", "no")],
)
def test_what_is_no_protein_is_refused_by_name(pipe, protein, message):
    with pytest.raises(SequenceError, match=message):
        pipe(protein)
    with pytest.raises(SequenceError, match=message):
        pipe([PROTEINS[0], protein])


@pytest.mark.parametrize(("protein", "kind"), [(None, "NoneType"), (3, "int"), ({"sequence": "MKT"}, "dict")])
def test_what_is_no_string_is_refused_by_its_type(pipe, protein, kind):
    for given in (protein, [PROTEINS[0], protein]):
        with pytest.raises(SequenceError, match=f"found {kind}, expected a sequence"):
            pipe(given)


@pytest.mark.parametrize(
    ("name", "needed"), [("predict.py", ("model", "fasta")), ("push_to_hub.py", ("run", "repo_id"))]
)
def test_an_example_tells_how_it_is_called_and_what_went_wrong(monkeypatch, capsys, name, needed):
    def example(*arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return caught.value.code

    assert example() == 2
    assert f"the following arguments are required: {', '.join(needed)}" in capsys.readouterr().err
    assert example("--help") == 0
    assert f"python examples/{name} runs/mine" in capsys.readouterr().out
    assert "nowhere: no such f" in str(example("./nowhere", "./nowhere"))


def test_the_example_takes_the_folder_of_a_run(monkeypatch, capsys, tmp_path, write_fasta):
    build_classifier().save_pretrained(tmp_path / "run" / "model")
    protbert_tokenizer().save_pretrained(tmp_path / "run" / "model")
    monkeypatch.setattr(sys, "argv", ["predict.py", str(tmp_path / "run"), write_fasta([("P1", "MKT"), ("P2", "WWC")])])
    runpy.run_path(str(ROOT / "examples" / "predict.py"), run_name="__main__")
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["P1", "P2"]


def test_a_bert_classifier_of_transformers_goes_through_the_same_pipeline(tmp_path):
    BertForSequenceClassification(BertConfig(**TINY_SHAPE)).save_pretrained(tmp_path)
    protbert_tokenizer().save_pretrained(tmp_path)
    pipe = transformers.pipeline("protein-classification", model=str(tmp_path))
    assert {call["label"] for call in pipe(LONG, top_k=None)} == {"LABEL_0", "LABEL_1"}


def test_what_a_call_does_not_say_is_as_the_pipeline_was_made(run_folder):
    pipe = transformers.pipeline("protein-classification", model=str(run_folder / "model"), top_k=2)
    assert len(pipe(PROTEINS[0])) == 2
    assert len(pipe(PROTEINS[0], top_k=None)) == 3


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_truncation_report_tells_length_and_whether_all_was_read(pipe, batch_size):
    found = pipe([*PROTEINS, LONG], truncation_report=True, batch_size=batch_size)
    assert [(one["length"], one["truncated"]) for one in found] == [(10, False), (30, True), (6, False), (33, True)]
    assert [one["calls"]["label"] for one in found] == [call["label"] for call in pipe([*PROTEINS, LONG])]


def test_a_dataset_is_answered_in_its_order(pipe):
    from datasets import Dataset
    from transformers.pipelines.pt_utils import KeyDataset

    data = Dataset.from_dict({"sequence": PROTEINS})
    assert list(pipe(KeyDataset(data, "sequence"))) == pipe(PROTEINS)


@pytest.mark.parametrize("protein", [*PROTEINS, "M K T A Y I A K Q R", LONG[:20]])
def test_the_text_classification_of_transformers_gives_the_same_up_to_the_longest_input(run_folder, pipe, protein):
    stock = transformers.pipeline("text-classification", model=str(run_folder / "model"))
    protein = protein[:20]
    found = {call["label"]: call["score"] for call in stock(protein, top_k=None)}
    assert found == pytest.approx({call["label"]: call["score"] for call in pipe(protein, top_k=None)}, abs=1e-6)
