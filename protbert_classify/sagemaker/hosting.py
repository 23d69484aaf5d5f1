"""A model in a container of SageMaker, behind an endpoint or in a transform job."""

import os
import tempfile

from ..errors import OptionError
from .images import has_gpu
from .machines import Machines
from .packaging import CODE, CONTAINER_MODEL, INFERENCE, pack_model
from .session import PREFIX, home, list_keys, split_uri, upload
from .status import send

REAL_TIME = 60  # seconds that SageMaker waits for the answer of a real-time endpoint
# seconds for the server in the container, which knows no client that left, and limits the loading of a model, too
ABANDONED = 300
LONGEST = 3600  # seconds that it waits for an asynchronous one, and in a batch transform


def provide_archive(machines: Machines, model: str, folder: str) -> str:
    """The address of a model.tar.gz, which is there, or of a local model, which is packed and uploaded to `folder`."""
    session = machines.session
    if model.startswith("s3://"):
        if not split_uri(model)[1].endswith(".tar.gz"):
            raise OptionError(f"model {model}: expected a model.tar.gz, or a local folder")
        list_keys(session, model, "model")
        return model
    uri = f"{home(session)}/{folder}/model.tar.gz"
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as temporary:
        archive = os.path.join(temporary, "model.tar.gz")
        pack_model(model, archive)
        upload(session, archive, uri, machines.kms_key)
    return uri


def create_model(machines: Machines, name: str, archive: str, seconds: int) -> None:
    """Create a model from an archive in S3; the container's own server gives up on an answer after `seconds`."""
    environment = {
        "SAGEMAKER_PROGRAM": INFERENCE,
        "SAGEMAKER_SUBMIT_DIRECTORY": f"{CONTAINER_MODEL}/{CODE}",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "SAGEMAKER_REGION": machines.session.boto_region_name,
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": str(seconds),
        # one protein uses all cores of a CPU; a second worker would take half of them, and load the model twice
        "SAGEMAKER_MODEL_SERVER_WORKERS": None if has_gpu(machines.instance_type) else "1",
        "HF_HUB_OFFLINE": "1",
        **(machines.environment or {}),
    }
    vpc = {"Subnets": [*machines.subnets], "SecurityGroupIds": [*machines.security_group_ids]}
    send(
        machines.session,
        "create_model",
        ModelName=name,
        PrimaryContainer={"Image": machines.image_uri, "ModelDataUrl": archive, "Environment": environment},
        ExecutionRoleArn=machines.role,
        Tags=machines.tag_list,
        VpcConfig=vpc if machines.subnets else None,
        EnableNetworkIsolation=machines.network_isolation or None,
    )
