"""The image of a container with SageMaker's own toolkits, whose commands are `serve` and `train`.

They need Java, namespaces of Linux and `PACKAGES`, which `make` installs; `missing()` says what is not here.
"""

import functools
import os
import shutil
from importlib.metadata import PackageNotFoundError, version

from .namespace import missing as missing_namespaces
from .training_jobs import install_image

PACKAGES = (
    "multi-model-server",
    "sagemaker-huggingface-inference-toolkit",
    "sagemaker-inference",
    "sagemaker-pytorch-training",
    "sagemaker-training",
)
COMMANDS = {
    "multi-model-server": ("mms.model_server", "start"),
    "serve": ("sagemaker_huggingface_inference_toolkit.serving", "main"),
    "train": ("sagemaker_training.cli.train", "main"),
}
REMOVED = "from transformers.file_utils import is_tf_available, is_torch_available\n"
RESTORED = "from transformers.file_utils import is_torch_available\nis_tf_available = lambda: False\n"
RESOURCE_FILENAME = """\
from importlib.resources import files


def resource_filename(package, name):
    return str(files(package).joinpath(name.lstrip("/")))
"""
INHERITED = ("HOME", "LANG", "HF_HUB_OFFLINE")


@functools.cache
def missing():
    """Why the toolkits cannot run here, in one line; None if they can."""
    for package in PACKAGES:
        try:
            version(package)
        except PackageNotFoundError:
            return f"{package} is not installed; 'make' installs it"
    if shutil.which("java") is None:
        return "no Java for multi-model-server"
    return missing_namespaces()


def toolkit_image(folder):
    """What an image has: all libraries of this environment but our package, and the commands of the toolkits.

    Returns:
        Its bin/.
    """
    image = install_image(folder)
    for name, (module, function) in COMMANDS.items():
        script = image / name
        script.write_text(f"#!{image}/python3\nfrom {module} import {function}\n\n{function}()\n")
        script.chmod(0o755)
    _restore_removed_names(image.parent / "libraries")
    return image


def _restore_removed_names(libraries):
    """Two names that the toolkits import and that newer libraries removed; the images have older ones, or a patch."""
    (libraries / "pkg_resources.py").write_text(RESOURCE_FILENAME)
    toolkit = libraries / "sagemaker_huggingface_inference_toolkit"
    origin = toolkit.resolve()
    toolkit.unlink()
    shutil.copytree(origin, toolkit, ignore=shutil.ignore_patterns("__pycache__"))
    path = toolkit / "transformers_utils.py"
    text = path.read_text()
    assert text.count(REMOVED) == 1
    path.write_text(text.replace(REMOVED, RESTORED))


def outside(**more):
    """Variables of a container; no index is reached: all that is installed there lies in the image or comes along."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, "OMP_NUM_THREADS": "1", "PIP_NO_INDEX": "1", "PYTHONUNBUFFERED": "1", **more}
