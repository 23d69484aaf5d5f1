"""Jobs that really run: what SageMaker would do with the recorded requests."""

import json
import time

import pytest
from safetensors.numpy import load

from protbert_classify.errors import ProteinClassifierError
from protbert_classify.runs.checkpoints import MARKER
from protbert_classify.sagemaker import HuggingFaceEstimator, open_session, status
from tests.training.runs import SHAPE

from .cloud import BUCKET, ROLE, Cloud
from .refusals import refused
from .training_jobs import TrainingJobs, install_image

pytestmark = pytest.mark.slow

OPTIONS = {"backbone_config": SHAPE, "max_length": 64, "learning_rate": 0.01, "logging_steps": 2, "seed": 7}
CPU = "ml.m5.xlarge"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return install_image(tmp_path_factory.mktemp("container") / "image")


@pytest.fixture
def account(tmp_path, image, monkeypatch):
    """An account whose training jobs run."""
    monkeypatch.setattr(status, "POLL", 0.2)
    with Cloud(tmp_path / "cloud") as cloud:
        cloud.jobs = TrainingJobs(cloud, image)
        yield cloud


@pytest.fixture
def estimator(account):
    def build(instance_type=CPU, hyperparameters=None, environment=None, **options):
        return HuggingFaceEstimator(
            ROLE,
            session=open_session(BUCKET),
            instance_type=instance_type,
            hyperparameters={**OPTIONS, **(hyperparameters or {})},
            environment={"OMP_NUM_THREADS": "1", **(environment or {})},  # sums in one order, whatever the machine
            **options,
        )

    return build


def weights(account, uri):
    return load(account.archived(uri)["model.safetensors"])


def same(first, second):
    return first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)


def test_one_job_on_two_machines_computes_what_two_processes_on_one_compute(account, estimator, proteins):
    two_processes = estimator(processes_per_instance=2, hyperparameters={"num_train_epochs": 2})
    two_processes.fit(proteins)
    two_machines = estimator(instance_count=2, hyperparameters={"num_train_epochs": 2})
    two_machines.fit(proteins)

    assert "--nnodes=2 --nproc_per_node=1" in account.jobs.log(two_machines.job_name)
    assert same(weights(account, two_machines.model_data), weights(account, two_processes.model_data))
    files = account.archived(two_machines.model_data)
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "code/inference.py",
        "code/protbert_classify/serving/hooks.py",
    } <= set(files)
    results = account.archived(two_machines.model_data.replace("model.tar.gz", "output.tar.gz"))
    assert json.loads(results["run.json"])["world_size"] == 2
    metrics = json.loads(results["metrics.json"])
    found = two_machines.outcome.metrics  # by the regular expressions that CloudWatch would use
    assert found["test:accuracy"] == pytest.approx(metrics["test_accuracy"], abs=1e-3)
    assert found["test:mcc"] == pytest.approx(metrics["test_mcc"], abs=1e-3)
    log = json.loads(results["trainer_state.json"])["log_history"]
    evaluations = [entry for entry in log if "eval_mcc" in entry]
    assert found["validation:accuracy"] == pytest.approx(evaluations[-1]["eval_accuracy"], abs=1e-3)
    assert found["validation:mcc"] == pytest.approx(evaluations[-1]["eval_mcc"], abs=1e-3)
    assert found["train:loss"] == pytest.approx([entry for entry in log if "loss" in entry][-1]["loss"], abs=1e-3)


def test_a_spot_job_that_is_killed_goes_on_in_a_second_job_and_ends_with_the_same_weights(account, estimator, proteins):
    settings = {
        "processes_per_instance": 2,
        "use_spot_instances": True,
        "hyperparameters": {"num_train_epochs": 12, "early_stopping_patience": 0},
    }
    checkpoints = f"s3://{BUCKET}/runs/one/checkpoints"
    first = estimator(checkpoint_s3_uri=checkpoints, **settings)
    name = first.fit(proteins, wait=False)
    wait_for(lambda: account.jobs.written(name, f"checkpoints/**/{MARKER}"), "checkpoint")
    account.jobs.freeze(name)  # however fast it trains and however slowly its files are copied
    wait_for(lambda: whole_checkpoint(account, "runs/one/checkpoints/"), "checkpoint in S3")
    account.jobs.kill(name)
    wait_for(lambda: status_of(account, name) == "Stopped", "end")
    assert "Training Container Execution Completed" not in account.jobs.log(name), "it was killed in the middle"

    second = estimator(checkpoint_s3_uri=checkpoints, **settings)
    second.fit(proteins)
    assert "resuming from" in account.jobs.log(second.job_name)
    undisturbed = estimator(**settings)
    undisturbed.fit(proteins)
    assert "resuming from" not in account.jobs.log(undisturbed.job_name)
    assert same(weights(account, second.model_data), weights(account, undisturbed.model_data))


def whole_checkpoint(account, prefix):
    """Whether S3 has all files of a checkpoint; they are copied in any order."""
    sizes = {key: len(account.get(key)) for key in account.keys(prefix)}
    declared = {key: json.loads(account.get(key))["bytes"] for key in sizes if key.endswith(MARKER)}
    return any(
        all(sizes.get(key.replace(MARKER, name)) == size for name, size in files.items())
        for key, files in declared.items()
    )


def status_of(account, name):
    return account.client("sagemaker").describe_training_job(TrainingJobName=name)["TrainingJobStatus"]


def wait_for(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {what} within {seconds} s")


def test_options_that_a_shell_or_yaml_could_mistake_arrive_as_they_were_meant(account, estimator, proteins):
    odd = 'it\'s "quoted"; touch /tmp/never $(id) `id`\nand é'
    trained = estimator(
        hyperparameters={"num_train_epochs": 1, "packing": "off", "save_strategy": "no", "run_name": odd}
    )
    trained.fit(proteins)
    results = account.archived(trained.model_data.replace("model.tar.gz", "output.tar.gz"))
    run = json.loads(results["run.json"])
    assert run["training_arguments"]["run_name"] == odd and run["training_arguments"]["packing"] == "off"
    assert (
        json.loads(account.archived(trained.model_data)["config.json"])["backbone_config"]["hidden_size"]
        == SHAPE["hidden_size"]
    )
    (request,) = account.made("CreateTrainingJob")
    assert not request.get("HyperParameters")


def test_a_failing_job_is_one_line_with_its_reason(account, estimator):
    proteins = account.put("bad.fasta", b">P1 Nucleus-U\nMK1V\n")  # of S3: a file here would be read before
    reason = r"bad.fasta, record 1 \(P1\): '1' at position 3.*CloudWatch, /aws/sagemaker/TrainingJobs"
    with refused(ProteinClassifierError, reason) as failure:
        estimator().fit(proteins)
    assert failure.value.exit_code == 1
