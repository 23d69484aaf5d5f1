"""Wheels for jobs without a network: what is needed, and how pip is asked for it; no index is reached."""

import os
import re
import sys

import pytest

pytest.importorskip("wheel")

from wheel.wheelfile import WheelFile

from protbert_classify.errors import OptionError, ProteinClassifierError
from protbert_classify.sagemaker import vendoring
from protbert_classify.sagemaker.vendoring import PLATFORMS, closure, vendor


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make packages look installed: their name, version and what they need."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))

    def add(name, version="1.0", needs=()):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
        (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")

    return add


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that stands for pip's index; pip reaches nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in (("CONFIG_FILE", os.devnull), ("NO_INDEX", "1"), ("FIND_LINKS", str(folder))):
        monkeypatch.setenv(f"PIP_{name}", value)

    def add(name, tag="py3-none-any"):
        package, version = name.split("-")
        with WheelFile(folder / f"{name}-{tag}.whl", "w") as wheel:
            wheel.writestr(f"{package}.py", "")
            metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
            wheel.writestr(f"{name}.dist-info/METADATA", metadata)
            wheel.writestr(f"{name}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")

    return add


@pytest.fixture
def asked_for(monkeypatch):
    """Vendor these in place of what the package needs."""

    def pins(*names):
        monkeypatch.setattr(vendoring, "closure", lambda python: list(names))

    return pins


# what is needed


def test_the_closure_has_what_training_needs_but_not_what_the_image_has_for_its_cuda():
    pins = dict(pin.split("==") for pin in closure())
    assert {"datasets", "pyarrow", "transformers", "tokenizers", "scikit-learn", "numpy", "six"} <= set(pins)
    assert not {"torch", "sympy", "mpmath", "networkx", "triton", "protbert-classify"} & set(pins)
    assert not [name for name in pins if name.startswith("nvidia")]
    assert not {"sagemaker", "boto3", "pytest", "fastapi", "torchao"} & set(pins)  # of extras
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][^+]*", pin) for pin in closure())


def test_what_torch_shares_with_others_stays_and_what_only_torch_needs_goes(install):
    install("top", needs=["torch>=2", "middle"])
    install("middle", "2.1+local", needs=["shared_thing", "torch"])
    install("torch", needs=["shared_thing", "only-torchs"])
    install("shared_thing", "3.0", needs=["deep"])
    install("deep", needs=["middle"])  # a circle, as packages have them
    install("only-torchs")
    assert closure("top") == ["deep==1.0", "middle==2.1", "shared-thing==3.0"]


def test_markers_are_those_of_the_container_and_not_of_this_machine(install, monkeypatch):
    monkeypatch.setattr(vendoring, "default_environment", lambda: {"sys_platform": "win32", "platform_release": "11"})
    needs = ['on_linux; sys_platform == "linux"', 'on_windows; platform_system == "Windows"']
    needs += ['on_old; python_version < "3.12"', 'on_new; python_full_version >= "3.12.0"']
    needs += ['on_arm; platform_machine == "aarch64"', 'in_extra; extra == "more"']
    install("top", needs=needs)
    for need in needs:
        install(need.split(";")[0])
    assert closure("top", "3.12") == ["on-linux==1.0", "on-new==1.0"]
    assert closure("top", "3.11") == ["on-linux==1.0", "on-old==1.0"]


def test_an_extra_that_a_package_asks_for_comes_along(install):
    install("top", needs=["plain", "files[http]>=1"])
    install("plain", needs=["files"])
    install("files", needs=['web; extra == "http"', 'cloud; extra == "s3"'])
    install("web")
    assert closure("top") == ["files==1.0", "plain==1.0", "web==1.0"]


def test_what_only_the_container_needs_must_be_installed_here_to_have_a_version(install):
    install("top", needs=['absent_thing>=2; sys_platform == "linux"'])
    with pytest.raises(OptionError, match="top needs absent_thing>=2 in the container.* pip install 'absent_thing>=2'"):
        closure("top")


# how it is fetched


def test_pip_is_asked_for_wheels_of_the_containers_python_and_platform():
    line = vendoring.command(["tiny==1.0"], "wheels", "3.12")
    assert line[:5] == [sys.executable, "-m", "pip", "download", "--no-deps"]
    assert "--only-binary=:all:" in line  # nothing is built, so no code of a package runs
    assert line[line.index("--python-version") + 1] == "3.12"
    assert line[-3:] == ["--dest", "wheels", "tiny==1.0"]
    assert [line[i + 1] for i, word in enumerate(line) if word == "--platform"] == list(PLATFORMS)
    assert {"manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_35_x86_64"} <= set(PLATFORMS)
    assert "manylinux_2_36_x86_64" not in PLATFORMS  # newer than the glibc of the images


def test_wheels_land_in_the_folder_in_place_of_older_ones(tmp_path, index, asked_for, log):
    index("tiny-1.0")
    index("fast-2.0", "cp312-cp312-manylinux_2_28_x86_64")
    index("fast-2.0", "cp311-cp311-manylinux_2_28_x86_64")
    asked_for("fast==2.0", "tiny==1.0")
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "tiny-0.9-py3-none-any.whl").touch()
    expected = ["fast-2.0-cp312-cp312-manylinux_2_28_x86_64.whl", "tiny-1.0-py3-none-any.whl"]
    assert vendor(f"{folder}/") == expected == sorted(os.listdir(folder))
    assert sorted(os.listdir(tmp_path)) == ["index", "wheels"]
    assert "fetching 2 wheels for Python 3.12 on Linux x86_64" in log.text
    assert "2 wheels, 0 MB, in" in log.text


@pytest.mark.parametrize("tag", ["cp311-cp311-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_39_x86_64", "other"])
def test_a_package_without_a_wheel_for_the_container_is_named_and_the_folder_stays(tmp_path, index, asked_for, tag):
    if tag != "other":
        index("tiny-1.0", tag)
    asked_for("tiny==1.0")
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "tiny-0.9-py3-none-any.whl").touch()
    words = "tiny==1.0, which is installed here, has no wheel for Python 3.12 on Linux x86_64"
    with pytest.raises(OptionError, match=words):
        vendor(str(folder))
    assert os.listdir(folder) == ["tiny-0.9-py3-none-any.whl"]
    assert not (tmp_path / "wheels.part").exists()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["WARNING: Retrying (Retry(total=0)) after ...", "ERROR: No matching distribution found for a"], "WARNING:"),
        (["ERROR: Cannot install a==1", "ERROR: ResolutionImpossible"], "Cannot install a==1"),
        (["something else"], "something else"),
        ([], ""),
    ],
)
def test_other_failures_of_pip_are_the_environments(said, words):
    error = vendoring._failure(said, "3.12")
    assert type(error) is ProteinClassifierError
    assert str(error).startswith(f"pip could not fetch the wheels: {words}")


def test_a_folder_of_something_else_is_not_replaced(tmp_path, asked_for):
    asked_for("tiny==1.0")
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(OptionError, match="holds thesis.docx; expected a new folder"):
        vendor(str(tmp_path))
    with pytest.raises(OptionError, match="is a file; expected a folder"):
        vendor(str(tmp_path / "thesis.docx"))
    assert os.listdir(tmp_path) == ["thesis.docx"]


def test_a_python_without_pip_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(vendoring, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match="pip, which fetches the wheels, is not installed here"):
        vendor(str(tmp_path / "wheels"))
