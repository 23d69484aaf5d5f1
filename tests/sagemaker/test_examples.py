"""The examples do what they say, and leave nothing that costs."""

import runpy
import sys

import pytest

from tests.conftest import ROOT
from tests.training.runs import easy_records, fasta

from .cloud import BUCKET

pytestmark = pytest.mark.usefixtures("clean", "impatient")


@pytest.fixture
def example(monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def test_the_training_example_begins_a_job_on_four_gpus_that_survives_spot_instances(example, cloud, tmp_path):
    proteins = tmp_path / "proteins.fasta"
    proteins.write_text(fasta(easy_records()))
    lines = example("sagemaker_train.py", "--role", "protbert", "--bucket", BUCKET, "--data", str(proteins))
    (request,) = cloud.made("CreateTrainingJob")
    assert request["ResourceConfig"]["InstanceType"] == "ml.g5.12xlarge" and request["EnableManagedSpotTraining"]
    assert request["CheckpointConfig"]["S3Uri"].startswith(f"s3://{BUCKET}/protbert-classify/")
    assert lines[-1].startswith("python examples/sagemaker_deploy.py --role protbert --bucket proteins --model s3://")


@pytest.mark.slow
def test_the_deployment_example_classifies_two_proteins_and_deletes_the_endpoint(toolkits, example, serving, archive):
    before = serving.there()
    first, second = example("sagemaker_deploy.py", "--role", "protbert", "--bucket", BUCKET, "--model", archive)
    assert first.startswith("insulin, human: ") and second.startswith("histone H4, human: ")
    assert serving.there() == before
