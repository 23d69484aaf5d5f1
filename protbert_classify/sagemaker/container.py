"""Inside a SageMaker job: its channels and folders are the defaults of a training. Needs no SDK.

The contract is SageMaker's: `SM_CHANNEL_*` name the folders of the data, what lies in `SM_MODEL_DIR` at the end becomes
model.tar.gz, and `/opt/ml/checkpoints`, there if the job keeps checkpoints, is copied to S3 while the job runs.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ..errors import DataError, ModelError, OptionError, ProteinClassifierError
from .packaging import add_inference_code, unpack

CHANNELS = {"train": "data", "validation": "validation_data", "test": "test_data"}
MODEL_CHANNEL = "model"
SECRET = "PROTBERT_CLASSIFY_HUB_SECRET"  # names the secret that holds the Hub's token
SECRET_KEYS = ("HF_TOKEN", "token")  # of a secret that is JSON


def in_job() -> bool:
    """Whether this process runs in a container of SageMaker."""
    return "SM_MODEL_DIR" in os.environ


def job_options() -> list[str]:
    """The options of `train` that a job stands for; what the user gives comes after them, and wins.

    Raises:
        DataError: A channel without data, or with more than one file of it.
        ModelError: A channel `model` without a model.
    """
    options = ["--disable_tqdm", "true"]  # a log has lines
    for channel, option in CHANNELS.items():
        folder = os.environ.get(f"SM_CHANNEL_{channel.upper()}")
        if folder is not None:
            options += [f"--{option}", data_file(folder, channel)]
    model = os.environ.get("SM_CHANNEL_MODEL")
    if model is not None:
        options += ["--model_name_or_path", model_folder(model)]
    folder = checkpoint_folder()
    options += ["--output_dir", folder or str(Path(os.environ["SM_MODEL_DIR"]).parent / "run")]
    if folder is not None:
        options += ["--resume", "true"]  # a job that lost its spot instance starts again, its checkpoints in place
    if int(os.environ.get("SM_HOST_COUNT", 1)) > 1:
        options += ["--save_on_each_node", "true"]  # each machine loads the best checkpoint from its own disk
    return options


def checkpoint_folder() -> str | None:
    """Where checkpoints survive the job; None if it keeps none."""
    folder = Path(os.environ["SM_MODEL_DIR"]).parent / "checkpoints"
    return str(folder) if folder.is_dir() else None


def data_file(folder: str, channel: str) -> str:
    """The one file of proteins in a channel."""
    from ..data.sources import FASTA_ENDINGS, TABLE_ENDINGS  # seconds, and the command line asks this module every time

    if os.path.isfile(folder):
        return folder
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.name.startswith(".")]
    endings = (*FASTA_ENDINGS, *TABLE_ENDINGS)
    known = [path for path in files if path.name.removesuffix(".gz").endswith(endings)] or files
    if len(known) != 1:
        found = f"{len(known)} files ({', '.join(path.name for path in known[:3])}, ...)" if known else "no file"
        raise DataError(f"channel {channel}: found {found}; expected one file of proteins")
    return str(known[0])


def model_folder(folder: str) -> str:
    """The pretrained model in a channel, as files or as a model.tar.gz, which is unpacked."""
    if not os.path.isfile(os.path.join(folder, "config.json")):
        archives = sorted(Path(folder).glob("*.tar.gz"))
        if len(archives) == 1:
            unpacked = os.path.join(tempfile.mkdtemp(prefix="protbert-classify-"), "model")
            unpack(str(archives[0]), unpacked)
            folder = unpacked
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise ModelError("channel model: no config.json, and no model.tar.gz with one; expected a pretrained model")
    return folder


def fetch_hub_token() -> None:
    """Take the Hub's token out of AWS Secrets Manager, into this process alone.

    Raises:
        OptionError: No boto3 to do it with.
        ProteinClassifierError: The secret cannot be read, or is no token.
    """
    name = os.environ.get(SECRET)
    if name is None or os.environ.get("HF_TOKEN"):
        return
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise OptionError("the Hub's token is in AWS Secrets Manager, and boto3, which reads it, is missing") from None
    try:
        text = boto3.client("secretsmanager").get_secret_value(SecretId=name).get("SecretString", "")
    except (BotoCoreError, ClientError) as error:
        reason = " ".join(str(error).split())
        raise ProteinClassifierError(f"the secret {name} of the Hub's token cannot be read: {reason}") from None
    os.environ["HF_TOKEN"] = _token(text, name)


def _token(text: str, name: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        value = next((value[key] for key in SECRET_KEYS if key in value), None)
    if not isinstance(value, str) or not value.strip():
        raise ProteinClassifierError(f"the secret {name} holds no token; expected it as text, or as JSON with HF_TOKEN")
    return value.strip()


def hand_over(output_dir: str) -> None:
    """Copy a finished run to where SageMaker fetches it: the model, ready to be deployed, and everything else.

    The machine of several that does not have the first process hands nothing over: SageMaker joins what all of them do.
    """
    if int(os.environ.get("SM_CURRENT_HOST_RANK", 0)) != 0:
        return
    model = os.environ["SM_MODEL_DIR"]
    shutil.copytree(os.path.join(output_dir, "model"), model, dirs_exist_ok=True)
    add_inference_code(model, os.path.dirname(os.path.abspath(sys.argv[0])))
    results = os.environ.get("SM_OUTPUT_DATA_DIR")
    if results is not None:
        left_out = shutil.ignore_patterns("model", "model.part", "checkpoint-*")
        shutil.copytree(output_dir, results, dirs_exist_ok=True, ignore=left_out)


def report_failure(message: str) -> None:
    """Leave the reason where SageMaker shows it: as the FailureReason of the job."""
    path = Path(os.environ.get("SM_OUTPUT_DIR", Path(os.environ["SM_MODEL_DIR"]).parent / "output")) / "failure"
    if path.parent.is_dir():
        path.write_text(message[:1024] + "\n", encoding="utf-8")
