"""Run a model from a Hub with the code in its repository, in a process that cannot import this package."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from protbert_classify.model.publishing import repository_files

from .loopback_hub import LoopbackHub, Repository
from .training.runs import environment

LIBRARIES = f"""\
import sys
sys.path.append({sysconfig.get_path("purelib")!r})
try:
    import protbert_classify
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("the package is there")
"""


def run_published(model, name, code, folder):
    """Publish the folder of a model as `name` on a Hub on loopback, and run code that loads it from there.

    Returns:
        The last line that the code printed.
    """
    files = repository_files(str(model))
    published = {path: text if isinstance(text, bytes) else Path(text).read_bytes() for path, text in files.items()}
    with LoopbackHub() as hub:
        hub.repositories["model", name] = Repository(private=False, files=published)
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", LIBRARIES + code],  # -S: no .pth, which could lead to this package
            env=environment(**hub.environment(folder)),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=180,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]
