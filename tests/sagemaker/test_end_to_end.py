"""The whole way by the command line: FASTA, job, Hub, endpoint, calls, batch transform, and back to nothing."""

import json

import pytest
from safetensors.numpy import load

from protbert_classify import ProteinClassificationPipeline
from protbert_classify.__main__ import main
from protbert_classify.inference.saved_classifier import load_classifier
from protbert_classify.sagemaker.container import SECRET
from tests.loopback_hub import TOKEN, LoopbackHub
from tests.training.runs import SHAPE, easy_records, fasta

from .cloud import BUCKET, Cloud
from .containers import unpacked
from .endpoints import Serving
from .stubs import read, same_rows
from .training_jobs import GROUP, TrainingJobs, install_image

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("toolkits")]

HERE = ["--bucket", BUCKET, "--role", "protbert"]
TRAINING = {
    "backbone_config": json.dumps(SHAPE),
    "max_length": 64,
    "learning_rate": 0.01,
    "num_train_epochs": 3,
    "logging_steps": 5,
}


@pytest.fixture
def account(tmp_path):
    with Cloud(tmp_path / "cloud") as cloud, Serving(cloud):
        cloud.jobs = TrainingJobs(cloud, install_image(tmp_path / "image"))
        yield cloud


def test_from_a_fasta_file_to_an_endpoint_and_back_to_nothing(account, impatient, tmp_path, capsys, monkeypatch):
    records = easy_records()
    monkeypatch.chdir(tmp_path)
    told = []

    def run(*arguments):
        capsys.readouterr()
        code = main(["sagemaker", *arguments])
        said = capsys.readouterr()
        told.append(said.out + said.err)
        assert code == 0, "".join(account.jobs.log(name)[-4000:] for name in account.jobs.processes) + said.err
        return said.out.strip().splitlines()

    proteins, unknown = tmp_path / "proteins.fasta", tmp_path / "unknown.fasta"
    proteins.write_text(fasta(records))
    sequences = [residues for _, residues in records[:90]]
    unknown.write_text(fasta([(f"Q{index} of unknown place", text) for index, text in enumerate(sequences)]))
    account.client("secretsmanager").create_secret(Name="hub-token", SecretString=json.dumps({"HF_TOKEN": TOKEN}))

    # train on two processes, and publish from the job
    with LoopbackHub() as hub:
        variables = [f"{name}={value}" for name, value in hub.environment(str(tmp_path / "hub"), token=None).items()]
        options = [word for name, value in TRAINING.items() for word in (f"--{name}", str(value))]
        job = ["--instance_type", "ml.m5.xlarge", "--processes_per_instance", "2", "--environment", *variables]
        publish = ["--push_to_hub", "me/locations", "--hub_token_secret", "hub-token"]
        model = run("train", *HERE, "--data", str(proteins), *job, *publish, *options)[-1]
        published = hub.repositories["model", "me/locations"].files["model.safetensors"]
    (trained,) = account.made("CreateTrainingJob")
    unpacked(account.get(model), tmp_path / "model")
    weights = load((tmp_path / "model" / "model.safetensors").read_bytes())
    assert all((value == weights[name]).all() for name, value in load(published).items())
    log = account.jobs.log(trained["TrainingJobName"])
    assert "--nnodes=1 --nproc_per_node=2" in log

    # an endpoint, its scores, and a batch transform
    assert main(["predict", "--model", str(tmp_path / "model"), "--input", str(unknown), "--output", "local.csv"]) == 0
    local = read("local.csv")
    assert run("deploy", *HERE, "--model", model, "--endpoint", "locations") == ["locations"]
    assert "endpoint locations: InService, 1 x ml.m5.xlarge" in run("status")[0]
    run("predict", "--endpoint", "locations", "--input", str(unknown), "--output", "endpoint.csv")
    same_rows(read("endpoint.csv"), local)
    pipeline = ProteinClassificationPipeline(*load_classifier(str(tmp_path / "model"))[:2])
    assert [row["location"] for row in read("endpoint.csv")] == [call["label"] for call in pipeline(sequences)]
    run("transform", *HERE, "--model", model, "--input", str(unknown), "--output", "batch.csv")
    same_rows(read("batch.csv"), local)

    # back to nothing
    run("delete", "--endpoint", "locations")
    assert run("status") == ["nothing of protbert-classify runs in us-east-1"]
    client = account.client("sagemaker")
    assert client.list_endpoints()["Endpoints"] == client.list_endpoint_configs()["EndpointConfigs"] == []
    assert client.list_models()["Models"] == []

    # the token stands nowhere
    assert trained["Environment"][SECRET] == "hub-token"
    logs = account.client("logs")
    stream = logs.describe_log_streams(logGroupName=GROUP)["logStreams"][0]["logStreamName"]
    lines = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
    described = client.describe_training_job(TrainingJobName=trained["TrainingJobName"])
    everything = json.dumps([account.requests, lines, described, told, log], default=str)
    assert "hub-token" in everything and TOKEN not in everything
    for key in account.keys():  # noqa: SIM118 - no mapping
        content = account.archived(key).values() if key.endswith(".tar.gz") else [account.get(key)]
        assert not any(TOKEN.encode() in some for some in content), key
