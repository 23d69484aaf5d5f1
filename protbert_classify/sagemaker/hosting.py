"""A model in a container of SageMaker, behind an endpoint or in a transform job."""

import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from botocore import xform_name

from ..errors import OptionError
from .images import Purpose, has_gpu
from .images import image_uri as aws_image
from .machines import Machines
from .packaging import CODE, CONTAINER_MODEL, INFERENCE, pack_model
from .session import PREFIX, Session, describe, list_keys, split_uri, translate_errors, upload

REAL_TIME = 60  # seconds that SageMaker waits for the answer of a real-time endpoint
# seconds for the server in the container, which knows no client that left, and limits the loading of a model, too
ABANDONED = 300
LONGEST = 3600  # seconds that it waits for an asynchronous one, and in a batch transform
# one protein uses all cores of a CPU; a second worker would take half of them, and load the model twice
ONE_WORKER = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
Request = tuple[str, dict[str, Any]]  # an operation of SageMaker's API, and its parameters


def model_request(machines: Machines, name: str, archive: str, seconds: int, purpose: Purpose = "inference") -> Request:
    """CreateModel, for an archive in S3; the container's own server gives up on an answer after `seconds`."""
    region = machines.session.boto_region_name
    environment = {
        "SAGEMAKER_PROGRAM": INFERENCE,
        "SAGEMAKER_SUBMIT_DIRECTORY": f"{CONTAINER_MODEL}/{CODE}",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "SAGEMAKER_REGION": region,
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": str(seconds),
        "HF_HUB_OFFLINE": "1",
        **({} if has_gpu(machines.instance_type) else ONE_WORKER),
        **(machines.environment or {}),
    }
    image = machines.image_uri or aws_image(purpose, machines.instance_type, region)
    return "CreateModel", {
        "ModelName": name,
        "PrimaryContainer": {"Image": image, "ModelDataUrl": archive, "Environment": environment},
        "ExecutionRoleArn": machines.role,
        "Tags": machines.tag_list,
        **machines.protection.model_settings(),
    }


def send(session: Session, requests: Sequence[Request]) -> None:
    """Send requests in order, until one fails."""
    for operation, parameters in requests:
        method = xform_name(operation)
        verb, *thing = method.split("_")
        with translate_errors(f"{verb} the {' '.join(thing)} {next(iter(parameters.values()))}"):  # its name
            getattr(session.sagemaker_client, method)(**parameters)


def delete_if_there(session: Session, kind: str, name: str) -> None:
    """Delete a `Model` or an `EndpointConfig`, if there is one of this name."""
    if describe(session, kind, name) is not None:
        send(session, [(f"Delete{kind}", {f"{kind}Name": name})])


def archive_uri(model: str, folder: str) -> str:
    """The address of a model's archive: `s3://.../model.tar.gz` itself or, for a local folder, one in `folder`."""
    if not model.startswith("s3://"):
        return f"{folder}/model.tar.gz"
    if not split_uri(model)[1].endswith(".tar.gz"):
        raise OptionError(f"model {model}: expected a model.tar.gz, or a local folder")
    return model


def provide_archive(session: Session, model: str, uri: str, kms_key: str | None = None) -> None:
    """Make sure that a model's archive is in S3: pack and upload a local folder, or check the address."""
    if model == uri:
        list_keys(session, uri, "model")
        return
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder:
        archive = os.path.join(folder, "model.tar.gz")
        pack_model(model, archive)
        upload(session, archive, uri, kms_key)


def new_stamp() -> str:
    """A suffix that makes a name unique: `251231-235959-0a1b`."""
    return f"{time.strftime('%y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
