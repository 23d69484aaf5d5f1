"""Policies: what each allows and what it does not, in IAM's own terms."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

pytest.importorskip("sagemaker.core")
boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

from protbert_classify.errors import OptionError  # noqa: E402
from protbert_classify.sagemaker.policy import policy as filled  # noqa: E402

ACCOUNT, REGION, BUCKET = "123456789012", "us-east-1", "proteins"
HERE = (ACCOUNT, REGION, BUCKET)
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
INPUTS = ["s3://laboratory/deeploc/train.fasta", "s3://proteins/shared/"]
OURS = "arn:aws:s3:::proteins/protbert-classify"
STARS = {  # actions that know no resource
    *("ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"),
    *("ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups"),
    *("ec2:DescribeSubnets", "ec2:DescribeVpcs"),
    *("sagemaker:ListEndpoints", "sagemaker:ListTrainingJobs", "sagemaker:ListTransformJobs"),
}


@pytest.fixture(scope="module")
def policies():
    """Each with all that it can allow."""
    options = {"inputs": INPUTS, "kms_key": KEY}
    return {
        "training": filled("training", *HERE, **options, secret="hub/token", vpc=True),
        "serving": filled("serving", *HERE, **options, vpc=True),
        "user": filled("user", *HERE, **options, roles=["protbert-training", "protbert-serving"]),
    }


def listed(value):
    return [value] if isinstance(value, str) else value


def allowing(policy, action, resource):
    """The statements that allow an action, their conditions set aside."""
    return [
        statement
        for statement in policy["Statement"]
        if action in statement["Action"] and any(fnmatchcase(resource, arn) for arn in listed(statement["Resource"]))
    ]


def allows(policy, action, resource):
    return bool(allowing(policy, action, resource))


def condition(policy, sid):
    return next(statement["Condition"] for statement in policy["Statement"] if statement["Sid"] == sid)


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


# what each allows


@pytest.mark.parametrize("name", ["training", "serving", "user"])
def test_no_action_is_a_pattern_and_a_star_stands_only_where_there_is_no_resource(policies, name):
    check_form(policies[name])


@pytest.mark.parametrize("name", ["training", "serving", "user"])
def test_objects_below_the_prefix_are_read_and_written_inputs_only_read_and_others_neither(policies, name):
    policy = policies[name]
    for action in ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"):
        assert allows(policy, action, f"{OURS}/run/model.tar.gz")
        for other in ("arn:aws:s3:::proteins/payroll.csv", "arn:aws:s3:::proteins/protbert-classify-2/x"):
            assert not allows(policy, action, other)
    for uri in ("laboratory/deeploc/train.fasta", "proteins/shared/test.fasta"):
        assert allows(policy, "s3:GetObject", f"arn:aws:s3:::{uri}")
        assert not allows(policy, "s3:PutObject", f"arn:aws:s3:::{uri}")
    assert not allows(policy, "s3:GetObject", "arn:aws:s3:::laboratory/other.fasta")
    assert not any("s3:DeleteObject" in statement["Action"] for statement in policy["Statement"])


def test_only_our_keys_and_those_of_inputs_are_listed(policies):
    keys, others = "arn:aws:s3:::proteins", "arn:aws:s3:::laboratory"
    for name in ("training", "serving"):
        ours, inputs = allowing(policies[name], "s3:ListBucket", keys)
        assert ours["Condition"] == {"StringLike": {"s3:prefix": ["protbert-classify/*"]}}
        assert inputs["Condition"] == {"StringLike": {"s3:prefix": ["deeploc/train.fasta*", "shared/*"]}}
        assert allowing(policies[name], "s3:ListBucket", others) == [inputs]
    ours, _ = allowing(policies["user"], "s3:ListBucket", keys)
    assert "Condition" not in ours  # whether the bucket is there


def test_a_job_pulls_our_images_writes_its_logs_and_its_metrics_and_nothing_else():
    policy = filled("training", *HERE)
    images = "arn:aws:ecr:us-east-1:763104351884:repository/"
    for name in ("huggingface-pytorch-training", "pytorch-training"):
        assert allows(policy, "ecr:BatchGetImage", images + name)
    assert not allows(policy, "ecr:BatchGetImage", images + "huggingface-pytorch-inference")
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/"
    assert allows(policy, "logs:CreateLogGroup", group + "TrainingJobs")
    assert allows(policy, "logs:PutLogEvents", group + "TrainingJobs:log-stream:job/algo-1")
    assert not allows(policy, "logs:PutLogEvents", group + "Endpoints/e:log-stream:x")
    assert condition(policy, "WriteMetrics") == {
        "StringEquals": {"cloudwatch:namespace": ["/aws/sagemaker/TrainingJobs"]}
    }
    services = {action.split(":")[0] for statement in policy["Statement"] for action in statement["Action"]}
    assert services == {"s3", "ecr", "logs", "cloudwatch"}


def test_an_endpoint_pulls_the_inference_image_and_writes_the_logs_of_endpoints_and_transform_jobs():
    policy = filled("serving", *HERE)
    images = "arn:aws:ecr:us-east-1:763104351884:repository/"
    assert allows(policy, "ecr:GetDownloadUrlForLayer", images + "huggingface-pytorch-inference")
    assert not allows(policy, "ecr:GetDownloadUrlForLayer", images + "huggingface-pytorch-training")
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/"
    for name in ("Endpoints/mine", "TransformJobs"):
        assert allows(policy, "logs:CreateLogGroup", group + name)
        assert allows(policy, "logs:PutLogEvents", f"{group}{name}:log-stream:AllTraffic/i-1")
    assert not allows(policy, "logs:PutLogEvents", group + "TrainingJobs:log-stream:x")


def test_a_key_is_used_and_granted_to_disks_alone(policies):
    for policy in policies.values():
        for action in ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:CreateGrant"):
            assert allows(policy, action, KEY)
        assert not allows(policy, "kms:Decrypt", KEY[:-1] + "c")
        assert condition(policy, "GrantKeyToDisks") == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_the_token_of_the_hub_is_the_one_secret_that_training_reads(policies):
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
    assert allows(policies["training"], "secretsmanager:GetSecretValue", f"{secret}hub/token-aB3xYz")
    assert not allows(policies["training"], "secretsmanager:GetSecretValue", f"{secret}hub/token-of-another-aB3xYz")
    for name in ("serving", "user"):
        assert not allows(policies[name], "secretsmanager:GetSecretValue", f"{secret}hub/token-aB3xYz")


def test_interfaces_in_a_vpc_are_for_those_who_have_one(policies):
    for name in ("training", "serving"):
        assert allows(policies[name], "ec2:CreateNetworkInterface", f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-1")
        assert allows(policies[name], "ec2:DescribeVpcs", "*")
    assert "ec2:" not in json.dumps([filled("training", *HERE), filled("serving", *HERE), policies["user"]])


def test_a_user_creates_uses_and_deletes_what_has_our_tag_and_hands_only_its_roles_to_sagemaker_alone(policies):
    policy, here = policies["user"], f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:"
    kinds = {
        "training-job": ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"),
        "model": ("CreateModel", "DescribeModel", "DeleteModel"),
        "endpoint-config": ("CreateEndpointConfig", "DescribeEndpointConfig", "DeleteEndpointConfig"),
        "endpoint": ("CreateEndpoint", "DescribeEndpoint", "DeleteEndpoint", "InvokeEndpoint", "InvokeEndpointAsync"),
        "transform-job": ("CreateTransformJob", "DescribeTransformJob", "StopTransformJob"),
    }
    for kind, actions in kinds.items():
        for action in actions:
            (statement,) = allowing(policy, f"sagemaker:{action}", f"{here}{kind}/mine")
            assert not allows(policy, f"sagemaker:{action}", f"arn:aws:sagemaker:{REGION}:999999999999:{kind}/mine")
            tag = "aws:RequestTag" if action.startswith("Create") else "aws:ResourceTag"
            expected = {"StringEquals": {f"{tag}/created-by": "protbert-classify"}}
            assert statement.get("Condition") == (None if action.startswith("Describe") else expected), action
    (tagging,) = allowing(policy, "sagemaker:AddTags", f"{here}endpoint/mine")
    assert "CreateEndpoint" in tagging["Condition"]["StringEquals"]["sagemaker:TaggingAction"]
    roles = [f"arn:aws:iam::{ACCOUNT}:role/protbert-{name}" for name in ("training", "serving")]
    (passing,) = allowing(policy, "iam:PassRole", roles[0])
    assert passing["Resource"] == roles
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert not allows(policy, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Administrator")
    assert allows(policy, "iam:GetRole", roles[1])
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/"
    assert allows(policy, "logs:FilterLogEvents", group + "TrainingJobs:log-stream:x")


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
    assert allows(policy, "ecr:BatchGetImage", f"arn:{partition}:ecr:{region}:{registry}:repository/pytorch-training")


# what AWS says


@pytest.mark.parametrize("name", ["training", "serving", "user"])
def test_iam_takes_it(policies, name, monkeypatch):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    with moto.mock_aws():
        iam = boto3.client("iam", region_name=REGION)
        iam.create_policy(PolicyName="policy", PolicyDocument=json.dumps(policies[name]))
        iam.create_role(RoleName="role", AssumeRolePolicyDocument=json.dumps(filled("trust", ACCOUNT)))


@pytest.mark.parametrize("name", ["training", "serving", "user"])
def test_every_action_exists_and_is_for_a_resource_of_its_statement(policies, name):
    """By AWS' service authorization reference, as cfn-lint has it."""
    specification = pytest.importorskip("cfnlint.data.AdditionalSpecs")
    known = json.loads(Path(specification.__file__).with_name("Policies.json").read_text())
    for statement in policies[name]["Statement"]:
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
        assert not allows(filled(kind, *HERE), "ecr:BatchGetImage", mine)
        document = filled(kind, *HERE, images=[uri])
        check_form(document)
        assert allows(document, "ecr:BatchGetImage", mine)
        assert not allows(document, "ecr:BatchGetImage", mine + "-2")
    with pytest.raises(OptionError, match="image_uri 'python:3': expected ACCOUNT.dkr.ecr.REGION"):
        filled("serving", *HERE, images=["python:3"])
