"""What travels to SageMaker: this package as a wheel, the folder of a job, and a model with its inference code."""

import os
import shutil
import tarfile
import tempfile
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from ..errors import ModelError, OptionError

PACKAGE = "protbert_classify"
CODE = "code"  # folder of a model archive that the Hugging Face container reads
WHEELS = "wheels"
ENTRY = "train.py"
ENTRY_SOURCE = """\
import sys

from protbert_classify.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command("train", sys.argv[1:]))
"""
INFERENCE = "inference.py"
REQUIREMENTS = "requirements.txt"
INFERENCE_SOURCE = "from protbert_classify.serving.hooks import *  # noqa: F401, F403\n"
CONTAINER_MODEL = "/opt/ml/model"  # where a container unpacks model.tar.gz
# The image has torch for its CUDA; what the rest needs of it comes along.
FROM_IMAGE = ("torch",)


def write_wheel(folder: str) -> str:
    """Write the installed package as a wheel, whether it was installed from an index or in place.

    Returns:
        Its path.
    """
    from wheel.wheelfile import WheelFile

    installed = distribution(PACKAGE)
    name = f"{PACKAGE}-{installed.version}"
    path = os.path.join(folder, f"{name}-py3-none-any.whl")
    root = Path(__file__).resolve().parents[1]
    with WheelFile(path, "w") as wheel:
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                wheel.write(str(file), str(Path(PACKAGE) / file.relative_to(root)))
        # a source folder that is the current one is found first, by its egg-info, which names METADATA otherwise
        metadata = installed.read_text("METADATA") or installed.read_text("PKG-INFO")
        for part, text in (("METADATA", metadata), ("entry_points.txt", installed.read_text("entry_points.txt"))):
            if text:
                wheel.writestr(f"{name}.dist-info/{part}", text)
        wheel.writestr(
            f"{name}.dist-info/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: {PACKAGE}\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
    return path


def pins() -> list[str]:
    """Our direct dependencies at the versions that are installed here, but for what an image brings itself.

    A job then computes with the libraries of this machine.
    """
    from packaging.requirements import Requirement

    found = []
    for text in distribution(PACKAGE).requires or []:
        requirement = Requirement(text)
        if requirement.marker is not None or requirement.name in FROM_IMAGE:
            continue
        try:
            found.append(f"{requirement.name}=={version(requirement.name).split('+')[0]}")
        except PackageNotFoundError:
            continue
    return found


def write_job(folder: str, package: str | None = None, wheels: str | None = None) -> None:
    """Write the source folder of a training job: entry, requirements and wheels.

    Args:
        folder: An empty one.
        package: A requirement (`protbert_classify==0.1.0`) in place of a wheel of what is installed here.
        wheels: A folder of wheels; the job then installs from them alone.

    Raises:
        OptionError: No wheels in the folder.
    """
    Path(folder, ENTRY).write_text(ENTRY_SOURCE)
    ours = package or f"./{os.path.basename(write_wheel(folder))}"
    lines = [ours, *pins(), *(["boto3"] if wheels is None else [])]
    if wheels is not None:
        check_wheels(wheels)
        lines = [*_vendored(wheels, folder), *lines]
    Path(folder, REQUIREMENTS).write_text("\n".join(lines) + "\n")


def check_wheels(folder: str) -> None:
    """Refuse a folder without wheels.

    Raises:
        OptionError: It.
    """
    if not list(Path(folder).glob("*.whl")):
        raise OptionError(f"{folder}: no wheels there; 'protbert-classify sagemaker wheels' writes them")


def _vendored(wheels: str, folder: str) -> list[str]:
    """Copy wheels into a folder; returns the lines of requirements that let pip take these alone."""
    os.makedirs(os.path.join(folder, WHEELS), exist_ok=True)
    for wheel in sorted(Path(wheels).glob("*.whl")):
        shutil.copy(wheel, os.path.join(folder, WHEELS))
    return ["--no-index", f"--find-links ./{WHEELS}"]


def add_inference_code(model: str, job: str | None = None, wheels: str | None = None) -> None:
    """Write `code/` into the folder of a model: the hooks of the Hugging Face container, and this package for it.

    Args:
        model: Folder with config.json.
        job: Folder that `write_job` wrote, whose wheels are taken; if it is another, or None, a wheel is made.
        wheels: A folder of wheels, for a container that reaches no index; those of the job if None.
    """
    code = os.path.join(model, CODE)
    os.makedirs(code, exist_ok=True)
    Path(code, INFERENCE).write_text(INFERENCE_SOURCE)
    lines = []
    if job is not None and os.path.isfile(os.path.join(job, REQUIREMENTS)):
        lines = [line for line in Path(job, REQUIREMENTS).read_text().splitlines() if PACKAGE in line]
        for wheel in Path(job).glob(f"{PACKAGE}-*.whl"):
            shutil.copy(wheel, code)
        if wheels is None and os.path.isdir(os.path.join(job, WHEELS)):
            wheels = os.path.join(job, WHEELS)
    if not lines:
        try:
            lines = [f"./{os.path.basename(write_wheel(code))}"]
        except ImportError:  # the library wheel belongs to the extra sagemaker
            lines = [f"{PACKAGE}=={version(PACKAGE)}"]
    if wheels is not None:
        lines = [*_vendored(wheels, code), *lines]
    # pip takes a path as from where it runs, not from the file that names it
    text = "\n".join(line.replace("./", f"{CONTAINER_MODEL}/{CODE}/") for line in lines)
    Path(code, REQUIREMENTS).write_text(text + "\n")


def pack_model(model: str, archive: str, wheels: str | None = None) -> None:
    """Write the model.tar.gz of a trained model: its files, and the code that serves it, at its root.

    Args:
        model: Folder of a run, or its model/.
        archive: Path of the result.
        wheels: A folder of wheels to take along, for a container that reaches no index.

    Raises:
        ModelError: No model there, or weights that are not safetensors.
    """
    folder = os.path.join(model, "model") if os.path.isdir(os.path.join(model, "model")) else model
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise ModelError(f"{model}: no model there; expected the output_dir of a training, or its model/")
    if not any(name.endswith(".safetensors") for name in os.listdir(folder)):
        raise ModelError(f"{model}: no safetensors; only these are deployed")
    with tempfile.TemporaryDirectory() as temporary:
        add_inference_code(temporary, wheels=wheels)
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # weights hardly compress
            for name in sorted(os.listdir(folder)):
                if os.path.isfile(os.path.join(folder, name)):
                    tar.add(os.path.join(folder, name), arcname=name, filter=_for_all)
            tar.add(os.path.join(temporary, CODE), arcname=CODE, filter=_for_all)


def _for_all(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Of nobody, and readable by everyone: a container need not run as who packed it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def unpack(archive: str, folder: str) -> None:
    """Unpack a model.tar.gz; names that lead out of the folder, links and devices are refused.

    Raises:
        ModelError: It is no such archive, or holds what it should not.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ModelError(f"{archive}: {' '.join(str(error).split())}; expected a model.tar.gz") from error
