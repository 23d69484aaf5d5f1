"""To the Hub and back, over HTTP: what is published loads anywhere, and what goes wrong costs nothing."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from protbert_classify.commands import main

from .loopback_hub import TOKEN, LoopbackHub, Repository
from .training.runs import TINY, call, command, complaints, easy_records, environment, fasta

ROOT = Path(__file__).parent.parent
MODEL_CODE = ROOT / "protbert_classify" / "model"
PROTEINS = ["MKTAYIAKQRQISFVKSHFSRQ", "MNRGVPFRHLLLVLQLALLPAATQGKKVVLG", "M" + 25 * "DE"]
LOGITS = """
import torch
with torch.inference_mode():
    logits = model.eval()(**tokenizer({proteins}, padding=True, return_tensors="pt")).logits
import numpy
numpy.save({path!r}, logits.numpy())
"""
OURS = """
from protbert_classify import ProteinClassifier
from protbert_classify.inference.saved_classifier import load_classifier
model = ProteinClassifier.from_pretrained({name!r})
again, tokenizer = load_classifier({name!r})
assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
assert "transformers_modules" not in sys.modules
"""
AUTO = """
from protbert_classify import ProteinClassifier
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({name!r})
model = AutoModelForSequenceClassification.from_pretrained({name!r})
assert type(model) is ProteinClassifier
again = AutoModelForSequenceClassification.from_pretrained({name!r}, trust_remote_code=True)
assert type(again) is ProteinClassifier
backbone = AutoModel.from_pretrained({name!r})
assert all(torch.equal(a, b) for a, b in zip(backbone.parameters(), model.backbone.parameters(), strict=True))
assert "transformers_modules" not in sys.modules
"""
REMOTE = """
try:
    import protbert_classify
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("the package is there")
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline
tokenizer = AutoTokenizer.from_pretrained({name!r}, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained({name!r}, trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules.")
assert type(AutoModel.from_pretrained({name!r}, trust_remote_code=True)) is type(model.backbone)
assert pipeline("text-classification", model=model, tokenizer=tokenizer)("MKT")[0]["label"] in model.config.label2id
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a real, tiny training."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "easy.fasta").write_text(fasta(easy_records()))
    done = call(
        *("train", "--data", folder / "easy.fasta", "--output_dir", folder / "run", *TINY),
        *("--num_train_epochs", "3", "--pooling", "light_attention"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "run"


@pytest.fixture
def hub():
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def without_package(tmp_path_factory):
    """Everything that is installed here, but for this package: what a stranger has."""
    folder = tmp_path_factory.mktemp("stranger")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "protbert" not in entry.name.lower() and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return folder


def protbert_classify(hub, home, *arguments, token=TOKEN, **variables):
    """A command of ours against the loopback Hub; nobody is there to answer a question."""
    return subprocess.run(
        command(*arguments),
        env=environment(**hub.environment(home, token, **variables)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )


def python(hub, home, code, *options, **variables):
    return subprocess.run(
        [sys.executable, *options, "-c", f"import sys, torch\n{code}" if not options else code],
        env=environment(**hub.environment(home, **variables)),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_no_token(done, *folders, token=TOKEN):
    assert token not in done.stdout + done.stderr
    for folder in folders:
        assert [name for name, content in contents(folder).items() if token.encode() in content] == []


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    """The Hub after a push, and what the push printed."""
    with LoopbackHub() as hub:
        home = tmp_path_factory.mktemp("home")
        before = contents(run)
        options = ["--license", "afl-3.0", "--data_license", "cc-by-4.0"]
        done = protbert_classify(hub, home, "push", "--model", run, "--repo_id", "me/easy", *options)
        assert done.returncode == 0, done.stderr[-3000:]
        assert contents(run) == before
        assert_no_token(done, home, run)
        yield hub, done


@pytest.mark.slow
def test_a_push_sends_weights_tokenizer_code_and_card_privately_and_nothing_else(published, run):
    hub, done = published
    assert done.stdout.strip() == f"{hub.url}/me/easy"
    assert hub.repositories["model", "me/easy"].private
    files = hub.model("me/easy")
    code = {name for name in files if name.endswith(".py")}
    assert {"configuration.py", "modeling.py"} <= code <= {path.name for path in MODEL_CODE.glob("*.py")}
    assert sorted(files.keys() - code) == [
        *("README.md", "config.json", "figures/confusion_matrix.png", "figures/reliability.png", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    ]
    assert files["model.safetensors"] == (run / "model" / "model.safetensors").read_bytes()
    assert json.loads(files["config.json"])["auto_map"]["AutoConfig"] == "configuration.ProteinClassifierConfig"
    assert "auto_map" not in json.loads((run / "model" / "config.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ours", "auto", "remote"])
def test_a_published_model_gives_the_same_logits_in_a_fresh_process_with_an_empty_cache(
    published, run, way, without_package, tmp_path
):
    hub, _ = published
    path = str(tmp_path / "logits.npy")
    then = LOGITS.format(proteins=PROTEINS, path=path)
    if way == "remote":
        # -I and -S: nothing but the standard library and the folder that is added
        start = f"import sys\nsys.path.append({str(without_package)!r})\n"
        done = python(hub, tmp_path, start + REMOTE.format(name="me/easy") + then, "-I", "-S")
    else:
        done = python(hub, tmp_path, {"ours": OURS, "auto": AUTO}[way].format(name="me/easy") + then)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Do you wish to run" not in done.stdout + done.stderr
    assert_no_token(done, tmp_path)
    assert np.array_equal(np.load(path), local_logits(run))


def local_logits(run):
    import torch

    from protbert_classify.inference.saved_classifier import load_classifier

    model, tokenizer = load_classifier(run)
    with torch.inference_mode():
        return model(**tokenizer(PROTEINS, padding=True, return_tensors="pt")).logits.numpy()


@pytest.mark.slow
def test_a_model_from_the_hub_is_saved_locally_without_the_code_it_does_not_need(published, tmp_path):
    hub, _ = published
    code = """
from protbert_classify import ProteinClassifier
ProteinClassifier.from_pretrained("me/easy").save_pretrained("saved")
"""
    done = python(hub, tmp_path, code)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "auto_map" not in json.loads((tmp_path / "saved" / "config.json").read_text())
    assert sorted(os.listdir(tmp_path / "saved")) == ["config.json", "model.safetensors"]


@pytest.mark.slow
def test_the_card_has_the_numbers_of_the_run_and_what_was_said_about_licences(published, run):
    hub, _ = published
    text = hub.model("me/easy")["README.md"].decode()
    metrics = json.loads((run / "metrics.json").read_text())
    record = json.loads((run / "run.json").read_text())
    card = ModelCard(text)
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found == {
        "accuracy": metrics["test_accuracy"],
        "matthews_correlation": metrics["test_mcc"],
        "f1": metrics["test_macro_f1"],
    }
    assert (card.data.license, card.data.library_name, card.data.base_model) == ("afl-3.0", "transformers", None)
    assert f"**{metrics['test_accuracy']:.3f}** (" in text and f"**{metrics['test_mcc']:.3f}** (" in text
    for fingerprint in record["data_fingerprint"].values():
        assert fingerprint in text
    assert "easy.fasta" in text and str(run.parent) not in text
    assert "The data: cc-by-4.0" in text and "trained from scratch" in text
    assert 'AutoModelForSequenceClassification.from_pretrained("me/easy", trust_remote_code=True)' in text


@pytest.mark.slow
def test_predict_reads_a_model_from_the_hub(published, tmp_path):
    hub, _ = published
    (tmp_path / "two.fasta").write_text(">P1\nMKTAYIAKQR\n>P2\nMNRGVPFRHLLLVLQ\n")
    arguments = ["--model", "me/easy", "--input", tmp_path / "two.fasta", "--output", tmp_path / "predictions.csv"]
    done = protbert_classify(hub, tmp_path, "predict", *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_name_without_owner_is_the_users_own_and_public_is_asked_for(hub, run, tmp_path):
    done = protbert_classify(hub, tmp_path, "push", "--model", run / "model", "--repo_id", "easy", "--public")
    assert done.returncode == 0, done.stderr[-3000:]
    assert not hub.repositories["model", "me/easy"].private
    # the folder of the model belongs to a run, whose card it gets
    assert ModelCard(hub.model("me/easy")["README.md"].decode()).data.eval_results


@pytest.mark.slow
def test_a_second_push_replaces_the_weights_and_says_that_a_public_repository_stays_public(hub, run, tmp_path):
    shards = {f"model-0000{i}-of-00002.safetensors": b"" for i in (1, 2)}
    others = {"model.safetensors.index.json": b"", "a.txt": b""}
    hub.repositories["model", "me/easy"] = Repository(False, {**shards, **others})
    done = protbert_classify(hub, tmp_path, "push", "--model", run, "--repo_id", "me/easy")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "me/easy was there before and stays public" in done.stderr
    weights = [name for name in hub.model("me/easy") if "safetensors" in name]
    assert weights == ["model.safetensors"] and "a.txt" in hub.model("me/easy")


@pytest.mark.slow
@pytest.mark.parametrize("token", ["hf_wrongSecret9876543210", "hf_bad\x01Secret9876543210", None])
def test_a_wrong_token_or_none_is_one_line_that_does_not_repeat_it(hub, run, tmp_path, token):
    done = protbert_classify(hub, tmp_path, "push", "--model", run, "--repo_id", "me/easy", token=token)
    assert done.returncode == 1
    (line,) = complaints(done.stderr)
    assert "Traceback" not in done.stderr and "HF_TOKEN" in line
    assert "Secret9876543210" not in done.stdout + done.stderr
    assert hub.repositories == {}


@pytest.mark.slow
def test_a_repository_of_someone_else_is_refused_in_one_line(hub, run, tmp_path):
    done = protbert_classify(hub, tmp_path, "push", "--model", run, "--repo_id", "other/easy")
    (line,) = complaints(done.stderr)
    assert (done.returncode, "may not write there" in line) == (1, True)


@pytest.mark.slow
def test_a_model_that_is_not_on_the_hub_is_one_line(hub, tmp_path):
    (tmp_path / "one.fasta").write_text(">P1\nMKTAYIAKQR\n")
    arguments = ["--model", "me/missing", "--input", tmp_path / "one.fasta", "--output", tmp_path / "predictions.csv"]
    done = protbert_classify(hub, tmp_path, "predict", *arguments)
    (line,) = complaints(done.stderr)
    assert (done.returncode, "me/missing" in line) == (2, True)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["/storage/", "/commit/"])
def test_a_connection_that_is_cut_again_and_again_is_one_line_and_leaves_the_model_as_it_was(hub, run, tmp_path, cut):
    hub.cut[cut] = 1000
    before = contents(run)
    done = protbert_classify(hub, tmp_path, "push", "--model", run, "--repo_id", "me/easy")
    assert done.returncode == 1
    (line,) = complaints(done.stderr)
    assert "cut" in line and "push again" in line and "Traceback" not in done.stderr
    assert contents(run) == before
    assert hub.model("me/easy") == {}
    assert_no_token(done, tmp_path, run)


@pytest.mark.slow
def test_a_connection_that_is_cut_once_is_tried_again(hub, run, tmp_path):
    hub.cut["/storage/"] = 1
    done = protbert_classify(hub, tmp_path, "push", "--model", run, "--repo_id", "me/easy")
    assert done.returncode == 0, done.stderr[-3000:]
    assert hub.model("me/easy")["model.safetensors"] == (run / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_no_network_is_one_line(run, tmp_path):
    with LoopbackHub() as gone:
        pass
    done = protbert_classify(gone, tmp_path, "push", "--model", run, "--repo_id", "me/easy")
    (line,) = complaints(done.stderr)
    assert (done.returncode, f"no connection to {gone.url}" in line) == (1, True)


@pytest.mark.slow
def test_a_licence_that_the_hub_does_not_know_is_refused_before_anything_is_made(hub, run, tmp_path):
    done = protbert_classify(hub, tmp_path, "push", "--model", run, "--repo_id", "me/easy", "--license", "gpl-17")
    (line,) = complaints(done.stderr)
    assert (done.returncode, '"license" must be one of' in line) == (2, True)
    assert hub.repositories == {} and hub.writes() == []


@pytest.mark.slow
def test_proteins_are_published_as_parquet_with_a_card_and_load_as_the_same_rows(hub, tmp_path):
    from protbert_classify import load_deeploc

    (tmp_path / "easy.fasta").write_text(fasta(easy_records()))
    arguments = ["--data", tmp_path / "easy.fasta", "--repo_id", "me/proteins", "--license", "cc-by-4.0"]
    done = protbert_classify(hub, tmp_path, "push", *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == f"{hub.url}/datasets/me/proteins"
    assert_no_token(done, tmp_path)
    repository = hub.repositories["dataset", "me/proteins"]
    assert repository.private
    text = repository.files["README.md"].decode()
    assert "license: cc-by-4.0" in text and "| Cytoplasm | 15 | 5 |" in text and "easy.fasta" in text

    code = """
import json
from datasets import load_dataset
proteins = load_dataset("me/proteins")
print(json.dumps({name: part[:] for name, part in proteins.items()}))
print(json.dumps(proteins["train"].features["location"].names))
"""
    loaded = python(hub, tmp_path, code)
    assert loaded.returncode == 0, loaded.stderr[-3000:]
    rows, names = map(json.loads, loaded.stdout.splitlines()[-2:])
    expected = load_deeploc(tmp_path / "easy.fasta", validation=0)
    assert rows == {name: part[:] for name, part in expected.items()}
    assert names == expected["train"].features["location"].names

    again = protbert_classify(hub, tmp_path / "other", "push", *arguments)
    assert again.returncode == 0, again.stderr[-3000:]
    assert repository.files["README.md"].decode() == text


@pytest.mark.slow
def test_a_model_in_memory_pushes_itself_and_keeps_a_card_that_is_there(hub, tmp_path):
    code = """
from protbert_classify import ProteinClassifier, ProteinClassifierConfig
from protbert_classify.data.tokenizer import protbert_tokenizer
shape = dict(model_type="bert", vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
             intermediate_size=32, max_position_embeddings=64, pad_token_id=0)
model = ProteinClassifier(ProteinClassifierConfig(shape, id2label={0: "inside", 1: "out|side <b>"}))
commit = model.push_to_hub("me/tiny", tokenizer=protbert_tokenizer(), tags=["mine"])
assert commit.repo_url.repo_id == "me/tiny"
assert getattr(model.config, "auto_map", None) is None
"""
    done = python(hub, tmp_path, code)
    assert done.returncode == 0, done.stderr[-3000:]
    files = hub.model("me/tiny")
    assert hub.repositories["model", "me/tiny"].private
    assert {"model.safetensors", "tokenizer.json", "modeling.py", "config.json", "README.md"} <= set(files)
    card = ModelCard(files["README.md"].decode())
    assert "mine" in card.data.tags and "out|side <b>" in card.text
    files["README.md"] = b"---\nlicense: mit\n---\nmy own words\n"
    done = python(hub, tmp_path, code)
    assert done.returncode == 0, done.stderr[-3000:]
    assert b"my own words" in files["README.md"]


@pytest.mark.slow
def test_a_token_of_the_training_is_in_no_file_and_nothing_is_sent_before_the_end(hub, tmp_path):
    (tmp_path / "easy.fasta").write_text(fasta(easy_records()))
    arguments = ["--data", tmp_path / "easy.fasta", "--output_dir", tmp_path / "run", *TINY, "--num_train_epochs", "1"]
    push = ["--push_to_hub", "true", "--hub_model_id", "me/easy", "--hub_token", TOKEN]
    done = protbert_classify(hub, tmp_path / "home", "train", *arguments, *push, token=None)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "checkpoint-5" / "training_args.bin").is_file()
    assert_no_token(done, tmp_path)
    assert hub.repositories["model", "me/easy"].private
    assert {"training_args.bin", "settings.json", "run.json"} & set(hub.model("me/easy")) == set()


@pytest.mark.slow
def test_a_training_of_several_seeds_publishes_their_ensemble_alone(hub, tmp_path):
    (tmp_path / "easy.fasta").write_text(fasta(easy_records()))
    arguments = ["--data", tmp_path / "easy.fasta", "--output_dir", tmp_path / "run", *TINY, "--num_train_epochs", "1"]
    push = ["--seeds", "2", "--push_to_hub", "true", "--hub_model_id", "me/both"]
    done = protbert_classify(hub, tmp_path / "home", "train", *arguments, *push)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [name for _, name in hub.repositories] == ["me/both"]
    assert hub.repositories["model", "me/both"].private
    files = hub.model("me/both")
    assert files["model.safetensors"] == (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    assert "It is an **ensemble** of 2 such models." in files["README.md"].decode()


TRAINER = """
from transformers import TrainerState, TrainingArguments
from protbert_classify import ProteinClassifier, ProteinTrainer
from protbert_classify.data.tokenizer import load_tokenizer
from tests.training.runs import encoded_proteins
proteins = encoded_proteins(24)
folder = {folder!r}
model = ProteinClassifier.from_pretrained({run!r} + "/model")
arguments = TrainingArguments(
    output_dir=folder, num_train_epochs=1, report_to="none", save_strategy="no", eval_strategy="epoch", use_cpu=True,
    learning_rate=0.125, hub_model_id="me/easy", load_best_model_at_end=False, disable_tqdm=True
)
trainer = ProteinTrainer(
    model=model, args=arguments, train_dataset=proteins, eval_dataset=proteins,
    processing_class=load_tokenizer({run!r} + "/model"),
)
if {trained}:
    trainer.train()
else:
    trainer.state = TrainerState.load_from_json({run!r} + "/trainer_state.json")
commit = trainer.push_to_hub(blocking={blocking})
print((commit if {blocking} else commit.result()).repo_url)
"""


@pytest.mark.slow
@pytest.mark.parametrize("blocking", [True, False])
def test_a_trainer_publishes_the_run_it_wrote_with_its_card(hub, run, tmp_path, blocking):
    before = contents(run)
    done = python(hub, tmp_path, TRAINER.format(folder=str(run), run=str(run), trained=False, blocking=blocking))
    assert done.returncode == 0, done.stderr[-3000:]
    assert contents(run) == before
    files = hub.model("me/easy")
    assert hub.repositories["model", "me/easy"].private
    assert files["model.safetensors"] == (run / "model" / "model.safetensors").read_bytes()
    assert len(ModelCard(files["README.md"].decode()).data.eval_results) == 3


@pytest.mark.slow
def test_a_trainer_that_wrote_no_run_publishes_its_own_weights_and_what_it_knows(hub, run, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(run, folder)  # of another training: its numbers are not this one's
    done = python(hub, tmp_path, TRAINER.format(folder=str(folder), run=str(run), trained=True, blocking=True))
    assert done.returncode == 0, done.stderr[-3000:]
    files = hub.model("me/easy")
    assert files["model.safetensors"] != (run / "model" / "model.safetensors").read_bytes()
    text = files["README.md"].decode()
    assert ModelCard(text).data.eval_results is None
    assert "| `learning_rate` | 0.125 |" in text and "The last evaluation while it trained" in text
    assert "training_args.bin" not in files


@pytest.mark.parametrize("repo_id", ["a/b/c", "me/", "me/my model", "-me/x", "me/x..y"])
def test_a_repo_id_that_cannot_be_is_one_line(run_of_nothing, capsys, repo_id):
    assert main(["push", "--model", str(run_of_nothing), f"--repo_id={repo_id}"]) == 2
    assert "expected owner/name" in capsys.readouterr().err


@pytest.fixture
def run_of_nothing(tmp_path, tiny_classifier, tokenizer):
    """The folder of a model without a run."""
    tiny_classifier().save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_what_is_no_model_of_ours_is_refused_with_the_reason(run_of_nothing, tmp_path, capsys):
    def refusal(path):
        assert main(["push", "--model", str(path), "--repo_id", "me/x"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    (tmp_path / "empty").mkdir()
    assert "no model there" in refusal(tmp_path / "empty")
    assert "no such folder" in refusal(tmp_path / "nowhere")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "settings.json").write_text("{}")
    assert "its training was interrupted, and resume finishes it" in refusal(tmp_path / "begun")
    weights = run_of_nothing / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "damaged weights" in refusal(run_of_nothing)
    weights.unlink()
    assert "no such file" in refusal(run_of_nothing)
    (run_of_nothing / "tokenizer.json").unlink()
    assert "the tokenizer is missing" in refusal(run_of_nothing)
    (run_of_nothing / "config.json").write_text('{"model_type": "bert"}')
    assert "a bert, not a classifier of this package" in refusal(run_of_nothing)
    (run_of_nothing / "config.json").write_text("{")
    assert "config.json is damaged" in refusal(run_of_nothing)


def test_offline_is_said_in_one_line(run_of_nothing, capsys):
    assert main(["push", "--model", str(run_of_nothing), "--repo_id", "me/x"]) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err


def test_a_token_on_the_command_line_is_refused_and_not_repeated(run_of_nothing, capsys):
    for option in ("--token", "--hf_token", "--tok", "--secret"):
        assert main(["push", "--model", str(run_of_nothing), "--repo_id", "me/x", option, "hf_abcdef123"]) == 2
        assert "abcdef123" not in capsys.readouterr().err


def test_a_dry_run_shows_the_card_and_sends_nothing(run_of_nothing, capsys):
    assert main(["push", "--model", str(run_of_nothing), "--repo_id", "me/x", "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("---\n") and "Besides this card would be sent: adapter.py, attention.py" in shown


def test_a_dry_run_of_proteins_shows_their_card_and_sends_nothing(write_fasta, capsys):
    proteins = write_fasta([("P1 Nucleus-U", "MKT"), ("P2 Plastid-U test", "MKW")])
    assert main(["push", "--data", proteins, "--repo_id", "me/mine", "--dry_run"]) == 0  # the Hub is out of reach here
    out = capsys.readouterr().out
    assert "Nucleus" in out and out.endswith("Besides this card would be sent, as Parquet: train, test\n")


def test_either_a_model_or_proteins_are_pushed(capsys):
    assert main(["push", "--repo_id", "me/x"]) == 2
    assert "either --model" in capsys.readouterr().err
    assert main(["push", "--repo_id", "me/x", "--data", "proteins.fasta", "--create_pr"]) == 2
    assert "create_pr: proteins are pushed to the main branch as they are; leave it out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_publishes_its_model_at_the_end(hub, tmp_path):
    (tmp_path / "easy.fasta").write_text(fasta(easy_records()))
    arguments = ["--data", tmp_path / "easy.fasta", "--output_dir", tmp_path / "run", *TINY, "--num_train_epochs", "1"]
    push = ["--push_to_hub", "true", "--hub_model_id", "me/easy"]
    done = protbert_classify(hub, tmp_path / "home", "train", *arguments, *push)
    assert done.returncode == 0, done.stderr[-3000:]
    assert ModelCard(hub.model("me/easy")["README.md"].decode()).data.eval_results


@pytest.mark.slow
def test_a_run_records_the_commit_of_its_backbone(hub, run, tmp_path):
    done = protbert_classify(hub, tmp_path / "home", "push", "--model", run, "--repo_id", "me/easy")
    assert done.returncode == 0, done.stderr[-3000:]
    (tmp_path / "easy.fasta").write_text(fasta(easy_records()))
    arguments = ["--data", tmp_path / "easy.fasta", "--output_dir", tmp_path / "run", "--max_length", "64"]
    backbone = ["--model_name_or_path", "me/easy", "--pooling", "light_attention", "--num_train_epochs", "1"]
    done = protbert_classify(hub, tmp_path / "home", "train", *arguments, *backbone)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["backbone_revision"] == hub.repositories["model", "me/easy"].commit
