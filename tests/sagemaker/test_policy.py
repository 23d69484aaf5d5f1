"""Policies: what each allows and what it does not, in IAM's own terms."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from protbert_classify.errors import OptionError
from protbert_classify.sagemaker.policy import policy as filled

from .cloud import ACCOUNT, BUCKET, REGION
from .stubs import KEY

HERE = (ACCOUNT, REGION, BUCKET)
ROLES = [f"arn:aws:iam::{ACCOUNT}:role/protbert-{name}" for name in ("training", "serving")]
STARS = {  # actions that know no resource
    *("ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"),
    *("ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups"),
    *("ec2:DescribeSubnets", "ec2:DescribeVpcs"),
    *("sagemaker:ListEndpoints", "sagemaker:ListTrainingJobs", "sagemaker:ListTransformJobs"),
}
WHOLE = {"inputs": ["s3://laboratory/deeploc/train.fasta", "s3://proteins/shared/"], "kms_key": KEY}
POLICIES = {  # with all that each can allow; `plain` ones with nothing that a user may leave out
    "training": filled("training", *HERE, **WHOLE, secret="hub/token", vpc=True),
    "serving": filled("serving", *HERE, **WHOLE, vpc=True),
    "user": filled("user", *HERE, **WHOLE, roles=["protbert-training", "protbert-serving"]),
    "plain training": filled("training", *HERE),
    "plain serving": filled("serving", *HERE),
}
JOBS, ALL = ("training", "serving"), ("training", "serving", "user")
MINE = "arn:aws:s3:::proteins/protbert-classify/run/model.tar.gz"
IMAGES = "arn:aws:ecr:us-east-1:763104351884:repository/"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
SUBNET = f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-1"
OURS = {"StringLike": {"s3:prefix": ["protbert-classify/*"]}}
INPUTS = {"StringLike": {"s3:prefix": ["deeploc/train.fasta*", "shared/*"]}}
CREATED, TAGGED = (
    {"StringEquals": {f"aws:{which}Tag/created-by": "protbert-classify"}} for which in ("Request", "Resource")
)
OF_KIND = {  # of the resources of SageMaker: what a user does with those of our tag
    "training-job": ("Create", "Describe", "Stop"),
    "model": ("Create", "Describe", "Delete"),
    "endpoint-config": ("Create", "Describe", "Delete"),
    "endpoint": ("Create", "Describe", "Delete", "Invoke"),
    "transform-job": ("Create", "Describe", "Stop"),
}

ALLOWED = [  # policies, actions, resource, and the condition of each statement that allows it
    (ALL, ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"), MINE, [None]),
    (ALL, ("s3:GetObject",), "arn:aws:s3:::laboratory/deeploc/train.fasta", [None]),
    (ALL, ("s3:GetObject",), "arn:aws:s3:::proteins/shared/test.fasta", [None]),
    (JOBS, ("s3:ListBucket",), "arn:aws:s3:::proteins", [OURS, INPUTS]),
    (JOBS, ("s3:ListBucket",), "arn:aws:s3:::laboratory", [INPUTS]),
    (("user",), ("s3:ListBucket",), "arn:aws:s3:::proteins", [None, INPUTS]),  # whether the bucket is there
    (("training",), ("ecr:BatchGetImage",), f"{IMAGES}huggingface-pytorch-training", [None]),
    (("training",), ("ecr:BatchGetImage",), f"{IMAGES}pytorch-training", [None]),
    (("serving",), ("ecr:GetDownloadUrlForLayer",), f"{IMAGES}huggingface-pytorch-inference", [None]),
    (("training",), ("logs:CreateLogGroup",), f"{LOGS}TrainingJobs", [None]),
    (("training",), ("logs:PutLogEvents",), f"{LOGS}TrainingJobs:log-stream:job/algo-1", [None]),
    (("serving",), ("logs:CreateLogGroup",), f"{LOGS}Endpoints/mine", [None]),
    (("serving",), ("logs:CreateLogGroup",), f"{LOGS}TransformJobs", [None]),
    (("serving",), ("logs:PutLogEvents",), f"{LOGS}Endpoints/mine:log-stream:AllTraffic/i-1", [None]),
    (("serving",), ("logs:PutLogEvents",), f"{LOGS}TransformJobs:log-stream:AllTraffic/i-1", [None]),
    (("user",), ("logs:FilterLogEvents",), f"{LOGS}TrainingJobs:log-stream:x", [None]),
    (
        ("training",),
        ("cloudwatch:PutMetricData",),
        "*",
        [{"StringEquals": {"cloudwatch:namespace": ["/aws/sagemaker/TrainingJobs"]}}],
    ),
    (ALL, ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"), KEY, [None]),
    (ALL, ("kms:CreateGrant",), KEY, [{"Bool": {"kms:GrantIsForAWSResource": "true"}}]),
    (("training",), ("secretsmanager:GetSecretValue",), f"{SECRET}hub/token-aB3xYz", [None]),
    (JOBS, ("ec2:CreateNetworkInterface",), SUBNET, [None]),
    (JOBS, ("ec2:DescribeVpcs",), "*", [{"StringEquals": {"aws:RequestedRegion": REGION}}]),
    (("user",), ("iam:PassRole",), ROLES[0], [{"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}]),
    (("user",), ("iam:GetRole",), ROLES[1], [None]),
]
REFUSED = [
    (ALL, ("s3:GetObject", "s3:PutObject"), "arn:aws:s3:::proteins/payroll.csv"),
    (ALL, ("s3:GetObject", "s3:PutObject"), "arn:aws:s3:::proteins/protbert-classify-2/x"),
    (ALL, ("s3:PutObject",), "arn:aws:s3:::laboratory/deeploc/train.fasta"),
    (ALL, ("s3:PutObject",), "arn:aws:s3:::proteins/shared/test.fasta"),
    (ALL, ("s3:GetObject",), "arn:aws:s3:::laboratory/other.fasta"),
    (ALL, ("s3:DeleteObject",), MINE),
    (("training",), ("ecr:BatchGetImage",), f"{IMAGES}huggingface-pytorch-inference"),
    (("serving",), ("ecr:GetDownloadUrlForLayer",), f"{IMAGES}huggingface-pytorch-training"),
    (("serving",), ("ecr:GetDownloadUrlForLayer",), f"{IMAGES}another-huggingface-pytorch-inference"),
    (("training",), ("logs:PutLogEvents",), f"{LOGS}Endpoints/e:log-stream:x"),
    (("serving",), ("logs:PutLogEvents",), f"{LOGS}TrainingJobs:log-stream:x"),
    (ALL, ("kms:Decrypt",), KEY[:-1] + "c"),
    (("training",), ("secretsmanager:GetSecretValue",), f"{SECRET}hub/token-of-another-aB3xYz"),
    (("training",), ("secretsmanager:GetSecretValue",), f"{SECRET}another-hub/token-aB3xYz"),
    (("serving", "user"), ("secretsmanager:GetSecretValue",), f"{SECRET}hub/token-aB3xYz"),
    (("user", "plain training", "plain serving"), ("ec2:CreateNetworkInterface",), SUBNET),
    (("user", "plain training", "plain serving"), ("ec2:DescribeVpcs",), "*"),
    (("user",), ("iam:PassRole",), f"arn:aws:iam::{ACCOUNT}:role/Administrator"),
]


def listed(value):
    return [value] if isinstance(value, str) else value


def allowing(policy, action, resource):
    """The statements that allow an action, their conditions set aside."""
    return [
        statement
        for statement in policy["Statement"]
        if action in statement["Action"] and any(fnmatchcase(resource, arn) for arn in listed(statement["Resource"]))
    ]


def check_form(policy, partition="aws"):
    """What holds for all policies."""
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert policy["Version"] == "2012-10-17" and len(set(sids)) == len(sids)
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert not [action for action in statement["Action"] if "*" in action], statement
        for arn in listed(statement["Resource"]):
            if arn == "*":
                assert set(statement["Action"]) <= STARS, statement
            else:
                assert arn.startswith(f"arn:{partition}:"), statement


@pytest.mark.parametrize("name", POLICIES)
def test_no_action_is_a_pattern_and_a_star_stands_only_where_there_is_no_resource(name):
    check_form(POLICIES[name])


def test_each_policy_allows_what_its_work_needs_under_its_conditions():
    for names, actions, resource, conditions in ALLOWED:
        for name in names:
            for action in actions:
                statements = allowing(POLICIES[name], action, resource)
                assert [found.get("Condition") for found in statements] == conditions, (name, action, resource)


def test_no_policy_allows_what_is_of_others():
    for names, actions, resource in REFUSED:
        for name in names:
            assert not any(allowing(POLICIES[name], action, resource) for action in actions), (name, resource)
    services = {action.split(":")[0] for part in POLICIES["plain training"]["Statement"] for action in part["Action"]}
    assert services == {"s3", "ecr", "logs", "cloudwatch"}


def test_a_user_creates_uses_and_deletes_what_has_our_tag_and_hands_on_only_its_roles():
    policy, there = POLICIES["user"], "arn:aws:sagemaker:us-east-1:{}:{}/mine"
    for kind, verbs in OF_KIND.items():
        actions = [f"sagemaker:{verb}{kind.title().replace('-', '')}" for verb in verbs]
        for action in actions + ["sagemaker:InvokeEndpointAsync"] * (kind == "endpoint"):
            (statement,) = allowing(policy, action, there.format(ACCOUNT, kind))
            assert not allowing(policy, action, there.format("999999999999", kind))
            expected = None if ":Describe" in action else CREATED if ":Create" in action else TAGGED
            assert statement.get("Condition") == expected, action
    (tagging,) = allowing(policy, "sagemaker:AddTags", there.format(ACCOUNT, "endpoint"))
    assert "CreateEndpoint" in tagging["Condition"]["StringEquals"]["sagemaker:TaggingAction"]
    assert allowing(policy, "iam:PassRole", ROLES[0])[0]["Resource"] == ROLES


def test_the_roles_are_assumed_by_sagemaker_for_this_account_alone():
    assert filled("trust", ACCOUNT)["Statement"] == [
        {
            "Sid": "SageMaker",
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
    ]


@pytest.mark.parametrize(
    ("region", "partition", "registry"),
    [("cn-north-1", "aws-cn", "727897471807"), ("us-gov-west-1", "aws-us-gov", "442386744353")],
)
def test_other_partitions_have_their_own_arns_and_registries(region, partition, registry):
    policy = filled("training", ACCOUNT, region, BUCKET, vpc=True)
    check_form(policy, partition)
    assert allowing(policy, "ecr:BatchGetImage", f"arn:{partition}:ecr:{region}:{registry}:repository/pytorch-training")


@pytest.mark.parametrize("name", ALL)
def test_iam_takes_it(cloud, name):
    iam = cloud.client("iam")
    iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(POLICIES[name]))
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(filled("trust", ACCOUNT)))


@pytest.mark.parametrize("name", ALL)
def test_every_action_exists_and_is_for_a_resource_of_its_statement(name):
    """By AWS' service authorization reference, as cfn-lint has it."""
    specification = pytest.importorskip("cfnlint.data.AdditionalSpecs")
    known = json.loads(Path(specification.__file__).with_name("Policies.json").read_text())
    for statement in POLICIES[name]["Statement"]:
        for action in statement["Action"]:
            service, verb = action.split(":")
            kinds = known[service]["Actions"][verb.lower()].get("Resources", [])
            if statement["Resource"] == "*":
                assert not kinds or action == "cloudwatch:PutMetricData", action
                continue
            forms = [
                re.sub(r"\$\{\w+\}", "[^:]*", form)
                for kind in kinds
                for form in known[service]["Resources"][kind.lower()]["ARNFormats"]
            ]
            assert any(re.fullmatch(form, arn) for form in forms for arn in listed(statement["Resource"])), action


def test_an_image_of_ones_own_may_be_pulled_and_no_other():
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/protbert-classify:1"
    mine = "arn:aws:ecr:eu-west-1:123456789012:repository/protbert-classify"
    for kind in ("serving", "training"):
        assert not allowing(filled(kind, *HERE), "ecr:BatchGetImage", mine)
        document = filled(kind, *HERE, images=[uri])
        check_form(document)
        assert allowing(document, "ecr:BatchGetImage", mine)
        assert not allowing(document, "ecr:BatchGetImage", mine + "-2")
    with pytest.raises(OptionError, match="image_uri 'python:3': expected ACCOUNT.dkr.ecr.REGION"):
        filled("serving", *HERE, images=["python:3"])
