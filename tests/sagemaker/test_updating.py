"""Another model, other instances, or as many as are needed, for an endpoint that continues answering."""

import shutil

import pytest

from protbert_classify.errors import OptionError, ProteinClassifierError
from protbert_classify.sagemaker import Asynchronous, Protection, Serverless
from protbert_classify.sagemaker.endpoints import lifecycle, updating
from tests.conftest import ROOT

from .endpoints import one_line
from .stubs import KEY, PROTEINS, VPC, asleep, close

pytestmark = pytest.mark.usefixtures("clean")


@pytest.mark.slow
def test_an_update_switches_the_model_and_deletes_the_old_one(toolkits, up, serving, model_folder, tmp_path, pipe):
    import torch

    from protbert_classify import ProteinClassificationPipeline
    from protbert_classify.inference.saved_classifier import load_classifier

    other = shutil.copytree(model_folder, tmp_path / "other")
    model, tokenizer = load_classifier(model_folder, "cpu")
    with torch.no_grad():
        for weight in model.head.parameters():
            weight.neg_()
    model.save_pretrained(other / "model")
    changed = ProteinClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
    assert not close(changed(PROTEINS), pipe(PROTEINS))
    before = [len(names) for names in serving.there()]
    predictor = up(model_folder, endpoint_name="changing")
    old = serving.cloud.made("CreateModel")[-1]["PrimaryContainer"]["ModelDataUrl"]
    assert close(predictor.predict(PROTEINS), pipe(PROTEINS))
    predictor.update(model=str(other), poll=0.05)
    assert close(predictor.predict(PROTEINS), changed(PROTEINS))
    assert [len(names) for names in serving.there()] == [count + 1 for count in before]
    assert serving.cloud.made("CreateModel")[-1]["PrimaryContainer"]["ModelDataUrl"] != old


def test_an_update_keeps_what_it_does_not_change(up, serving, archive):
    predictor = up(
        image_uri="stub",
        endpoint_name="kept",
        protection=Protection(kms_key=KEY, **VPC),
        tags={"team": "x"},
        environment={"A": "1"},
    )
    first = serving.cloud.made("CreateModel")[-1], serving.cloud.made("CreateEndpointConfig")[-1]
    before = serving.there()
    predictor.update(instance_type="ml.g4dn.xlarge", instance_count=2, environment={"B": "2"}, poll=0.05)
    model, config = serving.cloud.made("CreateModel")[-1], serving.cloud.made("CreateEndpointConfig")[-1]
    assert model["PrimaryContainer"]["ModelDataUrl"] == archive and model["VpcConfig"] == first[0]["VpcConfig"]
    assert model["PrimaryContainer"]["Image"] == "stub"
    kept = {name: value for name, value in first[0]["PrimaryContainer"]["Environment"].items() if "WORKERS" not in name}
    assert model["PrimaryContainer"]["Environment"] == {**kept, "B": "2"}
    assert "KmsKeyId" not in config, "SageMaker refuses a key for disks that encrypt themselves"
    assert config["Tags"] == model["Tags"] == first[0]["Tags"]
    variant = config["ProductionVariants"][0]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.g4dn.xlarge", 2)
    assert [len(names) for names in serving.there()] == [len(names) for names in before]
    predictor.update(instance_type="ml.m5.large", poll=0.05)
    assert serving.cloud.made("UpdateEndpoint")[-1]["RetainAllVariantProperties"] is True


def test_an_update_goes_on_encrypting_with_the_key_that_the_endpoint_began_with(up, serving, model_folder):
    predictor = up(model_folder, image_uri="stub", endpoint_name="locked", protection=Protection(kms_key=KEY))
    assert serving.cloud.made("CreateEndpointConfig")[-1]["KmsKeyId"] == KEY
    predictor.update(model=model_folder, instance_type="ml.g4dn.xlarge", poll=0.05)
    assert "KmsKeyId" not in serving.cloud.made("CreateEndpointConfig")[-1]
    bucket, _, key = serving.cloud.made("CreateModel")[-1]["PrimaryContainer"]["ModelDataUrl"][5:].partition("/")
    assert serving.cloud.client("s3").head_object(Bucket=bucket, Key=key)["SSEKMSKeyId"] == KEY
    predictor.update(instance_type="ml.m5.large", poll=0.05)
    assert serving.cloud.made("CreateEndpointConfig")[-1]["KmsKeyId"] == KEY


def test_an_update_that_fails_leaves_the_endpoint_as_it_was(up, serving):
    predictor = up(image_uri="stub", endpoint_name="steady")
    before, serving.failure = serving.there(), "no capacity"
    with pytest.raises(ProteinClassifierError, match="not updated, it continues as it was: no capacity") as error:
        predictor.update(instance_count=2, poll=0.05)
    one_line(error)
    assert serving.there() == before


def test_an_interrupted_update_goes_on_and_what_it_replaced_is_deleted_with_the_endpoint(up, serving, monkeypatch):
    before = serving.there()
    predictor = up(image_uri="stub", endpoint_name="hasty")
    with monkeypatch.context() as patch:

        def interrupt(seconds):
            raise KeyboardInterrupt

        serving.stays = "Updating"
        asleep(patch, interrupt)
        with pytest.raises(KeyboardInterrupt, match="AWS continues with the update of hasty"):
            predictor.update(environment={"A": "1"})
    serving.stays = None
    lifecycle.wait_while_changing(predictor.session, "hasty", 0.05)
    assert len(serving.there()[1]) == len(before[1]) + 2
    predictor.delete()
    assert serving.there() == before


def test_an_update_that_is_interrupted_when_aws_has_it_already_loses_nothing(up, serving, session):
    before = serving.there()
    predictor = up(image_uri="stub", endpoint_name="sudden")

    def interrupt(**_):
        raise KeyboardInterrupt

    events, moment = predictor.session.boto_session.events, "after-call.sagemaker.UpdateEndpoint"
    serving.stays = "Updating"
    events.register(moment, interrupt)
    predictor.session.sagemaker_client.meta.events.register(moment, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt, match="AWS continues with the update of sudden"):
            predictor.update(environment={"A": "1"})
    finally:
        events.unregister(moment, interrupt)
        predictor.session.sagemaker_client.meta.events.unregister(moment, interrupt)
    serving.stays = None
    lifecycle.wait_while_changing(predictor.session, "sudden", 0.05)
    assert len(serving.there()[1]) == len(before[1]) + 2
    predictor.delete()
    assert serving.there() == before


def test_an_isolated_endpoint_takes_a_local_folder_with_wheels_only(up, serving, model_folder, monkeypatch):
    predictor = up(image_uri="stub", endpoint_name="isolated", protection=Protection(network_isolation=True))
    monkeypatch.setattr(updating, "is_aws_image", lambda uri: True)
    with pytest.raises(OptionError, match="network isolation: .*; give wheels") as error:
        predictor.update(model=model_folder)
    one_line(error)
    assert len(serving.cloud.made("CreateModel")) == 1
    predictor.update(model=model_folder, image_uri="stub", poll=0.05)
    assert serving.cloud.made("CreateModel")[1]["EnableNetworkIsolation"] is True


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, "nothing to update"),
        ({"instance_count": 0}, "instance_count=0: expected 1 or more"),
        ({"environment": {"HF_TOKEN": "x"}}, "environment HF_TOKEN: a secret would be recorded"),
        ({"wheels": str(ROOT)}, "no wheels there"),
        ({"instances": 2}, "update: found instances; expected model, wheels, instance_type, instance_count"),
    ],
)
def test_an_update_that_cannot_be_is_refused(up, options, expected):
    with pytest.raises(OptionError, match=expected) as error:
        up(image_uri="stub", endpoint_name="same").update(**options)
    one_line(error)


def policies(serving):
    """All scaling policies, by their names."""
    scaling = serving.cloud.client("application-autoscaling")
    found = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    return {policy["PolicyName"]: policy for policy in found}


def test_scaling_is_by_requests_a_minute(up, serving):
    up(image_uri="stub", endpoint_name="scaled").autoscale(1, 5, per_instance=120)
    scaling = serving.cloud.client("application-autoscaling")
    target = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"][0]
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == (
        "endpoint/scaled/variant/AllTraffic",
        1,
        5,
    )
    tracking = policies(serving)["scaled-requests"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 120
    kind = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert kind == "SageMakerVariantInvocationsPerInstance"


def test_an_asynchronous_endpoint_scales_from_zero_by_its_queue(up, serving):
    predictor = up(image_uri="stub", endpoint_name="queued", asynchronous=Asynchronous())
    predictor.autoscale(0, 3, per_instance=5)
    found = policies(serving)
    metric = found["queued-requests"]["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]
    assert (metric["MetricName"], metric["Dimensions"]) == (
        "ApproximateBacklogSizePerInstance",
        [{"Name": "EndpointName", "Value": "queued"}],
    )
    alarms = serving.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert [(alarm["MetricName"], alarm["AlarmActions"]) for alarm in alarms] == [
        ("HasBacklogWithoutCapacity", [found["queued-wake"]["PolicyARN"]])
    ]
    predictor.delete()
    assert serving.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"] == []


@pytest.mark.parametrize(
    "options, bounds, expected",
    [
        ({}, (0, 3), "expected 1 or more"),
        ({}, (3, 2), "low to high"),
        ({"serverless": Serverless()}, (1, 2), "is serverless: it scales by itself"),
    ],
)
def test_bounds_that_cannot_be_are_refused(up, options, bounds, expected):
    with pytest.raises(OptionError, match=expected) as error:
        up(image_uri="stub", **options).autoscale(*bounds)
    one_line(error)
