"""A model with an adapter gives the same scores through every door, and where its base model is not, it goes merged."""

import csv
import json
import shutil
import sys
import tarfile

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, BertModel, pipeline

from protbert_classify import ProteinClassificationPipeline, ProteinClassifier
from protbert_classify.commands import main
from protbert_classify.data.tokenizer import protbert_tokenizer
from protbert_classify.errors import ModelError
from protbert_classify.inference.merged_folder import merged_folder
from protbert_classify.inference.saved_classifier import load_classifier
from protbert_classify.sagemaker.packaging import pack_model, unpack

from .inference.conftest import LABELS, build_classifier
from .published_code import run_published
from .training.runs import complaints

pytest.importorskip("peft", reason="the extra lora is not installed")

PROTEINS = ["MKTAYIAKQRQISFVKSHFS", "MNRGVPFRHL", "MDEDEDEDEDEDKKRKRK"]  # the model reads 20 residues
WITHOUT_PEFT = """
import json
import sys
import torch
sys.modules["peft"] = None
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model = AutoModelForSequenceClassification.from_pretrained("me/adapted", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained("me/adapted", trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules.")
with torch.no_grad():
    rows = [model(**tokenizer(protein, return_tensors="pt")).logits[0].softmax(-1) for protein in {proteins!r}]
print(json.dumps([row.tolist() for row in rows]))
"""


@pytest.fixture(scope="module", params=["lora", "dora"])
def saved(request, tmp_path_factory):
    """The folder of a run with an adapter, and the scores of `PROTEINS` by the unmerged model."""
    return save_adapted(tmp_path_factory.mktemp("adapted"), request.param)


def save_adapted(folder, kind="lora"):
    model = build_classifier()
    protbert_tokenizer().save_pretrained(folder / "base")
    model.backbone.save_pretrained(folder / "base")
    plain = scores(model)
    torch.manual_seed(1)
    model.add_lora(str(folder / "base"), kind=kind, rank=4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    expected = scores(model)
    assert (torch.tensor(expected) - torch.tensor(plain)).abs().max() > 0.05, "the adapter does nothing"
    model.save_pretrained(folder / "run" / "model")
    protbert_tokenizer().save_pretrained(folder / "run" / "model")
    return folder / "run", expected


def scores(model, tokenizer=None):
    tokenizer = tokenizer or protbert_tokenizer()
    with torch.no_grad():
        rows = [model.eval()(**tokenizer(protein, return_tensors="pt")).logits[0] for protein in PROTEINS]
    return torch.stack(rows).softmax(-1).tolist()


def close(found, expected):
    """Whether answers `{"label", "score"}`, those of all labels, are the expected scores."""
    by_label = [{answer["label"]: answer["score"] for answer in answers} for answers in found]
    return same([[row[label] for label in LABELS] for row in by_label], expected)


def same(found, expected):
    return found == [pytest.approx(row, abs=1e-5) for row in expected]


def whole_without_base(folder, run):
    """Whether a saved model is whole: its base model is moved away while it is loaded."""
    base = run.parent / "base"
    base.rename(run.parent / "away")
    try:
        return ProteinClassifier.from_pretrained(folder)
    finally:
        (run.parent / "away").rename(base)


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "some.fasta"
    path.write_text("".join(f">P{i} {LABELS[i]}-S test\n{protein}\n" for i, protein in enumerate(PROTEINS)))
    return str(path)


def test_in_python_and_in_the_pipelines(saved):
    folder, expected = saved
    for kind in (ProteinClassifier, AutoModelForSequenceClassification):
        model = kind.from_pretrained(folder / "model")
        assert model.config.adapter is not None and same(scores(model), expected)
    model, tokenizer = load_classifier(folder, "cpu")
    assert model.config.adapter is None and same(scores(model, tokenizer), expected)
    ours = ProteinClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
    assert close(ours(PROTEINS, top_k=None), expected)
    theirs = pipeline("protein-classification", model=str(folder / "model"), device="cpu")
    assert close(theirs(PROTEINS, top_k=None), expected)


def test_its_backbone_is_a_plain_one_with_the_adapter_merged(saved):
    folder, _ = saved
    backbone = AutoModel.from_pretrained(folder / "model")
    merged = ProteinClassifier.from_pretrained(folder / "model").merge_adapter().backbone
    assert type(backbone) is BertModel and backbone.state_dict().keys() == merged.state_dict().keys()
    assert all(torch.equal(weight, merged.state_dict()[name]) for name, weight in backbone.state_dict().items())


def test_of_predict_and_evaluate(saved, fasta, tmp_path, capsys):
    folder, expected = saved
    output = tmp_path / "found.csv"
    given = ["--model", str(folder), "--device", "cpu"]
    assert main(["predict", *given, "--input", fasta, "--output", str(output), "--precision", "float32"]) == 0
    with open(output, newline="") as file:
        assert same([[float(row[label]) for label in LABELS] for row in csv.DictReader(file)], expected)
    assert main(["evaluate", *given, "--data", fasta, "--output", str(tmp_path / "metrics.json")]) == 0
    right = sum(max(range(3), key=row.__getitem__) == place for place, row in enumerate(expected))
    text = (tmp_path / "metrics.json").read_text()
    found = json.loads(text)
    assert pytest.approx(right / 3) in [value["accuracy"] for value in _dictionaries(found) if "accuracy" in value]


def _dictionaries(value):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _dictionaries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _dictionaries(inner)


def test_of_embed(saved, fasta, tmp_path):
    folder, _ = saved
    output = tmp_path / "e.parquet"
    given = ["--model", str(folder), "--device", "cpu", "--precision", "float32"]
    assert main(["embed", *given, "--input", fasta, "--output", str(output)]) == 0
    model = ProteinClassifier.from_pretrained(folder / "model")
    for vector, protein in zip(pq.read_table(output)["embedding"].to_pylist(), PROTEINS, strict=True):
        with torch.no_grad():
            read, mask = model.read_residues(**protbert_tokenizer()(protein, return_tensors="pt"))
            assert vector == pytest.approx(model.pooling(read, mask)[0].tolist(), abs=1e-4)


def test_of_the_hooks_of_sagemaker(saved):
    from protbert_classify.serving import hooks

    folder, expected = saved
    asked = hooks.input_fn(json.dumps({"inputs": PROTEINS, "parameters": {"top_k": None}}), "application/json")
    answered = hooks.output_fn(hooks.predict_fn(asked, hooks.model_fn(str(folder))), "application/json")
    assert close(json.loads(answered), expected)


@pytest.mark.slow
def test_of_the_server(saved, tmp_path):
    from .serving.servers import running

    folder, expected = saved
    with running(folder, tmp_path, "--precision", "float32") as server:
        assert close(server.invoke({"inputs": PROTEINS, "parameters": {"top_k": None}}).json, expected)


def test_of_a_model_that_was_merged_and_saved_as_the_docs_say(saved, tmp_path):
    folder, expected = saved
    ProteinClassifier.from_pretrained(folder / "model").merge_adapter().save_pretrained(tmp_path / "whole")
    model = whole_without_base(tmp_path / "whole", folder)
    assert model.config.adapter is None and same(scores(model), expected)


def test_packed_for_sagemaker_it_needs_neither_peft_nor_the_base_model(saved, tmp_path, monkeypatch):
    folder, expected = saved
    before = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    pack_model(str(folder), str(tmp_path / "model.tar.gz"))
    assert {path.name: path.read_bytes() for path in (folder / "model").iterdir()} == before
    unpack(str(tmp_path / "model.tar.gz"), str(tmp_path / "unpacked"))
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        assert {"model.safetensors", "config.json", "tokenizer.json", "code/inference.py"} <= set(tar.getnames())
    monkeypatch.setitem(sys.modules, "peft", None)
    assert same(scores(whole_without_base(tmp_path / "unpacked", folder)), expected)


def test_a_folder_without_an_adapter_is_taken_as_it_is(saved):
    base = saved[0].parent / "base"
    with merged_folder(str(base)) as whole:
        assert whole == str(base)


def test_without_its_base_model_it_is_not_published_and_one_line_says_why(tmp_path, capsys):
    folder, _ = save_adapted(tmp_path)
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(ModelError, match="base model .*/base cannot be loaded"):
        pack_model(str(folder), str(tmp_path / "model.tar.gz"))
    assert main(["push", "--model", str(folder), "--repo_id", "me/adapted"]) == 2
    (line,) = complaints(capsys.readouterr().err)
    assert "base model" in line and not (tmp_path / "model.tar.gz").exists()


@pytest.mark.slow
def test_published_it_needs_neither_peft_nor_the_base_model_nor_the_package(saved, tmp_path, monkeypatch):
    """What `push` sends, by the command against a Hub on loopback."""
    from .loopback_hub import LoopbackHub
    from .test_hub import protbert_classify

    folder, expected = saved
    with LoopbackHub() as hub:
        done = protbert_classify(hub, tmp_path / "home", "push", "--model", folder, "--repo_id", "me/adapted")
        assert done.returncode == 0, done.stderr[-3000:]
        sent = tmp_path / "sent"
        sent.mkdir()
        for name, content in hub.model("me/adapted").items():
            if "/" not in name:
                (sent / name).write_bytes(content)
    assert same(scores(whole_without_base(sent, folder)), expected)
    for path in sent.glob("*.py"):  # the code is sent again by the test's own Hub
        path.unlink()
    config = json.loads((sent / "config.json").read_text())
    config.pop("auto_map")
    (sent / "config.json").write_text(json.dumps(config))
    found = run_published(sent, "me/adapted", WITHOUT_PEFT.format(proteins=PROTEINS), tmp_path)
    assert same(json.loads(found), expected)


@pytest.mark.slow
def test_a_base_model_on_the_hub_is_known_by_its_commit(saved, tmp_path):
    from .loopback_hub import LoopbackHub, Repository
    from .test_hub import python

    base = saved[0].parent / "base"
    code = """
from protbert_classify import ProteinClassifier
model = ProteinClassifier.from_pretrained("me/base", labels=["A", "B"])
model.add_lora("me/base")
model.save_pretrained("adapted")
ProteinClassifier.from_pretrained("adapted").merge_adapter()
"""
    with LoopbackHub() as hub:
        files = {path.name: path.read_bytes() for path in base.iterdir()}
        hub.repositories["model", "me/base"] = repository = Repository(private=False, files=files)
        done = python(hub, tmp_path, code)
    assert done.returncode == 0, done.stderr[-3000:]
    adapter = json.loads((tmp_path / "adapted" / "config.json").read_text())["adapter"]
    assert (adapter["base_model"], adapter["base_revision"]) == ("me/base", repository.commit)


@pytest.mark.slow
def test_push_to_hub_of_a_model_sends_it_merged_and_leaves_it_as_it_was(saved, tmp_path):
    from .loopback_hub import LoopbackHub
    from .test_hub import python

    folder, expected = saved
    code = f"""
from protbert_classify import ProteinClassifier
model = ProteinClassifier.from_pretrained({str(folder / "model")!r})
model.push_to_hub("me/adapted")
assert model.config.adapter is not None and any("lora_" in name for name in model.state_dict())
"""
    with LoopbackHub() as hub:
        done = python(hub, tmp_path, code)
        assert done.returncode == 0, done.stderr[-3000:]
        (tmp_path / "sent").mkdir()
        for name in ("config.json", "model.safetensors"):
            (tmp_path / "sent" / name).write_bytes(hub.model("me/adapted")[name])
    assert same(scores(whole_without_base(tmp_path / "sent", folder)), expected)
