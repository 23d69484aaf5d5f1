"""Nothing of an endpoint is left when it is not wanted, however it ends."""

import time

import pytest

from protbert_classify.errors import InputError, OptionError, ProteinClassifierError
from protbert_classify.sagemaker import attach, delete_endpoint, list_endpoints
from protbert_classify.sagemaker.endpoints import deletion, lifecycle

from .endpoints import one_line
from .stubs import asleep, calls, stubbed

pytestmark = pytest.mark.usefixtures("clean")


def test_delete_leaves_nothing(up, serving, log, session):
    before = serving.there()
    predictor = up(image_uri="stub", endpoint_name="mine")
    assert [endpoint.name for endpoint in list_endpoints(session) if endpoint.name == "mine"]
    predictor.autoscale(1, 4)
    predictor.delete()
    assert serving.there() == before
    scaling = serving.cloud.client("application-autoscaling")
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    predictor.delete()  # nothing is left to do
    told = "\n".join(log.messages)
    assert "1 x ml.m5.xlarge, billed until it is deleted: protbert-classify sagemaker delete --endpoint mine" in told
    with pytest.raises(OptionError, match="endpoint mine: there is none of this name in us-east-1") as error:
        delete_endpoint("mine", session)
    one_line(error)


def test_delete_goes_on_where_something_is_gone_already(up, serving, session):
    before = serving.there()
    predictor = up(image_uri="stub", endpoint_name="half")
    client = serving.cloud.client("sagemaker")
    config = client.describe_endpoint(EndpointName="half")["EndpointConfigName"]
    client.delete_endpoint(EndpointName="half")
    client.delete_endpoint_config(EndpointConfigName=config)
    delete_endpoint(predictor.endpoint_name, session)
    assert serving.there() == before


def test_what_cannot_be_deleted_is_named(up, serving, session, monkeypatch):
    from moto.sagemaker.exceptions import AWSValidationException
    from moto.sagemaker.responses import SageMakerResponse

    up(image_uri="stub", endpoint_name="stuck")

    def refuse(response):
        raise AWSValidationException("User is not authorized")

    with monkeypatch.context() as patch:
        patch.setattr(SageMakerResponse, "delete_model", refuse)
        with pytest.raises(ProteinClassifierError, match="not all deleted: could not delete the model stuck-") as error:
            delete_endpoint("stuck", session)
    assert "stuck" not in serving.there()[0]
    one_line(error)


def test_the_end_of_a_with_block_deletes_whatever_happened(up, serving):
    before = serving.there()
    for kind in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(kind), up(image_uri="stub"):
            raise kind
        assert serving.there() == before


def test_an_endpoint_that_does_not_come_up_is_deleted_and_says_why(up, serving):
    before, serving.failure = serving.there(), "The image\nhas no manifest"
    with pytest.raises(ProteinClassifierError, match="broken did not come up: The image has no manifest") as error:
        up(image_uri="stub", endpoint_name="broken")
    assert "CloudWatch, /aws/sagemaker/Endpoints/broken" in one_line(error)
    assert serving.there() == before


@pytest.mark.slow
def test_a_model_whose_hooks_fail_comes_into_service_and_refuses_every_request(
    toolkits, up, serving, model_folder, tmp_path
):
    import tarfile

    from protbert_classify.sagemaker.packaging import pack_model, unpack

    pack_model(model_folder, str(tmp_path / "model.tar.gz"))
    unpack(str(tmp_path / "model.tar.gz"), str(tmp_path / "model"))
    (tmp_path / "model" / "code" / "inference.py").write_text("raise ValueError('broken hooks')\n")
    with tarfile.open(tmp_path / "broken.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "model", arcname=".")
    broken = up(serving.cloud.put("models/broken.tar.gz", (tmp_path / "broken.tar.gz").read_bytes()))
    with pytest.raises(InputError, match=r"refused \(400\): broken hooks") as error:
        broken.predict("MKT")
    one_line(error)


def test_ctrl_c_while_an_endpoint_is_created_deletes_it_as_soon_as_aws_allows(up, serving, monkeypatch, log):
    before, serving.stays = serving.there(), "Creating"
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt
        if len(looks) == 4:
            serving.stays = None
        time.sleep(seconds)

    asleep(monkeypatch, sleep)
    with pytest.raises(KeyboardInterrupt, match="the endpoint unwanted is deleted"):
        up(image_uri="stub", endpoint_name="unwanted")
    assert serving.there() == before
    assert "deleted as soon as AWS lets us" in log.text


def test_an_endpoint_that_takes_too_long_is_deleted(up, serving, monkeypatch):
    before, serving.stays = serving.there(), "Creating"
    refused = deletion._refused

    def refused_once(*arguments):
        found, serving.stays = refused(*arguments), None
        return found

    monkeypatch.setattr(deletion, "_refused", refused_once)
    with pytest.raises(ProteinClassifierError, match="still Creating after 0 s") as error:
        up(image_uri="stub", max_wait=0)
    one_line(error)
    assert serving.there() == before


def test_an_endpoint_need_not_be_waited_for(up, serving, session):
    serving.stays = "Creating"
    predictor = up(image_uri="stub", wait=False, endpoint_name="later")
    assert [(found.name, found.status) for found in list_endpoints(session) if found.name == "later"] == [
        ("later", "Creating")
    ]
    serving.stays = None
    lifecycle.wait_while_changing(session, predictor.endpoint_name, 0.05)
    stubbed(serving, (200, calls))
    assert attach("later", session).predict("MK")["label"] == 2


def test_only_endpoints_of_ours_are_listed(up, serving, session):
    up(image_uri="stub", endpoint_name="ours", instance_count=3, tags={"team": "membranes"})
    client = serving.cloud.client("sagemaker")
    config = client.describe_endpoint(EndpointName="ours")["EndpointConfigName"]
    client.create_endpoint(EndpointName="theirs", EndpointConfigName=config)
    listed = {endpoint.name: endpoint for endpoint in list_endpoints(session)}
    assert "theirs" not in listed
    assert listed["ours"][1:4] == ("InService", "ml.m5.xlarge", 3)
    lifecycle.wait_while_changing(session, "theirs", 0.05)
    client.delete_endpoint(EndpointName="theirs")
