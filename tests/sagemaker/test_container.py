"""Inside a job: what its variables stand for."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from protbert_classify.__main__ import main
from protbert_classify.errors import DataError, ModelError, ProteinClassifierError
from protbert_classify.sagemaker.container import SECRET, TrainingContainer
from protbert_classify.sagemaker.packaging import copy_package, pack_model, unpack, write_job
from tests.training.runs import TINY, easy_records, fasta

from .cloud import REGION, Cloud
from .refusals import refused


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The folders of a job; returns /opt/ml."""
    ml = tmp_path / "ml"
    for name in ("model", "output/data", "input/data/train"):
        (ml / name).mkdir(parents=True)
    (ml / "input/data/train/proteins.fasta").write_text(fasta(easy_records()))
    monkeypatch.setenv("SM_MODEL_DIR", str(ml / "model"))
    monkeypatch.setenv("SM_OUTPUT_DATA_DIR", str(ml / "output/data"))
    monkeypatch.setenv("SM_CHANNEL_TRAIN", str(ml / "input/data/train"))
    return ml


def given(name):
    options = TrainingContainer().options()
    return options[options.index(name) + 1] if name in options else None


def test_channels_and_folders_are_the_defaults_of_a_training(job, capsys):
    assert main(["train", *TINY, "--num_train_epochs", "1", "--max_train_samples", "20"]) == 0
    model = {path.name for path in (job / "model").rglob("*") if path.is_file()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "inference.py", "hooks.py"} <= model
    results = set(os.listdir(job / "output/data"))
    assert {"metrics.json", "run.json", "test_predictions.csv", "figures"} <= results and "model" not in results
    printed = float(capsys.readouterr().out.split("test: 15 proteins, accuracy ")[1].split(",")[0])
    metrics = json.loads((job / "output/data/metrics.json").read_text())
    assert metrics["test_accuracy"] == pytest.approx(printed, abs=1e-3)


def test_an_adapter_is_merged_into_the_model_that_a_job_leaves(job, monkeypatch):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    from protbert_classify import ProteinClassifier
    from tests.docs.conftest import save_bert

    base = job / "input/data/model"
    save_bert(base)
    monkeypatch.setenv("SM_CHANNEL_MODEL", str(base))
    quick = ["--num_train_epochs", "1", "--max_train_samples", "20", "--max_length", "64"]
    assert main(["train", "--tuning", "lora", *quick]) == 0
    trained = ProteinClassifier.from_pretrained(job / "run/model")
    assert trained.config.adapter is not None
    shutil.rmtree(base)  # it was a channel of this job
    left = ProteinClassifier.from_pretrained(job / "model")
    expected = trained.merge_adapter().state_dict()
    assert left.state_dict().keys() == expected.keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in left.state_dict().items())
    assert (job / "model/code/inference.py").exists() and (job / "model/tokenizer.json").exists()


def test_a_failure_is_left_where_sagemaker_shows_it(job, capsys):
    (job / "input/data/train/proteins.fasta").write_text(">P1 Nucleus-U\nMK1V\n")
    assert main(["train", *TINY]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.endswith((job / "output/failure").read_text().strip().removeprefix("train: "))
    assert "'1' at position 3" in line


def test_a_job_that_keeps_checkpoints_works_there_and_resumes(job):
    assert given("--output_dir") == str(job / "run") and given("--resume") is None
    (job / "checkpoints").mkdir()
    assert given("--output_dir") == str(job / "checkpoints") and given("--resume") == "true"


def test_several_machines_keep_their_own_checkpoints(job, monkeypatch):
    assert given("--save_on_each_node") is None
    monkeypatch.setenv("SM_HOSTS", '["algo-1", "algo-2"]')
    monkeypatch.setenv("SM_CURRENT_HOST", "algo-2")
    assert given("--save_on_each_node") == "true"


def test_a_channel_has_one_file_of_proteins(job):
    folder = job / "input/data/train"
    assert given("--data") == str(folder / "proteins.fasta")
    (folder / "README.md").write_text("not proteins")
    assert given("--data") == str(folder / "proteins.fasta")
    (folder / "more.csv.gz").write_text("")
    with pytest.raises(DataError, match="channel train: found 2 files"):
        TrainingContainer().options()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="channel train: found no file"):
        TrainingContainer().options()


def test_the_model_of_a_channel_may_be_a_folder_or_an_archive(job, tmp_path, monkeypatch):
    channel = tmp_path / "channel"
    channel.mkdir()
    monkeypatch.setenv("SM_CHANNEL_MODEL", str(channel))
    with pytest.raises(ModelError, match="no config.json"):
        TrainingContainer().options()
    add(channel / "model.tar.gz", {"config.json": b"{}"})
    assert os.listdir(given("--model_name_or_path")) == ["config.json"]
    assert given("--model_name_or_path") == given("--model_name_or_path")  # a job that resumes asks again
    (channel / "config.json").write_text("{}")
    assert given("--model_name_or_path") == str(channel)


def add(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside"])
def test_an_archive_cannot_write_outside_its_folder(tmp_path, name):
    add(tmp_path / "model.tar.gz", {name: b"x"})
    try:
        unpack(str(tmp_path / "model.tar.gz"), str(tmp_path / "folder"))
    except ModelError as refusal:
        assert "\n" not in str(refusal)
    assert not (tmp_path / "outside").exists() and not os.path.exists("/tmp/outside")


def test_an_archive_with_a_link_out_of_its_folder_or_without_an_end_is_refused(tmp_path):
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ModelError, match="expected a model.tar.gz"):
        unpack(str(tmp_path / "model.tar.gz"), str(tmp_path / "folder"))
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "model.tar.gz").read_bytes()[:40])
    with pytest.raises(ModelError, match="expected a model.tar.gz"):
        unpack(str(tmp_path / "cut.tar.gz"), str(tmp_path / "folder"))


def test_only_safetensors_are_packed(tmp_path):
    with pytest.raises(ModelError, match="no model there"):
        pack_model(str(tmp_path), str(tmp_path / "x.tar.gz"))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("")
    with pytest.raises(ModelError, match="only these are deployed"):
        pack_model(str(tmp_path), str(tmp_path / "x.tar.gz"))


def test_a_job_has_this_package_and_installs_the_libraries_of_this_machine(tmp_path):
    import transformers

    write_job(str(tmp_path), {"packing": "off", "learning_rate": None})
    assert (tmp_path / "run.yaml").read_text() == "packing: 'off'\n"
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    assert f"transformers=={transformers.__version__}" in lines
    assert not any(line.startswith("torch") for line in lines), "the image has the torch of its CUDA"
    code = "import protbert_classify; print(protbert_classify.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "protbert_classify" / "__init__.py")


def test_a_job_can_install_a_released_package_instead(tmp_path):
    write_job(str(tmp_path), {}, "protbert_classify==0.1.0")
    assert (tmp_path / "requirements.txt").read_text().startswith("protbert_classify==0.1.0\n")
    assert not (tmp_path / "protbert_classify").exists()


def test_a_job_installs_the_package_for_adapters_only_where_one_is_trained(tmp_path):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    jobs = {"lora": {"tuning": "lora"}, "qlora": {"tuning": "lora", "lora_bits": 4}, "full": {"tuning": "full"}}
    lines = {}
    for name, options in jobs.items():
        (tmp_path / name).mkdir()
        write_job(str(tmp_path / name), options, "protbert_classify==0.1.0")
        lines[name] = set((tmp_path / name / "requirements.txt").read_text().splitlines())
    assert lines["lora"] - lines["full"] == {f"peft=={version('peft')}"}
    assert lines["qlora"] - lines["lora"] == {f"bitsandbytes=={version('bitsandbytes')}"}


@pytest.fixture
def secret(job, tmp_path, monkeypatch):
    """Put a text in the secret `hub` of an account; the job is told to read the secret of a name."""
    with Cloud(tmp_path) as cloud:

        def put(text, name="hub"):
            cloud.client("secretsmanager").create_secret(Name="hub", SecretString=text)
            monkeypatch.setenv(SECRET, name)

        monkeypatch.setenv("HF_TOKEN", "")
        monkeypatch.setenv("AWS_REGION", REGION)  # all that SageMaker sets
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        yield put


@pytest.mark.parametrize("text", ["hf_x", '{"HF_TOKEN": "hf_x"}', '{"token": "hf_x\\n"}'])
def test_the_token_of_the_hub_is_read_from_secrets_manager(secret, text):
    secret(text)
    TrainingContainer().prepare_push()
    assert os.environ["HF_TOKEN"] == "hf_x"


@pytest.mark.parametrize(("name", "complaint"), [("none", "could not read the secret none"), ("hub", "has no token")])
def test_a_secret_without_a_token_is_one_line_without_its_content(secret, name, complaint):
    secret('{"password": "hf_x"}', name)
    with refused(ProteinClassifierError, complaint) as refusal:
        TrainingContainer().prepare_push()
    assert "hf_x" not in str(refusal.value)


def test_an_archive_may_be_read_by_everyone(model_folder, tmp_path):
    """A container need not run as who packed it."""
    weights = os.path.join(model_folder, "model", "model.safetensors")
    os.chmod(weights, 0o600)
    pack_model(model_folder, str(tmp_path / "model.tar.gz"))
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        members = [member for member in tar if member.isfile()]
    assert "model.safetensors" in {member.name for member in members}
    assert {(member.mode, member.uid, member.uname) for member in members} == {(0o644, 0, "")}


def test_the_packages_files_travel_and_nothing_else_that_lies_in_its_folder(tmp_path):
    import protbert_classify

    stray = Path(protbert_classify.__file__).with_name(".env")
    stray.write_text("HF_TOKEN=hf_secret")
    try:
        copy_package(str(tmp_path))
    finally:
        stray.unlink()
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert not [name for name in names if name.endswith((".env", "__pycache__", ".pyc"))]
    assert {"protbert_classify/sagemaker/policies/user.json", "protbert_classify/commands/demo.yaml"} <= names
    assert {"protbert_classify/py.typed", "protbert_classify/reporting/dataset_card.md.jinja"} <= names
