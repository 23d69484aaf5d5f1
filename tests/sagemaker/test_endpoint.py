"""Endpoints: what is sent, what is refused before anything is, and that nothing unwanted is left, however it ends."""

import re
import tarfile
import time

import pytest
from moto.sagemaker.models import sagemaker_backends

from protbert_classify.errors import ModelError, OptionError, ProteinClassifierError
from protbert_classify.sagemaker import Predictor, delete_endpoint, deploy, open_session
from protbert_classify.sagemaker import endpoint as module
from protbert_classify.sagemaker.dry_run import DryRun
from protbert_classify.sagemaker.packaging import pack_model, unpack

from .cloud import ACCOUNT, BUCKET, REGION, ROLE
from .refusals import refused
from .snapshots import same_as_snapshot
from .stubs import GUARDED, asleep, interrupt, stubbed

pytestmark = pytest.mark.usefixtures("clean")


def created(serving):
    return {name: body for name, body in serving.cloud.requests if name.startswith("Create")}


EVERYTHING = {
    "endpoint_name": "everything",
    "role": ROLE,
    "kind": "asynchronous",
    "concurrency": 2,
    "instance_type": "ml.m5.2xlarge",
    "instance_count": 2,
    "tags": {"team": "membranes"},
    "environment": {"OMP_NUM_THREADS": "4"},
    **GUARDED,
}


@pytest.mark.parametrize(
    "snapshot, options",
    [
        ("plain", {}),
        ("serverless", {"kind": "serverless", "memory": 3072, "concurrency": 9}),
        ("asynchronous_secured", EVERYTHING),
    ],
)
def test_the_requests_of_an_endpoint(up, serving, snapshot, options):
    up(**{"image_uri": "stub", "endpoint_name": "shown", **options})
    same_as_snapshot(f"endpoint_{snapshot}", created(serving))


@pytest.mark.parametrize(
    "options, image",
    [({"instance_type": "ml.g4dn.xlarge"}, "-gpu-"), ({}, "-cpu-"), ({"kind": "serverless"}, "-cpu-")],
)
def test_the_image_suits_the_instances(archive, options, image):
    dry_run = DryRun()
    deploy(archive, role=ROLE, session=open_session(BUCKET, dry_run=dry_run), wait=False, **options)
    container = dict(dry_run.requests)["CreateModel"]["PrimaryContainer"]
    assert re.search(f"/huggingface-pytorch-inference:.*{image}", container["Image"])


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"concurrency": 3}, "concurrency is not an option of real-time endpoints"),
        ({"kind": "asynchronous", "memory": 2048}, "memory is not an option of asynchronous endpoints"),
        (
            {"kind": "serverless", "instance_type": "ml.g5.xlarge"},
            "instance_type is not an option of serverless endpoints",
        ),
        ({"kind": "serverless", "instance_count": 2}, "instance_count is not an option of serverless endpoints"),
        ({"kind": "server"}, "kind 'server': expected one of real-time, serverless, asynchronous"),
        ({"endpoint_name": "a" * 45}, "45 characters; expected at most 44"),
        ({"instance_type": "ml.m5.xlarg"}, "did you mean ml.m5.xlarge"),
        ({"kind": "asynchronous", "output": "s3://no-such/x"}, "bucket 'no-such': it does not exist"),
        ({"model": "s3://proteins/models/none.tar.gz"}, "nothing at s3://proteins/models/none.tar.gz"),
        ({"model": "s3://proteins/models/"}, "expected a model.tar.gz, or a local folder"),
        ({"model": "/nowhere"}, "/nowhere: no model there"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_anything_is_created(up, serving, options, complaint):
    with refused(ModelError if options.get("model") == "/nowhere" else OptionError, text=complaint):
        up(**{"image_uri": "stub", **options})
    assert not created(serving)


def test_a_name_that_is_taken_is_refused_and_left_alone(up, serving):
    up(image_uri="stub", endpoint_name="taken")
    before = serving.there()
    with refused(OptionError, r"taken exists already \(InService\); to delete it: "):
        up(image_uri="stub", endpoint_name="taken")
    assert serving.there() == before


def test_an_endpoint_that_somebody_else_creates_meanwhile_is_left_alone(up, serving, monkeypatch):
    up(image_uri="stub", endpoint_name="theirs-now")
    before, describe, looks = serving.there(), module.describe, []

    def not_yet(*both):
        looks.append(both)
        return None if len(looks) == 1 else describe(*both)

    monkeypatch.setattr(module, "describe", not_yet)
    with refused(OptionError, "could not create the endpoint theirs-now: Cannot create already"):
        up(image_uri="stub", endpoint_name="theirs-now")
    assert serving.there() == before


def test_an_endpoint_that_does_not_exist_cannot_predict(session):
    with refused(OptionError, "endpoint nobody: there is none of this name"):
        Predictor("nobody", session).predict("MKT")


# the end


def test_delete_leaves_nothing(up, nothing_left, log, session):
    up(image_uri="stub", endpoint_name="mine").delete()
    told = "\n".join(log.messages)
    assert "1 x ml.m5.xlarge, billed until it is deleted; to delete it: protbert-classify sagemaker delete" in told
    with refused(OptionError, "endpoint mine: there is none of this name in us-east-1"):
        delete_endpoint("mine", session)


def test_what_cannot_be_deleted_is_named(up, serving, session, monkeypatch):
    from moto.sagemaker.exceptions import AWSValidationException
    from moto.sagemaker.responses import SageMakerResponse

    up(image_uri="stub", endpoint_name="stuck")

    def refuse(response):
        raise AWSValidationException("User is not authorized")

    with monkeypatch.context() as patch:
        patch.setattr(SageMakerResponse, "delete_model", refuse)
        with refused(ProteinClassifierError, "could not delete the model stuck-.*: User is not"):
            delete_endpoint("stuck", session)
    assert "stuck" not in serving.there()[0]
    for name in serving.there()[2]:
        if name.startswith("stuck-"):
            session.sagemaker_client.delete_model(ModelName=name)


def test_the_end_of_a_with_block_deletes_whatever_happened(up, serving):
    before = serving.there()
    for kind in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(kind), up(image_uri="stub"):
            raise kind
        assert serving.there() == before
    with up(image_uri="stub") as predictor:
        assert predictor.predict("MKT") == {"label": 3, "score": 1.0}
    assert serving.there() == before


def test_an_endpoint_that_does_not_come_up_is_deleted_and_says_why(up, nothing_left, serving):
    serving.failure, place = "The image\nhas no manifest", "CloudWatch, /aws/sagemaker/Endpoints/broken"
    with refused(ProteinClassifierError, "the endpoint broken failed: The image has no manifest", text=place):
        up(image_uri="stub", endpoint_name="broken")


def test_a_model_that_is_up_but_does_not_answer_is_deleted_and_says_why(up, nothing_left, serving):
    """multi-model-server is healthy without a model that works, and SageMaker then says InService."""
    stubbed(serving, (400, '{"code": 400, "message": "cannot import name x"}'))
    with refused(ProteinClassifierError, r"does not answer: .* failed \(400\): cannot import name") as error:
        up(image_uri="stub", endpoint_name="mute")
    assert error.value.exit_code == 1, "it is not the user's input that is wrong"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "def model_fn(_): "], ids=["import fails", "model_fn fails"])
def test_a_model_with_broken_hooks_in_the_container_of_aws_leaves_nothing_behind(
    toolkits, up, nothing_left, serving, model_folder, tmp_path, first
):
    pack_model(model_folder, str(tmp_path / "model.tar.gz"))
    unpack(str(tmp_path / "model.tar.gz"), str(tmp_path / "model"))
    (tmp_path / "model" / "code" / "inference.py").write_text(f"{first}raise ValueError('broken hooks')\n")
    with tarfile.open(tmp_path / "broken.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "model", arcname=".")
    with refused(ProteinClassifierError, "model does not answer: .*broken hooks"):
        up(serving.cloud.put("models/broken.tar.gz", (tmp_path / "broken.tar.gz").read_bytes()))


def test_ctrl_c_while_an_endpoint_is_created_deletes_it_as_soon_as_aws_allows(
    up, nothing_left, serving, monkeypatch, log
):
    serving.stays, looks = "Creating", []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            serving.stays = None
        time.sleep(seconds)

    asleep(monkeypatch, sleep)
    monkeypatch.setattr(module, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt, match="the endpoint unwanted is deleted"):
        up(image_uri="stub", endpoint_name="unwanted")
    assert "waiting until AWS can delete it" in log.text and len(looks) >= 2


def test_a_second_ctrl_c_says_what_may_be_left(up, serving, monkeypatch, session):
    asleep(monkeypatch, interrupt)
    serving.stays = "Creating"
    with monkeypatch.context() as hurry, pytest.raises(KeyboardInterrupt, match="may still be there, .* hurried"):
        hurry.setattr(module, "_wait", interrupt)
        up(image_uri="stub", endpoint_name="hurried")
    serving.stays = None
    sagemaker_backends[ACCOUNT][REGION].endpoints["hurried"].endpoint_status = "InService"
    delete_endpoint("hurried", session)


def test_an_endpoint_need_not_be_waited_for(up, serving, session):
    serving.stays = "Creating"
    predictor = up(image_uri="stub", wait=False, endpoint_name="later")
    assert module.describe(session, "Endpoint", "later")["EndpointStatus"] == "Creating"
    serving.stays = None
    module._wait(predictor)
    assert Predictor("later", session).predict("MK")["label"] == 2
