"""Inside a training job: its channels and folders are the defaults of `train`. Needs no SDK.

The contract is SageMaker's: `SM_CHANNEL_*` are the folders of the data, the content of `SM_MODEL_DIR` becomes
model.tar.gz, and `/opt/ml/checkpoints` exists if the job keeps checkpoints, and is copied to S3 while it runs.
"""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DataError, ModelError, ProteinClassifierError
from ..inference.merged_folder import merged_folder
from .packaging import add_serving_code, unpack
from .session import translate_errors

CHANNELS = {"train": "data", "validation": "validation_data", "test": "test_data"}
MODEL_CHANNEL = "model"
SECRET = "PROTBERT_CLASSIFY_HUB_SECRET"  # the variable with the name of the secret that holds the Hub's token


class TrainingContainer:
    """The container of a job, as `protbert-classify train` uses it; see [`training.job.Job`]."""

    def __init__(self) -> None:
        self.model_dir = os.environ["SM_MODEL_DIR"]
        self.hosts = json.loads(os.environ.get("SM_HOSTS", "[]"))
        self.rank = self.hosts.index(os.environ["SM_CURRENT_HOST"]) if self.hosts else 0

    def options(self) -> list[str]:
        """The options of `train` that the job stands for; what the user gives wins over them."""
        options = ["--disable_tqdm", "true"]  # for a log
        for channel, option in CHANNELS.items():
            if (folder := os.environ.get(f"SM_CHANNEL_{channel.upper()}")) is not None:
                options += [f"--{option}", data_file(folder, channel)]
        if (folder := os.environ.get(f"SM_CHANNEL_{MODEL_CHANNEL.upper()}")) is not None:
            options += ["--model_name_or_path", model_folder(folder)]
        checkpoints = Path(self.model_dir).parent / "checkpoints"
        if checkpoints.is_dir():  # a job that lost its spot instance starts again with its checkpoints
            options += ["--output_dir", str(checkpoints), "--resume", "true"]
        else:
            options += ["--output_dir", str(checkpoints.with_name("run"))]
        if len(self.hosts) > 1:
            options += ["--save_on_each_node", "true"]  # each machine loads the best checkpoint from its own disk
        return options

    def prepare_push(self) -> None:
        """Read the Hub's token from AWS Secrets Manager, into this process alone."""
        name = os.environ.get(SECRET)
        if name is None or os.environ.get("HF_TOKEN"):
            return
        import boto3  # among the requirements of a job; see `write_job`

        with translate_errors(f"read the secret {name} with the Hub's token"):
            # SageMaker sets AWS_REGION; boto3 alone would read AWS_DEFAULT_REGION
            client = boto3.client("secretsmanager", region_name=os.environ.get("AWS_REGION"))
            text = client.get_secret_value(SecretId=name).get("SecretString", "")
        os.environ["HF_TOKEN"] = _token(text, name)

    def finish(self, output_dir: str) -> None:
        """Copy a finished run to where SageMaker collects it: the model, ready to be deployed, and everything else.

        SageMaker joins what all machines leave, so only the first one leaves anything.
        """
        if self.rank != 0:
            return
        with merged_folder(os.path.join(output_dir, "model")) as model:
            shutil.copytree(model, self.model_dir, dirs_exist_ok=True)
        add_serving_code(self.model_dir)
        if (results := os.environ.get("SM_OUTPUT_DATA_DIR")) is not None:
            left_out = shutil.ignore_patterns("model", "model.part", "checkpoint-*")
            shutil.copytree(output_dir, results, dirs_exist_ok=True, ignore=left_out)

    def report_failure(self, message: str) -> None:
        """Write the reason where SageMaker shows it, as the job's FailureReason."""
        path = Path(os.environ.get("SM_OUTPUT_DIR", Path(self.model_dir).parent / "output")) / "failure"
        if path.parent.is_dir():
            path.write_text(message[:1024] + "\n", encoding="utf-8")


def data_file(folder: str, channel: str) -> str:
    """The one file of proteins in a channel."""
    from ..data.sources import FASTA_ENDINGS, TABLE_ENDINGS, ending_of  # takes seconds

    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.name.startswith(".")]
    known = [path for path in files if ending_of(path.name) in (*FASTA_ENDINGS, *TABLE_ENDINGS)] or files
    if len(known) != 1:
        found = f"{len(known)} files ({', '.join(path.name for path in known[:3])}, ...)" if known else "no file"
        raise DataError(f"channel {channel}: found {found}; expected one file of proteins")
    return str(known[0])


def model_folder(folder: str) -> str:
    """The pretrained model in a channel, as files or as a model.tar.gz, which is unpacked."""
    archives = sorted(Path(folder).glob("*.tar.gz"))
    if len(archives) == 1 and not os.path.isfile(os.path.join(folder, "config.json")):
        name = f"protbert-classify{os.path.abspath(folder).replace(os.sep, '-')}"  # the same for a job that resumes
        unpack(str(archives[0]), folder := os.path.join(tempfile.gettempdir(), name))
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise ModelError("channel model: no config.json, and no model.tar.gz with one; expected a pretrained model")
    return folder


def _token(text: str, name: str) -> str:
    value: Any = text
    with suppress(ValueError):
        value = json.loads(text)
    if isinstance(value, dict):
        value = value.get("HF_TOKEN", value.get("token"))
    if not isinstance(value, str) or not value.strip():
        raise ProteinClassifierError(f"the secret {name} has no token; expected it as text, or as JSON with HF_TOKEN")
    return value.strip()
