"""What is refused before anything is sent, and what exactly is sent."""

import inspect
import json
import re
from pathlib import Path

import pytest

from protbert_classify.commands import main
from protbert_classify.errors import InputError, OptionError
from protbert_classify.sagemaker import HuggingFaceEstimator, open_session
from protbert_classify.sagemaker.dry_run import DryRun, Finished
from protbert_classify.sagemaker.training import METRICS
from protbert_classify.training.log_lines import log_line
from tests.training.runs import ROOT

from .cloud import BUCKET, REGION, ROLE
from .refusals import refused
from .snapshots import same_as_snapshot
from .stubs import KEY, VPC, interrupt


def dry(proteins, **options):
    """The one request that a dry run would send, its names of the moment replaced."""
    watched = DryRun()
    estimator = HuggingFaceEstimator(ROLE, session=open_session(BUCKET, dry_run=watched), **options)
    with pytest.raises(Finished):
        estimator.fit(proteins)
    ((operation, request),) = watched.requests
    names = r"[a-z-]+-\d{6}-\d{6}-[0-9a-f]{4}|protbert-classify-[0-9a-f]{4}(-\d{14})?"
    text = re.sub(names, "TIME", json.dumps(request))
    return {operation: json.loads(text)}


def test_the_request_of_a_plain_job(cloud, proteins):
    same_as_snapshot("training", dry(proteins, hyperparameters={"num_train_epochs": 3, "learning_rate": 3e-5}))
    assert cloud.requests == [] and cloud.keys() == [], "a dry run changes nothing"


def test_the_request_of_a_guarded_job_on_spot_instances(cloud, proteins):
    request = dry(
        proteins,
        instance_type="ml.m5.4xlarge",
        instance_count=2,
        use_spot_instances=True,
        max_run=3600,
        kms_key=KEY,
        **VPC,
        push_to_hub="me/locations",
        hub_token_secret="hub-token",
        tags={"team": "cells"},
    )
    same_as_snapshot("training_guarded", request)


def test_the_command_line_prints_the_request_it_would_send(cloud, proteins, capsys):
    options = ["--role", "protbert", "--bucket", BUCKET, "--data", proteins, "--num_train_epochs", "3", "--bf16"]
    assert main(["sagemaker", "train", *options, "--learning_rate", "3e-5", "--dry-run"]) == 0
    out, told = capsys.readouterr()
    upload, request = out.split("\nCreateTrainingJob\n")
    assert f"upload s3://{BUCKET}/protbert-classify/" in upload and "/input/train/proteins.fasta" in upload
    sent = json.loads(request)
    assert not sent.get("HyperParameters"), "options travel in a file"
    assert "1 x ml.g5.2xlarge for at most 24 hours; it ends by itself" in told
    assert cloud.requests == [] and cloud.keys() == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"hyperparameters": {"run_name": print}}, "expected text, numbers, lists"),
        ({"hyperparameters": {"learning_rat": 1}}, "did you mean --learning_rate"),
        ({"hyperparameters": {"num_train_epochs": "many"}}, "num_train_epochs='many': expected a number"),
        ({"hyperparameters": {"hub_token": "hf_x"}}, "a secret would travel with the job; see hub_token_secret"),
        ({"hyperparameters": {"data": "x.fasta"}}, "the data of a job are channels"),
        ({"hyperparameters": {"a b": 1}}, "unknown option"),
        (
            {"hyperparameters": {"tuning": "lora", "backbone_config": {"model_type": "bert"}}},
            "tuning=lora and backbone_config exclude each other",
        ),
        ({"hyperparameters": {"packing": "maybe"}}, "packing='maybe': expected one of auto, on, off"),
        ({"use_spot_instances": True, "max_run": 10, "max_wait": 5}, "max_wait=5"),
        ({"use_spot_instances": True, "keep_alive_period_in_seconds": 60}, "choose one of the two"),
        ({"checkpoint_s3_uri": "bucket/x"}, "not a valid address in S3"),
        ({"network_isolation": True}, "give image_uri"),
        ({"push_to_hub": "me/x"}, "give hub_token_secret"),
        ({"hub_token_secret": "s"}, "hub_token_secret requires push_to_hub"),
        ({"push_to_hub": "me/x", "hub_token_secret": "hf_x"}, "the name of a secret"),
        ({"max_wait": 100}, "requires use_spot_instances"),
        ({"hyperparameters": {"output_dir": "runs/x"}}, "a job resumes from checkpoint_s3_uri"),
        ({"checkpoint_s3_uri": "s3://no-such-bucket/x"}, "bucket 'no-such-bucket': it does not exist"),
        ({"push_to_hub": "m", "hub_token_secret": "s", "network_isolation": True, "image_uri": "i"}, "does not reach"),
    ],
)
def test_what_cannot_work_is_one_line_before_anything_is_sent(session, options, complaint):
    with refused(OptionError, text=complaint):
        HuggingFaceEstimator(**{"role": ROLE, "session": session, **options})


def test_the_arguments_that_the_docs_name_are_there():
    text = (ROOT / "docs" / "sagemaker.md").read_text()
    paragraph = text[text.index("Migrating from SDK v2") : text.index("| version 2 | here |")]
    names = re.findall(r"`(\w+)`", paragraph) + re.findall(r"`(\w+)=", text[text.index("| version 2 | here |") :])
    assert len(names) > 10 and set(names) <= set(inspect.signature(HuggingFaceEstimator).parameters)


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ("/nowhere.fasta", "no such file"),
        ("s3://proteins/nothing", "nothing at s3://proteins/nothing"),
        ("s3://no-such-bucket/x", "bucket does not exist"),
        (
            {"train": "/etc/hostname", "tests": "x"},
            "channel 'tests': expected train and, if you have them",
        ),
        ({"test": "/etc/hostname"}, "no channel train"),
        ("/etc", "/etc: found a folder; expected one file of proteins"),
    ],
)
def test_inputs_that_are_not_there_are_one_line(session, inputs, complaint):
    with refused(OptionError, text=complaint):
        HuggingFaceEstimator(ROLE, session=session).fit(inputs)


def test_an_address_of_several_files_is_refused(cloud, session):
    for name in ("a.fasta", "b.fasta"):
        cloud.put(f"many/{name}", b">P1 Nucleus-U\nMKV\n")
    with pytest.raises(OptionError, match=r"several objects begin with .* \(many/a.fasta, many/b.fasta\)"):
        HuggingFaceEstimator(ROLE, session=session)._channels("s3://proteins/many")
    cloud.put("one/", b"")  # as AWS' console marks a folder
    cloud.put("one/a.fasta", b">P1 Nucleus-U\nMKV\n")
    one = {"train": "s3://proteins/one/"}
    assert HuggingFaceEstimator(ROLE, session=session)._channels(one) == one


def test_proteins_may_be_a_path(session, proteins):
    assert HuggingFaceEstimator(ROLE, session=session)._channels(Path(proteins)) == {"train": proteins}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_while_a_job_starts_says_what_may_run(cloud, proteins, moment):
    session = open_session(BUCKET)
    estimator = HuggingFaceEstimator(ROLE, session=session, base_job_name=f"interrupted-{moment}")
    session.boto_session.events.register(f"{moment}-call.sagemaker.CreateTrainingJob", interrupt)
    with pytest.raises(KeyboardInterrupt, match=f"a job interrupted-{moment}-.* may run, and cost; .* status shows it"):
        estimator.fit(proteins, wait=False)


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("hello", {}, "proteins.fasta"),
        (">P1 Nucleus-U\nMK1V\n", {}, "'1' at position 3"),
        (">P1 loc=Nucleus\nMKV\n", {}, "record 1 (P1)"),
        (">P1 loc=Nucleus\nMKV\n", {"header_pattern": "where=(?P<label>.+)"}, "record 1 (P1)"),
    ],
)
def test_proteins_that_a_job_could_not_read_cost_nothing(session, tmp_path, text, options, complaint):
    (tmp_path / "proteins.fasta").write_text(text)
    with refused(InputError, text=complaint):
        HuggingFaceEstimator(ROLE, session=session, hyperparameters=options).fit(str(tmp_path / "proteins.fasta"))


def test_an_isolated_job_without_a_pretrained_model_is_refused(session, proteins, tmp_path):
    estimator = HuggingFaceEstimator(ROLE, session=session, network_isolation=True, image_uri="mine")
    with pytest.raises(OptionError, match="give a pretrained model as a channel"):
        estimator.fit(proteins)


def test_a_mistyped_bucket_is_refused_and_not_created(cloud):
    with pytest.raises(OptionError, match="'protein': it does not exist"):
        open_session("protein")
    assert [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]] == [BUCKET]


def test_without_a_region_or_credentials_one_line_says_what_to_do(cloud, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(OptionError, match="no AWS region"):
        open_session()
    with pytest.raises(OptionError, match="profile"):
        open_session(profile="nobody", region=REGION)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(OptionError, match="no AWS credentials"):
        open_session(BUCKET, region=REGION)


def test_the_metrics_of_cloudwatch_are_found_in_a_log():
    log = "\n".join(
        [
            log_line({"loss": 0.5, "grad_norm": 1.2, "learning_rate": 3e-05, "epoch": 1.0}),
            log_line(
                {"eval_loss": 1.1e-05, "eval_accuracy": 0.75, "eval_mcc": -0.25, "eval_macro_f1": 0.7, "epoch": 1.0}
            ),
            log_line({"train_runtime": 16.0, "train_loss": 2.3, "epoch": 2.0}),
            "test: 1,384 proteins, accuracy 0.664, MCC -0.571, macro F1 0.498",
        ]
    )
    found = {name: [float(value) for value in re.findall(regex, log, re.MULTILINE)] for name, regex in METRICS.items()}
    assert found == {
        "train:loss": [0.5],
        "validation:loss": [1.1e-5],
        "validation:accuracy": [0.75],
        "validation:mcc": [-0.25],
        "validation:macro_f1": [0.7],
        "test:accuracy": [0.664],
        "test:mcc": [-0.571],
        "test:macro_f1": [0.498],
    }
