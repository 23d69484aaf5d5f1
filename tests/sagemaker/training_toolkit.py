"""The Hugging Face training container, for real: `train` of SageMaker's toolkit around a source folder."""

import json
import shutil
from pathlib import Path

from .namespace import HOSTS, Namespace
from .toolkits import outside
from .training_jobs import configure, resources

TRAINING = 300  # seconds of a job, at most
INSTANCE = "ml.m5.xlarge"
SETTINGS = {
    "sagemaker_program": "train.py",
    "sagemaker_submit_directory": "/opt/ml/source",
    "sagemaker_torch_distributed_enabled": True,
    "sagemaker_instance_type": INSTANCE,
}


class TrainingToolkit(Namespace):
    """One of several machines of the Hugging Face training image: `train` of SageMaker's toolkit for PyTorch.

    Args:
        folder: Of its /opt/ml and its log.
        image: What `toolkit_image` returned.
        source: Folder with train.py and requirements.txt.
        proteins: File of the channel train.
        host: Which machine this is.
    """

    def __init__(self, folder, image, source, proteins, host):
        ml = Path(folder, "ml")
        for name in ("model", "output/data", "input/data/train"):
            (ml / name).mkdir(parents=True)
        shutil.copy(proteins, ml / "input/data/train")
        shutil.copytree(source, ml / "source")
        configure(
            ml,
            hyperparameters={name: json.dumps(value) for name, value in SETTINGS.items()},
            inputdataconfig={"train": {"TrainingInputMode": "File"}},
            resourceconfig=resources(HOSTS[host], HOSTS, INSTANCE),
        )
        environment = outside(SAGEMAKER_TRAINING_MODULE="sagemaker_pytorch_container.training:main")
        super().__init__(folder, image, ["train"], environment)

    def finish(self):
        """Wait for the end; returns the exit code of `train`."""
        try:
            return self.wait(TRAINING)
        finally:
            self.stop()
