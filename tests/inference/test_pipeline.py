import csv
import runpy
import subprocess
import sys

import pytest
import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

from protbert_classify import ProteinClassificationPipeline, ProteinClassifier
from protbert_classify.data.tokenizer import PROTBERT_VOCABULARY, protbert_tokenizer
from protbert_classify.errors import ModelError, OptionError, SequenceError
from protbert_classify.inference.predict import predict_file
from tests.conftest import ROOT, TINY_SHAPE

from .conftest import LABELS, LONG, build_classifier

PROTEINS = ["MKTAYIAKQR", "MLSRAVCGTSRQLAPVLAYLGSRQKHSLPD", "WWCCHH"]


@pytest.fixture
def pipe(classifier, tokenizer):
    return ProteinClassificationPipeline(model=classifier, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def folder_pipe(run_folder):
    return transformers.pipeline("protein-classification", model=str(run_folder / "model"))


def test_without_a_tokenizer_it_takes_the_one_that_the_model_reads(classifier, pipe):
    assert ProteinClassificationPipeline(classifier)("MKTAYIAKQR", top_k=None) == pipe("MKTAYIAKQR", top_k=None)


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
    [("MK1T", "'1' at position 3 is not a residue"), ("MKé", "'é' at position 3"), ("", "no residues"), ("*", "no")],
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
    assert [one["predictions"]["label"] for one in found] == [call["label"] for call in pipe([*PROTEINS, LONG])]


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


def test_an_empty_list_has_an_empty_answer(pipe):
    from datasets import Dataset
    from transformers.pipelines.pt_utils import KeyDataset

    nothing = KeyDataset(Dataset.from_dict({"sequence": []}), "sequence")
    for empty in ([], (), nothing, (protein for protein in PROTEINS[:0])):
        assert list(pipe(empty)) == []
    assert pipe([], top_k=2, batch_size=4) == []


@pytest.mark.parametrize("option", [{"topk": 3}, {"function_to_apply": "sigmoid"}, {"truncation": True}])
def test_an_option_that_is_not_known_is_refused_by_name(pipe, classifier, tokenizer, option):
    expected = (
        f"unknown option {next(iter(option))}: expected top_k, truncation_report, auxiliary, sets, sets_by_class, "
    )
    for inputs in (PROTEINS[0], PROTEINS, []):
        with pytest.raises(OptionError, match=expected):
            pipe(inputs, **option)
    with pytest.raises(OptionError, match=expected):
        ProteinClassificationPipeline(model=classifier, tokenizer=tokenizer, **option)


@pytest.mark.parametrize("top_k", [0, -1, 2.0, "3", True])
def test_a_top_k_that_cannot_be_is_refused(pipe, top_k):
    with pytest.raises(OptionError, match="top_k=.*: expected 1 or more, or None for all labels"):
        pipe(PROTEINS[0], top_k=top_k)


# every kind of task

MULTI = {"problem_type": "multi_label_classification", "thresholds": [0.95, 0.6, 0.86]}
UNITS = {"target_mean": [50.0, -1.0, 7.0], "target_std": [20.0, 0.5, 1.0]}
AUXILIARY = [
    {"name": "membrane", "problem_type": "single_label_classification", "labels": ["M", "S"], "unknown": ["U"]},
    {"name": "length", "problem_type": "regression", "labels": ["length"], "mean": [300.0], "std": [100.0]},
]


@pytest.fixture
def output_of(tokenizer):
    """What a model makes of one protein, cropped by hand."""

    def output(model, protein):
        read = protein if len(protein) <= 20 else protein[:10] + protein[-10:]
        with torch.no_grad():
            return model(**tokenizer(read, return_tensors="pt"))

    return output


def test_of_several_labels_those_are_returned_that_reach_their_thresholds(tokenizer, output_of):
    model = build_classifier(**MULTI)
    pipe = ProteinClassificationPipeline(model=model, tokenizer=tokenizer)
    numbers = set()
    for protein in PROTEINS:
        scores = dict(zip(LABELS, output_of(model, protein).logits[0].sigmoid().tolist(), strict=True))
        best_first = sorted(LABELS, key=scores.get, reverse=True)
        passed = [label for label in best_first if scores[label] >= MULTI["thresholds"][LABELS.index(label)]]
        passed = passed or [max(LABELS, key=lambda label: scores[label] - MULTI["thresholds"][LABELS.index(label)])]
        numbers.add(len(passed))
        expected = [{"label": label, "score": pytest.approx(scores[label], abs=1e-6)} for label in best_first]
        assert pipe(protein) == [call for call in expected if call["label"] in passed]
        assert pipe(protein, top_k=None) == expected
        assert pipe(protein, top_k=2) == expected[:2]
        assert pipe(protein, top_k=1) == expected[0]
    assert len(numbers) > 1  # else the thresholds would not have mattered


def test_numbers_come_in_the_units_of_the_data_and_in_the_order_of_the_labels(tokenizer, output_of):
    model = build_classifier(problem_type="regression", **UNITS)
    pipe = ProteinClassificationPipeline(model=model, tokenizer=tokenizer)
    mean, std = torch.tensor(UNITS["target_mean"]), torch.tensor(UNITS["target_std"])
    found = output_of(model, PROTEINS[0]).logits[0] * std + mean
    expected = [
        {"label": label, "score": pytest.approx(number, abs=1e-4)} for label, number in zip(LABELS, found.tolist())
    ]
    assert pipe(PROTEINS[0]) == pipe(PROTEINS[0], top_k=None) == expected


def test_one_number_comes_alone(tokenizer, tiny_classifier, output_of):
    model = tiny_classifier(labels=["melting point"], problem_type="regression", target_mean=50, target_std=20).eval()
    pipe = ProteinClassificationPipeline(model=model, tokenizer=tokenizer)
    number = output_of(model, PROTEINS[0]).logits.item() * 20 + 50
    assert pipe(PROTEINS[0]) == {"label": "melting point", "score": pytest.approx(number, abs=1e-4)}


@pytest.mark.parametrize("batch_size", [1, 3])
def test_auxiliary_tasks_are_told_if_asked_for(tokenizer, output_of, batch_size):
    model = build_classifier(auxiliary_tasks=AUXILIARY)
    pipe = ProteinClassificationPipeline(model=model, tokenizer=tokenizer)
    calls = pipe(PROTEINS)
    assert all(set(call) == {"label", "score"} for call in calls)
    answers = pipe(PROTEINS, auxiliary=True, truncation_report=True, batch_size=batch_size)
    for protein, call, answer in zip(PROTEINS, calls, answers, strict=True):
        membrane, length = output_of(model, protein).auxiliary_logits[0].split([2, 1])
        best = int(membrane.argmax())
        score = pytest.approx(membrane.softmax(-1)[best].item(), abs=1e-6)
        assert answer["predictions"]["label"] == call["label"]
        assert answer["length"] == len(protein)
        assert answer["auxiliary"] == {
            "membrane": {"label": "MS"[best], "score": score},
            "length": {"label": "length", "score": pytest.approx(length.item() * 100 + 300, abs=1e-3)},
        }
    assert pipe(PROTEINS[0], auxiliary=True, top_k=None)["auxiliary"]["membrane"][1]["label"] in "MS"


def test_without_auxiliary_tasks_there_are_none_to_tell(pipe):
    assert pipe(PROTEINS[0], auxiliary=True) == {"predictions": pipe(PROTEINS[0]), "auxiliary": {}}


@pytest.mark.parametrize("fields", [{}, MULTI, {"problem_type": "regression", **UNITS}, {"auxiliary_tasks": AUXILIARY}])
def test_scores_are_those_of_predict(tmp_path, write_fasta, fields):
    build_classifier(**fields).save_pretrained(tmp_path / "model")
    protbert_tokenizer().save_pretrained(tmp_path / "model")
    proteins = [*PROTEINS, LONG, "MUZOBJXKT"]
    fasta = write_fasta([(f"P{index}", protein) for index, protein in enumerate(proteins)])
    predict_file(str(tmp_path / "model"), fasta, str(tmp_path / "predictions.csv"))
    pipe = transformers.pipeline("protein-classification", model=str(tmp_path / "model"))
    with open(tmp_path / "predictions.csv", newline="") as file:
        for protein, row in zip(proteins, csv.DictReader(file), strict=True):
            answer = pipe(protein, top_k=None, auxiliary=True)
            assert {call["label"]: call["score"] for call in answer["predictions"]} == {
                label: pytest.approx(float(row[label]), rel=1e-5, abs=2e-6) for label in LABELS
            }
            if fields.get("problem_type") != "regression":
                chosen = pipe(protein)
                chosen = chosen if isinstance(chosen, list) else [chosen]
                assert row["location"] == ";".join(call["label"] for call in chosen)
            if "auxiliary_tasks" in fields:
                membrane, length = (answer["auxiliary"][name] for name in ("membrane", "length"))
                assert row["membrane"] == membrane[0]["label"]
                assert float(row["length (predicted)"]) == pytest.approx(length["score"], rel=1e-5)


# models and tokenizers of transformers


@pytest.fixture
def bert_classifier():
    torch.manual_seed(0)
    config = BertConfig(**TINY_SHAPE, initializer_range=0.3, id2label={0: "M", 1: "S"}, label2id={"M": 0, "S": 1})
    return BertForSequenceClassification(config).train()


@pytest.mark.parametrize("own", [False, True])
def test_a_bert_classifier_as_an_object_with_its_own_tokenizer_gives_its_own_scores(bert_classifier, own):
    """Its tokenizer reads neither `MKT` nor lower case, and U, Z, O, B as residues that it never saw in training."""
    plain = BertTokenizer(vocab={token: i for i, token in enumerate(PROTBERT_VOCABULARY)}, do_lower_case=False)
    tokenizer = plain if own else protbert_tokenizer()
    pipe = ProteinClassificationPipeline(model=bert_classifier, tokenizer=tokenizer)
    assert type(pipe.model) is ProteinClassifier and not pipe.model.training
    for protein in (*PROTEINS, "MUKT", "m k t j"):
        spaced = " ".join(protein.upper().replace("U", "X").replace("J", "X").replace(" ", ""))
        with torch.no_grad():
            logits = bert_classifier.eval()(**plain(spaced, return_tensors="pt")).logits[0]
        expected = dict(zip("MS", logits.softmax(-1).tolist(), strict=True))
        assert {call["label"]: call["score"] for call in pipe(protein, top_k=None)} == pytest.approx(expected, abs=1e-6)


def test_a_model_without_a_head_of_ours_is_refused_by_its_class(tokenizer):
    with pytest.raises(ModelError, match="the model is a BertModel: expected a ProteinClassifier or a BertForSequence"):
        ProteinClassificationPipeline(model=BertModel(BertConfig(**TINY_SHAPE)), tokenizer=tokenizer)


def test_a_compiled_model_is_taken_as_it_is(classifier, tokenizer, pipe):
    compiled = torch.compile(classifier, backend="eager", dynamic=True)
    found = ProteinClassificationPipeline(model=compiled, tokenizer=tokenizer)(PROTEINS)
    assert [call["label"] for call in found] == [call["label"] for call in pipe(PROTEINS)]


def test_a_saved_pipeline_is_a_model_and_its_tokenizer_without_code(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} == {".json", ".safetensors"}
    assert "custom_pipelines" not in (tmp_path / "saved" / "config.json").read_text()
    again = transformers.pipeline("protein-classification", model=str(tmp_path / "saved"))
    assert again(PROTEINS, top_k=None) == pipe(PROTEINS, top_k=None)


def test_a_pipeline_is_published_as_its_model_is(pipe, monkeypatch):
    asked = []
    monkeypatch.setattr(ProteinClassifier, "push_to_hub", lambda self, *args, **kwargs: asked.append((args, kwargs)))
    pipe.push_to_hub("me/mine", private=False)
    assert asked == [(("me/mine",), {"tokenizer": pipe.tokenizer, "private": False})]
