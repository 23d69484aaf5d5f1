"""What travels to SageMaker: this package, the source folder of a job, and a model with the code that serves it."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..inference.merged_folder import merged_folder

PACKAGE = "protbert_classify"
CODE = "code"  # the folder of a model archive that the Hugging Face container reads, and imports from
CONTAINER_MODEL = "/opt/ml/model"  # where a container unpacks model.tar.gz
ENTRY, OPTIONS, REQUIREMENTS, INFERENCE = "train.py", "run.yaml", "requirements.txt", "inference.py"
ENTRY_SOURCE = f"""\
import os
import sys

from protbert_classify.__main__ import main

if __name__ == "__main__":  # the options are in a file: none of them meets a shell
    sys.exit(main(["train", os.path.join(os.path.dirname(os.path.abspath(__file__)), "{OPTIONS}")]))
"""
INFERENCE_SOURCE = "from protbert_classify.serving.hooks import *  # noqa: F401, F403\n"
SUFFIXES = (".py", ".typed", ".jinja", ".yaml", ".json")  # of the package's files; anything else there is not ours


def copy_package(folder: str) -> None:
    """Copy the installed package into a folder from which it can be imported: nothing needs to be installed."""

    def others(parent: str, names: list[str]) -> list[str]:
        kept = [name for name in names if name.endswith(SUFFIXES) or os.path.isdir(os.path.join(parent, name))]
        return [name for name in names if name not in kept or name == "__pycache__"]

    shutil.copytree(Path(__file__).resolve().parents[1], os.path.join(folder, PACKAGE), ignore=others)


def pinned_requirements(extra: str = "") -> list[str]:
    """Our direct dependencies, and an extra's, at the versions installed here: a job computes with these libraries."""
    from packaging.requirements import Requirement

    needed = [Requirement(text) for text in distribution(PACKAGE).requires or []]
    wanted = [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})]
    # the image has the torch for its CUDA
    return [f"{name}=={version(name).split('+')[0]}" for name in wanted if name != "torch"]


def write_job(folder: str, options: Mapping[str, Any], package: str | None = None) -> None:
    """Write the source folder of a training job: its entry, its options, this package and its requirements.

    `package` is a requirement (`protbert_classify==0.1.0`) to install in place of a copy of what is installed here.
    """
    from ..training.options import write_options_file  # takes seconds

    write_options_file(os.path.join(folder, OPTIONS), options)
    Path(folder, ENTRY).write_text(ENTRY_SOURCE)
    if package is None:
        copy_package(folder)
    extra = ("qlora" if str(options.get("lora_bits")) == "4" else "lora") if options.get("tuning") == "lora" else ""
    lines = [*([package] if package else []), *pinned_requirements(extra), "boto3"]
    Path(folder, REQUIREMENTS).write_text("\n".join(lines) + "\n")


def add_serving_code(model: str) -> None:
    """Write `code/` into the folder of a model: the hooks of the Hugging Face container, and this package.

    Its image has everything that serving imports, so that an endpoint installs nothing when it starts.
    """
    code = os.path.join(model, CODE)
    copy_package(code)
    Path(code, INFERENCE).write_text(INFERENCE_SOURCE)


def pack_model(model: str, archive: str) -> None:
    """Write the model.tar.gz of a run, or of its model/: the model's files, merged, and in code/ what serves it."""
    folder = os.path.join(model, "model") if os.path.isdir(os.path.join(model, "model")) else model
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise ModelError(f"{model}: no model there; expected the output_dir of a training, or its model/")
    if not any(name.endswith(".safetensors") for name in os.listdir(folder)):
        raise ModelError(f"{model}: no safetensors; only these are deployed")
    with merged_folder(folder) as whole, tempfile.TemporaryDirectory() as temporary:
        add_serving_code(temporary)
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # weights hardly compress
            for name in sorted(os.listdir(whole)):
                if os.path.isfile(path := os.path.join(whole, name)):
                    tar.add(path, arcname=name, filter=_readable)
            tar.add(os.path.join(temporary, CODE), arcname=CODE, filter=_readable)


def _readable(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Readable by everyone: a container need not run as the user who packed the model."""
    return member.replace(uid=0, gid=0, uname="", gname="", mode=0o755 if member.isdir() else 0o644, deep=False)


def unpack(archive: str, folder: str) -> None:
    """Unpack a model.tar.gz; names that lead out of the folder, links and devices are refused."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ModelError(f"{archive}: {' '.join(str(error).split())}; expected a model.tar.gz") from error
