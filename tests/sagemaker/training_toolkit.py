"""The Hugging Face training container, for real: `train` of SageMaker's toolkit around a source folder."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from .namespace import HOSTS, Namespace
from .toolkits import outside

TRAINING = 300  # seconds of a job, at most
INSTANCE = "ml.m5.xlarge"


class Job(NamedTuple):
    """What a training leaves.

    Attributes:
        code: Exit code of `train`.
        log: What it wrote.
        ml: Its /opt/ml.
    """

    code: int
    log: str
    ml: Path

    @property
    def failure(self):
        """Text of /opt/ml/output/failure, from which SageMaker takes the FailureReason; None if there is none."""
        path = self.ml / "output" / "failure"
        return path.read_text() if path.exists() else None


class TrainingToolkit:
    """A machine of the Hugging Face training image: `train` of SageMaker's toolkit for PyTorch.

    Args:
        folder: Of its /opt/ml and its log.
        image: What `toolkit_image` returned.
        source: Folder with the entry point and requirements.txt, or address of sourcedir.tar.gz in S3.
        channels: Name to a file or a folder.
        hyperparameters: Of CreateTrainingJob, where each value is JSON; those of the toolkit win.
        program: The entry point.
        host: Which machine of `hosts` this is.
        hosts: How many there are; of several, torchrun starts the processes.
        variables: More, of CreateTrainingJob.
    """

    def __init__(
        self, folder, image, source, channels, hyperparameters=None, program="train.py", host=0, hosts=1, variables=None
    ):
        self.ml = Path(folder, "ml")
        for name in ("model", "output/data", "input/config"):
            (self.ml / name).mkdir(parents=True)
        for name, path in channels.items():
            _copy(Path(path), self.ml / "input" / "data" / name)
        if not str(source).startswith("s3://"):
            shutil.copytree(source, self.ml / "source")
            source = "/opt/ml/source"
        given = {"sagemaker_program": program, "sagemaker_submit_directory": str(source)}
        if hosts > 1:
            given |= {"sagemaker_torch_distributed_enabled": True, "sagemaker_instance_type": INSTANCE}
        self._configure(
            hyperparameters={**(hyperparameters or {}), **{name: json.dumps(value) for name, value in given.items()}},
            inputdataconfig={name: {"TrainingInputMode": "File"} for name in channels},
            resourceconfig=_resources(HOSTS[host], HOSTS[:hosts]),
        )
        environment = outside(SAGEMAKER_TRAINING_MODULE="sagemaker_pytorch_container.training:main")
        self.namespace = Namespace(folder, image, ["train"], {**environment, **(variables or {})})

    def _configure(self, **files):
        for name, content in files.items():
            (self.ml / "input" / "config" / f"{name}.json").write_text(json.dumps(content))

    def result(self, seconds=TRAINING):
        """Wait for the end."""
        try:
            code = self.namespace.wait(seconds)
        finally:
            self.namespace.stop()
        return Job(code, self.namespace.log(), self.ml)


def _resources(host, hosts):
    """What SageMaker tells a machine of the cluster."""
    group = {"instance_group_name": "homogeneousCluster", "instance_type": INSTANCE, "hosts": hosts}
    return {
        "current_host": host,
        "current_instance_type": INSTANCE,
        "current_group_name": group["instance_group_name"],
        "hosts": hosts,
        "instance_groups": [group],
        "network_interface_name": "lo",
    }


def _copy(source, folder):
    if source.is_dir():
        shutil.copytree(source, folder)
    else:
        folder.mkdir(parents=True)
        shutil.copy(source, folder)
