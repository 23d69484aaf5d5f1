"""Machines and their container: what none of a training, an endpoint and a transform job may have, and their images."""

from functools import partial

import pytest

from protbert_classify.errors import OptionError
from protbert_classify.sagemaker import HuggingFaceEstimator, Machines, Transformer
from protbert_classify.sagemaker.images import TRAINING_GPU, encrypts_itself, has_gpu, image_uri

from .cloud import REGION, ROLE
from .refusals import refused
from .stubs import KEY

KINDS = {"endpoint": Machines, "training": HuggingFaceEstimator, "transform": partial(Transformer, "runs/mine")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"role": None}, "no role"),
        ({"role": "nobody"}, "role 'nobody': the account has no role of this name"),
        ({"instance_type": "m5.xlarge"}, "did you mean ml.m5.xlarge, "),
        ({"instance_type": "ml.m5.xlarg"}, "did you mean ml.m5.xlarge, "),
        ({"environment": {"WANDB_KEY": "1"}}, "environment WANDB_KEY: a secret would be recorded"),
        ({"environment": {"AWS_SECRET_ACCESS_KEY": "1"}}, "environment AWS_SECRET_ACCESS_KEY: a secret"),
        ({"environment": {"GITHUB_PAT": "1"}}, "environment GITHUB_PAT: a secret"),
        ({"environment": {"THREADS": 4}}, "environment THREADS=4: expected text"),
        ({"kms_key": KEY.replace("us-east", "eu-west")}, "expected arn:aws:kms:us-east-1:"),
        ({"kms_key": "my key"}, "KMS key 'my key': expected arn:aws:kms:us-east-1:"),
        ({"subnets": ["subnet-1"]}, "a VPC needs subnets and security groups"),
        ({"security_group_ids": ["sg-1"]}, "a VPC needs subnets and security groups"),
    ],
)
def test_what_is_unsafe_or_cannot_work_is_one_line_for_each_kind_of_machines(session, kind, options, complaint):
    with refused(OptionError, text=complaint):
        KINDS[kind](**{"role": ROLE, "session": session, "image_uri": "mine", **options})


def test_an_image_of_ones_own_may_run_where_those_of_aws_do_not(session):
    options = {"role": ROLE, "session": session, "instance_type": "ml.m6g.large"}
    with pytest.raises(OptionError, match="the images are for x86 and NVIDIA"):
        Machines(**options)
    assert Machines(**options, image_uri="mine").image_uri == "mine"


def test_gpus_that_the_newest_image_does_not_know_are_refused_for_it_alone():
    with pytest.raises(OptionError, match="'ml.p3.2xlarge': its GPUs are too old"):
        image_uri("training", "ml.p3.2xlarge", REGION)
    assert "gpu" in image_uri("training", "ml.p3.2xlarge", REGION, TRAINING_GPU)
    assert "gpu" in image_uri("inference", "ml.p3.2xlarge", REGION)


def test_images_are_the_newest_and_fit_the_instance():
    assert "huggingface-pytorch-training:2.9.0-transformers5.3.0-gpu" in image_uri("training", "ml.g5.xlarge", REGION)
    assert "pytorch-training:2.9.0-cpu-py312" in image_uri("training", "ml.m5.xlarge", REGION)
    assert "inference:2.6.0-transformers5.5.3-cpu" in image_uri("inference", "ml.m5.xlarge", REGION)
    assert "inference:2.6.0-transformers5.5.3-gpu" in image_uri("transform", "ml.g5.xlarge", REGION)
    with pytest.raises(OptionError, match="no training image huggingface 5.3.0.* for CPUs"):
        image_uri("training", "ml.m5.xlarge", REGION, TRAINING_GPU)
    with pytest.raises(OptionError, match="the images are for x86 and NVIDIA"):
        image_uri("inference", "ml.m6g.large", REGION)
    with pytest.raises(OptionError, match="in us-nowhere-1"):
        image_uri("training", "ml.g5.xlarge", "us-nowhere-1")


def test_what_an_instance_is_is_read_from_its_name():
    assert [has_gpu(f"ml.{name}") for name in ("g5.xlarge", "p4d.24xlarge", "m5.xlarge", "c5.xlarge")] == [
        *(True, True, False, False)
    ]
    assert all(encrypts_itself(f"ml.{name}.xlarge") for name in ("g4dn", "g5", "g6e", "p4d", "p5", "m5d", "r5d", "c5d"))
    assert not any(encrypts_itself(f"ml.{name}.xlarge") for name in ("m5", "c5", "p3", "r5", "m7i"))
