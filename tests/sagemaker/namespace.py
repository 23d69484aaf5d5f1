"""A container without Docker: a process that has /opt/ml, /etc, its Python environment and its process table to itself.

It shares the network, so that a test reaches its port. What it writes to /etc, or installs with pip, is gone when it
ends; nothing of it reaches the environment of the tests.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HOSTS = ("algo-1", "algo-2")  # names of machines that only SageMaker's network knows
TEMPORARY = "/opt/tmp"  # multi-model-server puts its sockets and its process id under fixed names there

# Arguments: an empty folder, the folder that becomes /opt/ml, two environments of Python, and the command. The second
# environment is that of the tests, to whose libraries the first one has links.
SCRIPT = f"""\
set -e
mount -t tmpfs tmpfs "$1"
for place in /etc /opt "$3" "$4"; do
    layer="$1/$(echo "$place" | tr / _)"
    mkdir "$layer" "$layer.work"
    mount -t overlay overlay -o "lowerdir=$place,upperdir=$layer,workdir=$layer.work" "$place"
done
mkdir -p /opt/ml {TEMPORARY}
mount --bind "$2" /opt/ml
echo "127.0.0.1 {" ".join(HOSTS)}" >>/etc/hosts
shift 4
exec "$@"
"""
UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


def _command(layers, ml, environment, command):
    return [*UNSHARE, "sh", "-c", SCRIPT, "sh", *map(str, (layers, ml, environment)), sys.prefix, *command]


@functools.cache
def missing():
    """Why there can be no such process here; None if there can."""
    if shutil.which("unshare") is None:
        return "no command unshare"
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder, name) for name in ("layers", "ml", "environment")]
        for part in parts:
            part.mkdir()
        done = subprocess.run(_command(*parts, ["true"]), capture_output=True, text=True, timeout=60)
    return None if done.returncode == 0 else f"no namespaces, for which one must be root: {done.stderr.strip()}"


def _system_path():
    """PATH without the environment of the tests: its pip must not be the container's."""
    return [entry for entry in os.environ["PATH"].split(os.pathsep) if not entry.startswith(sys.prefix)]


class Namespace:
    """A running command; everything that it started ends with it.

    Args:
        folder: Gets `ml/`, which the command sees as /opt/ml, and `log`.
        image: bin/ of a Python environment, which comes first in the command's PATH.
        command: Its words.
        variables: All of its environment but PATH and the folders for temporary files.
    """

    def __init__(self, folder, image, command, variables):
        self.folder, self.ml = Path(folder), Path(folder, "ml")
        self.ml.mkdir(parents=True, exist_ok=True)
        layers = self.folder / "layers"
        layers.mkdir()
        environment = {
            **variables,
            "PATH": os.pathsep.join([str(image), *_system_path()]),
            **dict.fromkeys(("TEMP", "TMPDIR", "LOG_LOCATION", "METRICS_LOCATION"), TEMPORARY),
            "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={TEMPORARY}",
        }
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                _command(layers, self.ml, Path(image).parent, command),
                env=environment,
                cwd="/",
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self):
        """What it wrote until now."""
        return (self.folder / "log").read_text(errors="replace")

    def wait(self, seconds):
        """Until it ends by itself; returns its exit code."""
        return self.process.wait(seconds)

    def stop(self):
        """End it and all that it started: the kernel kills what is left of a process table whose first process dies."""
        self.process.kill()
        self.process.wait(30)
