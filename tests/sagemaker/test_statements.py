"""Names that make up a policy: refused where they would allow nothing, or too much."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sagemaker.core")
pytest.importorskip("moto")

from protbert_classify.errors import OptionError
from protbert_classify.sagemaker import statements
from protbert_classify.sagemaker.policy import serving_policy, training_policy, user_policy

from .test_policy import ACCOUNT, BUCKET, HERE, INPUTS, KEY, REGION, check_form, listed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account": "1234"}, "account '1234': expected 12 digits"),
        ({"account": "12345678901٢"}, "expected 12 digits"),
        ({"region": "Atlantis"}, "region 'Atlantis': AWS has none of this name"),
        ({"partition": "aws-cn"}, "partition 'aws-cn': region us-east-1 is of aws"),
        ({"bucket": "My_Bucket"}, "bucket 'My_Bucket': not a name of a bucket"),
        ({"bucket": "*"}, "not a name of a bucket"),
        ({"prefix": "runs/*"}, r"'runs/\*': \*, \? and \$ would stand for other keys"),
        ({"prefix": "${aws:username}"}, "would stand for other keys"),
        ({"inputs": ["/data"]}, "'/data': not an address in S3"),
        ({"inputs": ["s3://lab/*"]}, "would stand for other keys"),
        ({"inputs": [f"s3://laboratory/{'x' * 900}{i}" for i in range(7)]}, "and IAM takes 6,144; give fewer"),
        ({"kms_key": "alias/mine"}, "kms_key 'alias/mine': expected the ARN of a key of this region"),
        ({"kms_key": KEY.split("/")[1]}, "'aws kms describe-key --key-id 1234abcd.* tells it"),
        ({"kms_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/mine"}, "expected the ARN of a key"),
        ({"kms_key": KEY.replace(REGION, "eu-west-1")}, "of a key of this region"),
        ({"kms_key": "*"}, "expected the ARN of a key"),
        ({"secret": "a secret"}, "secret 'a secret': expected its name"),
        ({"secret": "*"}, "expected its name"),
    ],
)
def test_what_would_allow_nothing_or_too_much_is_refused_in_one_line(changes, words):
    given = {"account": ACCOUNT, "region": REGION, "bucket": BUCKET, **changes}
    with pytest.raises(OptionError, match=words) as caught:
        training_policy(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"roles": []}, "no roles; expected those of jobs and endpoints"),
        ({"roles": ["*"]}, r"role '\*': expected its name, or arn:aws:iam::123456789012:role/NAME"),
        ({"roles": ["arn:aws:iam::999999999999:role/theirs"]}, "expected its name, or arn:aws:iam::123456789012"),
        ({"roles": ["r"], "names": "Mine*"}, "names 'Mine\\*': expected lower-case letters"),
        ({"roles": ["r"], "names": "*-mine*"}, "and a \\* at the end"),
    ],
)
def test_roles_and_names_that_would_open_more_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        user_policy(*HERE, **options)


def test_a_region_without_our_images_is_told():
    with pytest.raises(OptionError, match="no inference image huggingface"):
        serving_policy(ACCOUNT, "eusc-de-east-1", BUCKET)
    assert "204133271717:repository/pytorch-training" in json.dumps(training_policy(ACCOUNT, "eusc-de-east-1", BUCKET))


text = st.text("abz09-_./*?${}:\"'\\ \n", max_size=20)
names = st.text("abz09-_.", min_size=3, max_size=20)
addresses = st.one_of(st.sampled_from(INPUTS), names.map("s3://laboratory/{}/".format), st.just("s3://archive"))


@settings(deadline=None, max_examples=200, derandomize=True, database=None)
@given(
    account=st.sampled_from([ACCOUNT, "000000000001"]),
    prefix=st.one_of(names, names, text),
    inputs=st.lists(st.one_of(addresses, addresses, text.map("s3://laboratory/{}".format)), max_size=3),
    kms_key=st.one_of(st.none(), st.just(KEY), text),
    secret=st.one_of(st.none(), names, text),
    vpc=st.booleans(),
)
def check_soundness(seen, account, prefix, inputs, kms_key, secret, vpc):
    options = {"inputs": inputs, "kms_key": kms_key}
    try:
        made = [
            training_policy(account, REGION, BUCKET, prefix, **options, secret=secret, vpc=vpc),
            serving_policy(account, REGION, BUCKET, prefix, **options, vpc=vpc),
            user_policy(account, REGION, BUCKET, prefix, **options, roles=["r"]),
        ]
    except OptionError as error:
        assert str(error)
        return
    seen.append(len(made))
    for policy in made:
        check_form(policy)
        arns = [arn for statement in policy["Statement"] for arn in listed(statement["Resource"])]
        assert not [arn for arn in arns if arn.startswith("arn:aws:s3:::*") or "${" in arn]


def test_whatever_is_asked_for_the_policy_is_sound_or_refused(monkeypatch):
    registry = "arn:aws:ecr:us-east-1:763104351884:repository/x"
    monkeypatch.setattr(statements, "_repositories", lambda place, purpose: [registry])  # slow to look up
    seen = []
    check_soundness(seen)
    assert len(seen) > 20, "hardly any was made"
