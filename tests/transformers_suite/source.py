"""The test mixins of transformers, from the source distribution of the installed version.

They are not part of the wheel, and their license lets us run them, but not every line would suit this repository: they
are fetched through pip into `.cache/` and imported from there as the package `transformers_tests`.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
import transformers
from filelock import FileLock

from tests.conftest import ROOT

VERSION = transformers.__version__
CACHE = ROOT / ".cache"
PACKAGE = "transformers_tests"

# The distribution has the files of `tests/`, but not its folders. The mixins import three names from those: two classes
# to test export and generation, which a classifier has no use for, and arguments of a check for other configurations.
STAND_INS = {
    "exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
    "generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
    "utils.test_configuration_utils": {"config_common_kwargs": {}},
}


def mixins(name: str) -> ModuleType:
    """A module of transformers' `tests/`; skips the tests that import it where there is no registry to fetch it from.

    Args:
        name: For example `test_modeling_common`.
    """
    if PACKAGE not in sys.modules:
        _import_package(_fetched())
    return importlib.import_module(f"{PACKAGE}.{name}")


def _fetched() -> Path:
    """The folder with transformers' tests, downloaded if it is not there yet."""
    folder = CACHE / f"transformers-{VERSION}" / "tests"
    CACHE.mkdir(exist_ok=True)
    with FileLock(CACHE / ".lock"):  # processes that run tests beside each other
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                _download(Path(scratch))
                os.rename(Path(scratch) / folder.parent.name, folder.parent)
    return folder


def _download(scratch: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "transformers"]
    options = ["--disable-pip-version-check", "--retries", "1", "--dest", str(scratch), f"transformers=={VERSION}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        pytest.skip(f"no source distribution of transformers {VERSION}: {reason}", allow_module_level=True)
    [archive] = scratch.glob("transformers-*.tar.gz")
    with tarfile.open(archive) as tar:
        wanted = [member for member in tar if "/tests/" in member.name]
        tar.extractall(scratch, wanted, filter="data")
    (scratch / f"transformers-{VERSION}" / "tests" / "__init__.py").touch()


def _import_package(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)
    for name, contents in STAND_INS.items():
        parent = f"{PACKAGE}.{name.split('.')[0]}"
        sys.modules.setdefault(parent, ModuleType(parent))
        module = ModuleType(f"{PACKAGE}.{name}")
        vars(module).update(contents)
        sys.modules[module.__name__] = module
