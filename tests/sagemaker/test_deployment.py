"""What is asked of SageMaker for an endpoint, and what is refused before anything is."""

import re

import pytest

from protbert_classify.errors import ModelError, OptionError
from protbert_classify.sagemaker import Asynchronous, Predictor, Protection, Serverless, attach
from protbert_classify.sagemaker.endpoints.capacity import Capacity
from protbert_classify.sagemaker.endpoints.requests import deployment_requests
from protbert_classify.sagemaker.hosting import Hosting
from protbert_classify.sagemaker.packaging import unpack

from .cloud import ROLE
from .endpoints import one_line
from .snapshots import same_as_snapshot
from .stubs import GUARDED, VPC

pytestmark = pytest.mark.usefixtures("clean")

ISOLATED = Protection(network_isolation=True)


def test_the_requests_of_an_endpoint_with_everything(up, serving):
    up(
        "s3://proteins/models/model.tar.gz",
        endpoint_name="everything",
        role=ROLE,
        asynchronous=Asynchronous(concurrency=2),
        instance_type="ml.m5.2xlarge",
        instance_count=2,
        image_uri="stub",
        protection=GUARDED,
        tags={"team": "membranes"},
        environment={"OMP_NUM_THREADS": "4"},
    )
    operations = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint")
    same_as_snapshot("endpoint_asynchronous_secured", {name: serving.cloud.made(name) for name in operations})


@pytest.mark.parametrize(
    "options", [{}, {"serverless": Serverless(memory=3072, concurrency=9)}], ids=["plain", "serverless"]
)
def test_the_requests_that_are_shown_are_those_that_are_sent(up, serving, archive, options, request):
    up(image_uri="stub", endpoint_name="shown", **options)
    sent = [(name, body) for name, body in serving.cloud.requests if name.startswith("Create")]
    stamp = sent[0][1]["ModelName"].removeprefix("shown-")
    shown = deployment_requests(
        archive,
        "shown",
        stamp,
        hosting=Hosting(role=ROLE, region="us-east-1", image_uri="stub"),
        capacity=Capacity(**options),
        bucket=None,
    )
    assert shown == sent
    same_as_snapshot(f"endpoint_{request.node.callspec.id}", dict(sent))


def test_the_image_suits_the_instances():
    def image(**options):
        hosting, capacity = Hosting(role=ROLE, region="eu-west-1"), Capacity(**options)
        requests = deployment_requests(
            "s3://b-b/model.tar.gz", "e", "1", hosting=hosting, capacity=capacity, bucket="b-b"
        )
        return requests[0][1]["PrimaryContainer"]["Image"]

    assert re.search(r"huggingface-pytorch-inference:.*-gpu-", image(instance_type="ml.g5.xlarge"))
    assert re.search(r"huggingface-pytorch-inference:.*-cpu-", image())
    assert image(serverless=Serverless()) == image()


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"serverless": Serverless(), "asynchronous": Asynchronous()}, "serverless excludes asynchronous"),
        ({"serverless": Serverless(), "instance_type": "ml.g5.xlarge"}, "serverless excludes the GPUs"),
        ({"serverless": Serverless(), "instance_count": 2}, "serverless excludes several instances"),
        ({"serverless": Serverless(), "protection": Protection(**VPC)}, "serverless excludes a VPC"),
        ({"serverless": Serverless(), "protection": ISOLATED}, "serverless excludes network isolation"),
        ({"endpoint_name": "under_score"}, "endpoint 'under_score': expected at most 44 letters"),
        ({"endpoint_name": "a" * 45}, "expected at most 44 letters"),
        ({"instance_type": "ml.m5.xlarg"}, "did you mean ml.m5.xlarge"),
        ({"instance_count": 0}, "instance_count=0: expected 1 or more"),
        ({"environment": {"A-B": "1"}}, "environment 'A-B'"),
        ({"tags": {"aws:team": "1"}}, "tag 'aws:team'"),
        ({"scaling": 3}, "scaling=3: expected (fewest, most) instances"),
        ({"scaling": ("1", "4")}, "autoscaling: minimum='1': expected a whole number"),
        ({"scaling": (1, 2), "instance_count": 3}, "instance_count=3: expected at most 2, to which it scales"),
        ({"asynchronous": Asynchronous(output="s3://no-such/x")}, "bucket 'no-such': it does not exist"),
        ({"image_uri": "bad image"}, "image_uri 'bad image': expected an address in ECR"),
        ({"role": "nobody"}, "role 'nobody': there is none of this name"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_created(up, serving, options, expected):
    with pytest.raises(OptionError, match=re.escape(expected)) as error:
        up(**{"image_uri": "stub", **options})
    one_line(error)
    assert not [name for name, _ in serving.cloud.requests if name.startswith("Create")]


@pytest.mark.parametrize(
    "kind, values, expected",
    [
        (Serverless, {"memory": 1500}, "serverless: 1500 MB; expected one of 1024, 2048"),
        (Serverless, {"concurrency": 201}, "serverless: concurrency=201: expected 1 to 200"),
        (Asynchronous, {"concurrency": 1001}, "asynchronous: concurrency=1001: expected 1 to 1,000"),
        (Asynchronous, {"concurrency": 0}, "asynchronous: concurrency=0: expected 1 to 1,000"),
        (Asynchronous, {"output": "x"}, "'x': not an address in S3"),
        (Capacity, {"serverless": True}, "serverless=True: expected Serverless(...)"),
        (Capacity, {"asynchronous": True}, "asynchronous=True: expected Asynchronous(...)"),
        (Capacity, {"instance_count": "2"}, "instance_count='2': expected a whole number"),
        (Protection, {"kms_key": 5}, "KMS key 5: expected the ARN"),
        (Protection, {"subnets": "subnet-1", "security_group_ids": "sg-1"}, "subnets='subnet-1': expected a list"),
        (Protection, {"subnets": [1], "security_group_ids": [2]}, "subnets=[1]: expected a list of texts"),
        (Protection, {"network_isolation": "yes"}, "network_isolation='yes': expected True or False"),
        (Protection, {"subnets": ["subnet-1"]}, "a VPC needs subnets and security groups"),
        (Protection, {"security_group_ids": ["sg-1"]}, "a VPC needs subnets and security groups"),
        (Protection, {"kms_key": "my key"}, "KMS key 'my key': expected the ARN of a key"),
    ],
)
def test_values_that_cannot_be_are_refused_where_they_are_given(kind, values, expected):
    with pytest.raises(OptionError, match=re.escape(expected)) as error:
        kind(**values)
    one_line(error)


@pytest.mark.parametrize(
    "model, expected",
    [
        ("s3://proteins/models/none.tar.gz", "there is no such object in S3"),
        ("s3://proteins/models/", "expected a model.tar.gz, or a local folder"),
        ("/nowhere", "/nowhere: no model there"),
    ],
)
def test_a_model_that_is_not_there_is_refused(up, serving, model, expected):
    with pytest.raises((ModelError, OptionError), match=expected) as error:
        up(model)
    one_line(error)
    assert not [name for name, _ in serving.cloud.requests if name.startswith("Create")]


def test_an_isolated_container_of_aws_needs_the_wheels_of_a_local_folder(up, model_folder, archive, tmp_path):
    with pytest.raises(OptionError, match="network isolation: .* could not install .*; give wheels") as error:
        up(model_folder, protection=ISOLATED)
    one_line(error)
    with pytest.raises(OptionError, match="no wheels there; 'protbert-classify sagemaker wheels' writes them") as error:
        up(model_folder, protection=ISOLATED, wheels=str(tmp_path))
    one_line(error)
    (tmp_path / "one-1.0-py3-none-any.whl").write_bytes(b"one")
    with pytest.raises(OptionError, match="model.tar.gz is packed already") as error:
        up(archive, protection=ISOLATED, wheels=str(tmp_path))
    one_line(error)


def test_wheels_travel_with_a_local_folder_into_an_isolated_container(up, serving, model_folder, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "one-1.0-py3-none-any.whl").write_bytes(b"one")
    up(model_folder, image_uri="stub", endpoint_name="isolated", protection=ISOLATED, wheels=str(wheels))
    (request,) = serving.cloud.made("CreateModel")
    (tmp_path / "model.tar.gz").write_bytes(serving.cloud.get(request["PrimaryContainer"]["ModelDataUrl"]))
    unpack(str(tmp_path / "model.tar.gz"), str(tmp_path / "model"))
    code = tmp_path / "model" / "code"
    assert (code / "wheels" / "one-1.0-py3-none-any.whl").read_bytes() == b"one"
    first, second, ours = (code / "requirements.txt").read_text().splitlines()
    assert (first, second) == ("--no-index", "--find-links /opt/ml/model/code/wheels")
    assert ours.startswith("/opt/ml/model/code/protbert_classify-") and (code / ours.rsplit("/", 1)[1]).is_file()


def test_a_name_that_is_taken_is_refused_and_left_alone(up, serving):
    up(image_uri="stub", endpoint_name="taken")
    before = serving.there()
    with pytest.raises(OptionError, match=r"taken: it is there already \(InService\); update it, or delete") as error:
        up(image_uri="stub", endpoint_name="taken")
    one_line(error)
    assert serving.there() == before


def test_an_endpoint_that_somebody_else_makes_meanwhile_is_left_alone(up, serving, monkeypatch):
    up(image_uri="stub", endpoint_name="theirs-now")
    before = serving.there()
    monkeypatch.setattr("protbert_classify.sagemaker.deployment._refuse_existing", lambda session, name: None)
    with pytest.raises(OptionError, match="could not create the endpoint: Cannot create already existing") as error:
        up(image_uri="stub", endpoint_name="theirs-now")
    one_line(error)
    assert serving.there() == before


def test_an_endpoint_that_is_not_there_cannot_be_attached(session):
    with pytest.raises(OptionError, match="endpoint nobody: there is none of this name") as error:
        attach("nobody", session)
    one_line(error)
    with pytest.raises(OptionError, match="there is none of this name"):
        Predictor("nobody", session).predict("MKT")
