"""`protbert-classify sagemaker`: what each action prints, sends and refuses."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from protbert_classify.commands import main
from protbert_classify.errors import OptionError, ProteinClassifierError
from protbert_classify.sagemaker import HuggingFaceEstimator, training
from protbert_classify.sagemaker.packaging import write_job
from protbert_classify.sagemaker.session import is_missing, translate_errors
from protbert_classify.sagemaker.status import JOBS, existing, list_running, summary
from protbert_classify.sagemaker.training import LOG_GROUP
from tests.training.runs import environment

from .cloud import ACCOUNT, BUCKET, REGION, ROLE
from .refusals import refused
from .stubs import asleep, interrupt

HERE = ["--bucket", BUCKET, "--role", "protbert"]
TRANSFORM = ["transform", "--model", "m", "--input", "x", "--output", "y.csv"]
NOTHING = f"nothing of protbert-classify runs in {REGION}"


@pytest.fixture
def run(serving, clean, capsys):
    """Run an action; returns its exit code, what it printed, and what it told."""

    def run(*arguments):
        logging.getLogger("protbert_classify").handlers.clear()  # of a stream that another test has closed
        capsys.readouterr()
        code = main(["sagemaker", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def changes(cloud):
    return [operation for operation, _ in cloud.requests if not operation.startswith(("List", "Describe"))]


def test_without_an_action_it_lists_them_and_an_unknown_one_is_a_line(run):
    code, out, _ = run()
    assert code == 2 and "\n  transform  classify the proteins of a file" in out
    code, _, told = run("trian")
    assert (code, told) == (2, "protbert-classify sagemaker: unknown action 'trian'; did you mean train?\n")
    assert run("x")[2].endswith("expected one of train, deploy, predict, transform, status, delete, policy\n")


@pytest.mark.parametrize("local", [False, True])
def test_a_dry_run_of_deploy_prints_the_three_requests_and_changes_nothing(run, cloud, archive, model_folder, local):
    model, before = model_folder if local else archive, cloud.keys()
    code, out, told = run("deploy", *HERE, "--model", model, "--endpoint", "dry", "--dry-run")
    assert code == 0 and "billed until it is deleted; to delete it: protbert-classify sagemaker delete --end" in told
    assert [line for line in out.splitlines() if line.startswith("Create")] == [
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpoint",
    ]
    request = json.loads(out.split("CreateModel\n")[1].split("\n\n")[0])
    assert request["ExecutionRoleArn"] == ROLE
    assert ("upload s3://proteins/protbert-classify/dry/" in out) == local
    assert changes(cloud) == [] and cloud.keys() == before


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (["--input", "/nowhere.fasta"], "/nowhere.fasta"),
        (["--output", "calls.txt"], "calls.txt"),
        (["--model", "/nowhere"], "/nowhere: no model there"),
        (["--model", "s3://proteins/none.tar.gz"], "nothing at s3://proteins/none.tar.gz"),
    ],
)
def test_a_dry_run_of_transform_finds_what_is_not_there(run, archive, proteins, wrong, complaint):
    options = ["--model", archive, "--input", proteins, "--output", "calls.csv", *wrong]
    code, out, told = run("transform", *HERE, *options, "--dry-run")
    assert (code, out) == (2, "") and complaint in told.splitlines()[-1]


def test_a_dry_run_of_transform_prints_both_requests_and_changes_nothing(run, cloud, archive, proteins, tmp_path):
    output = tmp_path / "calls.csv"
    options = ["--model", archive, "--input", proteins, "--output", str(output)]
    code, out, _ = run("transform", *HERE, *options, "--dry-run")
    assert code == 0 and "CreateModel\n" in out and "CreateTransformJob\n" in out
    assert changes(cloud) == [] and list(tmp_path.iterdir()) == [tmp_path / "proteins.fasta"]


@pytest.mark.slow
def test_an_endpoint_is_deployed_described_and_deleted(run, archive):
    code, out, told = run("deploy", *HERE, "--model", archive, "--endpoint", "mine", "--image_uri", "stub")
    assert (code, out) == (0, "mine\n") and "1 x ml.m5.xlarge, billed until it is deleted" in told
    code, out, _ = run("status", "--endpoint", "mine")
    assert code == 0 and out.startswith("endpoint mine: InService, 1 x ml.m5.xlarge, since ")
    code, _, told = run("deploy", *HERE, "--model", archive, "--endpoint", "mine", "--image_uri", "stub")
    assert code == 2 and "endpoint mine exists already" in told
    assert run("status")[1].startswith("endpoint mine: InService, 1 x ml.m5.xlarge")
    code, out, told = run("delete", "--endpoint", "mine", "--dry-run")
    assert code == 0 and "DeleteEndpoint\n" in out and "deleted" not in told
    assert run("status", "--endpoint", "mine")[0] == 0
    code, _, told = run("delete", "--endpoint", "mine")
    assert code == 0 and told.startswith("endpoint mine: deleted, with its configuration and model")
    assert run("status")[1] == f"{NOTHING}\n"
    code, _, told = run("delete", "--endpoint", "mine")
    assert code == 2 and "endpoint mine: there is none of this name" in told


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["deploy", "--model", "s3://proteins/none.tar.gz", *HERE], "none.tar.gz"),
        (["deploy", "--model", "m", *HERE, "--tags", "team"], "--tags 'team': expected NAME=VALUE"),
        (["deploy", *HERE], "the following arguments are required: --model"),
        (["deploy", "--model", "m", *HERE, "--serverless", "--asynchronous"], "not allowed with argument"),
        (["deploy", "--model", "m", *HERE, "--memory", "2048"], "memory is not an option of real-time endpoints"),
        (["predict", "--endpoint", "none", "--input", "x", "--output", "y.csv"], "endpoint none: there is none"),
        ([*TRANSFORM, *HERE, "--output", "y.txt"], "y.txt"),
        ([*TRANSFORM, "--bucket", "no-such-bucket"], "no-such-bucket"),
        ([*TRANSFORM, *HERE, "--resume"], "no transform job"),
        ([*TRANSFORM, "--bucket", "My_Bucket"], "not a valid address"),
        (["status", "--job", "none"], "job none: there is none"),
        (["delete", "--job", "none"], "job none: there is none"),
        (["delete"], "one of the arguments --endpoint --job is required"),
        (["policy", "training", "--account", ACCOUNT], "requires a region and a bucket"),
        (["policy", "trust", "--account", "1"], "12 digits"),
        (["policy", "serving", "--account", ACCOUNT, "--region", "us", "--bucket", BUCKET], "such as us-east-1"),
        (["train", *HERE], "no --data"),
        (["train", *HERE, "run.yaml"], "a file of options comes first"),
        (["train", "--data", "s3://proteins/x"], "no role; give the name or ARN of an IAM role"),
        (["train", *HERE, "--data", "s3://proteins/x", "--use_spot_instance"], "did you mean --use_spot_instances?"),
        (["train", "none.yaml", *HERE], "none.yaml: no such file; expected a YAML or JSON file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(run, arguments, complaint):
    code, out, told = run(*arguments)
    assert (code, out) == (2, "") and told.count("\n") == 1 and complaint in told, told


def without_the_extra(*arguments):
    code = (
        "import sys\n"
        "for name in ('boto3', 'botocore', 'sagemaker'): sys.modules[name] = None\n"
        "from protbert_classify.commands import main\n"
        f"sys.exit(main(['sagemaker', *{arguments!r}]))\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)


@pytest.mark.parametrize("arguments", [["status"], ["delete", "--job", "x"], ["deploy", "--model", "m"]])
def test_without_the_extra_one_line_says_how_to_install_it(arguments):
    done = without_the_extra(*arguments)
    assert done.returncode == 2 and "pip install 'protbert_classify[sagemaker]'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["training", "serving", "user", "trust"])
def test_policies_are_printed_as_json_without_the_extra(kind):
    place = ["--region", REGION, "--bucket", BUCKET, "--roles", "Proteins"]
    done = without_the_extra("policy", kind, "--account", ACCOUNT, *place)
    assert done.returncode == 0, done.stderr
    policy = json.loads(done.stdout)
    assert policy["Version"] == "2012-10-17"
    assert (f"arn:aws:s3:::{BUCKET}/protbert-classify/*" in done.stdout) == (kind != "trust")


def test_options_of_a_file_come_before_those_of_the_line(run, cloud, proteins, tmp_path, monkeypatch):
    kept = {}

    def keep(folder, *rest):
        write_job(folder, *rest)
        kept.update(yaml.safe_load(Path(folder, "run.yaml").read_text()))

    monkeypatch.setattr(training, "write_job", keep)
    (tmp_path / "run.yaml").write_text(f"data: {proteins}\nlearning_rate: 0.1\nnum_train_epochs: 2\ndry_run: true\n")
    line = ["--learning_rate", "0.2", "--auxiliary_tasks", "membrane", "--bf16", "--packing=off"]
    assert run("train", str(tmp_path / "run.yaml"), *HERE, *line)[0] == 0
    expected = {"learning_rate": "0.2", "num_train_epochs": 2, "auxiliary_tasks": "membrane", "bf16": True}
    assert kept == {**expected, "packing": "off"}


class Jobs:
    """Training jobs that run nothing, and end as a test wants."""

    def __init__(self, cloud):
        self.cloud, self.lines = cloud, ["first", "second"]
        self.job = None
        cloud.after["CreateTrainingJob"] = self._created

    def _created(self, request, backend):
        self.name = request["TrainingJobName"]
        self.job = backend.training_jobs[self.name]
        self.job.training_job_status, self.job.secondary_status = "InProgress", "Training"
        self.job.final_metric_data_list = []
        logs = self.cloud.log_group(LOG_GROUP)
        for machine in ("algo-1", "algo-2"):
            stream = f"{self.name}/{machine}-1"
            logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
            self.write(stream, [f"{line} of {machine}" for line in self.lines])

    def write(self, stream, lines):
        now = int(time.time() * 1000)
        events = [{"timestamp": now + index, "message": line} for index, line in enumerate(lines)]
        self.cloud.client("logs").put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=events)

    def end(self, status, reason=None):
        self.job.training_job_status = self.job.secondary_status = status
        self.job.failure_reason = reason


@pytest.fixture
def job(cloud, session, clean, proteins):
    jobs = Jobs(cloud)
    HuggingFaceEstimator(ROLE, session=session).fit(proteins, wait=False)
    yield jobs
    jobs.end("Completed")
    del cloud.after["CreateTrainingJob"]


def test_a_running_job_is_told_about_and_stopped(run, job, session):
    code, out, _ = run("status")
    assert code == 0 and out.startswith(f"training job {job.name}: InProgress, Training, 1 x ml.g5.2xlarge, since ")
    assert [text.split(":")[0] for text in list_running(session)] == [f"training job {job.name}"]
    code, out, _ = run("delete", "--job", job.name)
    assert (code, out) == (0, f"training job {job.name}: stopping\n")
    assert run("delete", "--job", job.name)[1] == f"training job {job.name}: it has ended already: Stopped\n"
    assert run("status")[1] == f"{NOTHING}\n"
    assert "s3://" not in summary(session, *existing(session, job.name, *JOBS))
    job.end("Completed")
    assert summary(session, *existing(session, job.name, *JOBS)).endswith(f"{job.name}/output/model.tar.gz")


def test_the_log_of_all_machines_is_shown_once_each_line_while_the_job_runs(job, session, log, monkeypatch):
    log.clear()

    def meanwhile(seconds):
        job.write(f"{job.name}/algo-1-1", ["third of algo-1"])
        job.end("Completed")

    asleep(monkeypatch, meanwhile)
    outcome = HuggingFaceEstimator(ROLE, session=session).attach(job.name).wait()
    assert outcome.status == "Completed" and outcome.model_data.endswith("model.tar.gz")
    assert log.messages == [
        "[algo-1] first of algo-1",
        "[algo-1] second of algo-1",
        "[algo-2] first of algo-2",
        "[algo-2] second of algo-2",
        f"{job.name}: InProgress, Training",
        "[algo-1] third of algo-1",
        f"{job.name}: Completed",
    ]


def test_a_stopped_job_has_no_model_and_says_how_to_go_on(job, session):
    job.job.model_artifacts = {"S3ModelArtifacts": "s3://proteins/empty/model.tar.gz"}  # SageMaker packs what is there
    job.end("Stopped")
    estimator = HuggingFaceEstimator(ROLE, session=session).attach(job.name)
    with refused(ProteinClassifierError, "Stopped. left no model; if it kept checkpoints, a job with"):
        estimator.model_data


def test_a_failed_job_is_one_line_with_sagemakers_reason(job, session):
    job.end("Failed", "AlgorithmError: train: x.fasta,\nrecord 1, exit code: 1")
    reason = "AlgorithmError: train: x.fasta, record 1, exit code: 1"
    place = f"its log: CloudWatch, /aws/sagemaker/TrainingJobs, {job.name}"
    with refused(ProteinClassifierError, f"^the training job {job.name} failed: {reason}; {place}$"):
        HuggingFaceEstimator(ROLE, session=session).attach(job.name).wait(logs=False)


def test_ctrl_c_leaves_a_job_running_and_says_how_to_stop_it(job, session, monkeypatch):
    asleep(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt, match=f"protbert-classify sagemaker delete --job {job.name} stops it"):
        HuggingFaceEstimator(ROLE, session=session).attach(job.name).wait(logs=False)
    assert job.job.training_job_status == "InProgress"


def refusal(code, message="so\nit is"):
    return ClientError({"Error": {"Code": code, "Message": message}}, "CreateTrainingJob")


@pytest.mark.parametrize(
    ("error", "kind", "complaint"),
    [
        (refusal("AccessDeniedException"), ProteinClassifierError, "sagemaker policy' prints the permissions"),
        (refusal("ResourceLimitExceeded"), ProteinClassifierError, "Service Quotas"),
        (refusal("ExpiredToken"), ProteinClassifierError, "sign in to AWS again"),
        (refusal("ValidationException"), OptionError, "could not begin: so it is"),
        (NoCredentialsError(), OptionError, "aws configure"),
        (EndpointConnectionError(endpoint_url="https://x"), ProteinClassifierError, "Could not connect"),
    ],
)
def test_what_aws_refuses_is_one_line_with_what_to_do(error, kind, complaint):
    with refused(kind, complaint), translate_errors("begin"):
        raise error


@pytest.mark.parametrize("said", ["Requested resource not found.", 'Could not find model "x".'])
def test_what_aws_says_of_what_is_not_there_is_known(said):
    assert is_missing(refusal("ValidationException", said))
