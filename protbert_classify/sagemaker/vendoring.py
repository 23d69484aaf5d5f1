"""Wheels of everything a job needs, for containers that reach no package index (network isolation)."""

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..errors import OptionError, ProteinClassifierError
from .images import PYTHON
from .packaging import FROM_IMAGE, PACKAGE

logger = logging.getLogger(__name__)

GLIBC = 35  # 2.35, of the Ubuntu 22.04 in the images; wheels built for an older one run there
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC, 4, -1)),
    *(f"manylinux{name}_x86_64" for name in ("2014", "2010", "1")),
)
STEP = 10  # wheels between two lines of progress


def closure(package: str = PACKAGE, python: str = PYTHON) -> list[str]:
    """What a package needs in a container, and what that needs, at the versions that are installed here.

    Args:
        package: Its name; installed, without extras.
        python: Version of the container's Python.

    Returns:
        `name==version`, sorted; without torch, which the image has, and without what only torch needs.

    Raises:
        OptionError: The container needs a package that is not installed here, so that no version of it is known.
    """
    environment = container_environment(python)
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(package, needed) for needed in _needs(package, "", environment)]
    while todo:
        parent, requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in FROM_IMAGE:
            continue
        versions[name] = _installed_version(requirement, parent)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                todo += [(name, needed) for needed in _needs(name, extra, environment)]
    return sorted(f"{name}=={version}" for name, version in versions.items())


def container_environment(python: str) -> Mapping[str, str]:
    """The environment of a container, as markers (`sys_platform == "linux"`) ask for it (PEP 508)."""
    return {
        **{name: str(value) for name, value in default_environment().items()},
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def _needs(package: str, extra: str, environment: Mapping[str, str]) -> Iterator[Requirement]:
    """What an installed package needs there, by itself or for one of its extras."""
    for text in distribution(package).requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra}):
            yield requirement


def _installed_version(requirement: Requirement, parent: str) -> str:
    try:
        return distribution(requirement.name).version.split("+")[0]  # a local build is in no index
    except PackageNotFoundError:
        wanted = f"{requirement.name}{requirement.specifier}"
        raise OptionError(
            f"{parent} needs {wanted} in the container, and it is not installed here; expected: pip install '{wanted}'"
        ) from None


def vendor(folder: str, python: str = PYTHON) -> list[str]:
    """Download the wheels of [`closure`] with pip, from the index that pip is configured for.

    The folder appears with all wheels or stays as it was. Give it to `write_job` as `wheels`.

    Args:
        folder: New, empty, or with wheels, which are replaced.
        python: Version of the container's Python.

    Returns:
        The names of the files, sorted.

    Raises:
        OptionError: The folder holds something else, pip is missing, or a package has no wheel for the container.
        ProteinClassifierError: pip failed otherwise; no network, for instance.
    """
    _check_folder(folder)
    if find_spec("pip") is None:
        raise OptionError("pip, which fetches the wheels, is not installed here; expected: python -m ensurepip")
    pins = closure(python=python)
    part = folder.rstrip("/\\") + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    try:
        logger.info("fetching %d wheels for Python %s on Linux x86_64", len(pins), python)
        _download(pins, part, python)
        wheels = sorted(name for name in os.listdir(part) if name.endswith(".whl"))
        size = sum(os.path.getsize(os.path.join(part, name)) for name in wheels)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    logger.info("%d wheels, %.0f MB, in %s", len(wheels), size / 1e6, folder)
    return wheels


def _check_folder(folder: str) -> None:
    if not os.path.lexists(folder):
        return
    if not os.path.isdir(folder):
        raise OptionError(f"{folder} is a file; expected a folder for wheels")
    others = sorted(name for name in os.listdir(folder) if not name.endswith(".whl"))
    if others:
        raise OptionError(f"{folder} holds {others[0]}; expected a new folder, or one of nothing but wheels")


def _download(pins: list[str], folder: str, python: str) -> None:
    """Run pip, telling how far it is."""
    collected, said = 0, []
    with subprocess.Popen(
        command(pins, folder, python), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.strip())
            # of an index, of a path or address
            if line.startswith(("Collecting ", "Processing ")):
                collected += 1
                if collected % STEP == 0:
                    logger.info("%d of %d wheels", collected, len(pins))
    if process.returncode:
        raise _failure(said, python)


def command(pins: list[str], folder: str, python: str) -> list[str]:
    """The line that fetches wheels for a container; index, proxy and certificates are those of pip's configuration."""
    return [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
        *("--disable-pip-version-check", "--progress-bar", "off", "--python-version", python, "--implementation", "cp"),
        *(option for platform in PLATFORMS for option in ("--platform", platform)),
        *("--dest", folder, *pins),
    ]


def _failure(said: list[str], python: str) -> ProteinClassifierError:
    """What pip says, in one line."""
    missing = re.search(r"No matching distribution found for (\S+)", "\n".join(said))
    unreachable = next((line for line in said if "Retrying (" in line), None)
    if missing and unreachable is None:
        return OptionError(
            f"{missing[1]}, which is installed here, has no wheel for Python {python} on Linux x86_64 in pip's index; "
            "install a version that has one"
        )
    reason = unreachable or next((line for line in said if line.startswith("ERROR: ")), said[-1] if said else "")
    return ProteinClassifierError(f"pip could not fetch the wheels: {reason.removeprefix('ERROR: ')[:300]}")
