"""The Hugging Face training container, for real: `train` of SageMaker's toolkit around a source folder."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from .namespace import HOSTS, Namespace
from .toolkits import outside
from .training_jobs import resources

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


class TrainingToolkit:
    """One of several machines of the Hugging Face training image: `train` of SageMaker's toolkit for PyTorch.

    Args:
        folder: Of its /opt/ml and its log.
        image: What `toolkit_image` returned.
        source: Folder with train.py and requirements.txt.
        proteins: File of the channel train.
        host: Which machine this is.
    """

    def __init__(self, folder, image, source, proteins, host):
        self.ml = Path(folder, "ml")
        for name in ("model", "output/data", "input/config", "input/data/train"):
            (self.ml / name).mkdir(parents=True)
        shutil.copy(proteins, self.ml / "input/data/train")
        shutil.copytree(source, self.ml / "source")
        given = {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": "/opt/ml/source",
            "sagemaker_torch_distributed_enabled": True,
            "sagemaker_instance_type": INSTANCE,
        }
        self._configure(
            hyperparameters={name: json.dumps(value) for name, value in given.items()},
            inputdataconfig={"train": {"TrainingInputMode": "File"}},
            resourceconfig=resources(HOSTS[host], HOSTS, INSTANCE),
        )
        environment = outside(SAGEMAKER_TRAINING_MODULE="sagemaker_pytorch_container.training:main")
        self.namespace = Namespace(folder, image, ["train"], environment)

    def _configure(self, **files):
        for name, content in files.items():
            (self.ml / "input" / "config" / f"{name}.json").write_text(json.dumps(content))

    def result(self):
        """Wait for the end."""
        try:
            code = self.namespace.wait(TRAINING)
        finally:
            self.namespace.stop()
        return Job(code, self.namespace.log(), self.ml)
