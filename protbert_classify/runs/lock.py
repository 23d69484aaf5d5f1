"""Locks a run's folder: one training at a time writes there."""

import os
from types import TracebackType
from typing import ClassVar

from ..errors import OptionError

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]


class FolderLock:
    """Held by a training while it runs, however it ends.

    Two trainings would delete each other's checkpoints: one started twice by mistake, or resumed while the processes of
    a killed launcher still run. The operating system releases the lock with its process; no file is left. A process can
    take the lock again, as a trainer does inside a command.

    Args:
        folder: The run's folder; if it is not there yet, the lock is taken later.
        wanted: False for the processes of a training that leave it to the main one.
    """

    def __init__(self, folder: str, wanted: bool = True) -> None:
        self.folder, self.wanted = folder, wanted
        self._path: str | None = None

    _held: ClassVar[dict[str, int]] = {}  # folders that this process has locked, and their descriptors

    def __enter__(self) -> "FolderLock":
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None and self._path in self._held:
            os.close(self._held.pop(self._path))
        self._path = None

    def take(self) -> None:
        """Take the lock if the folder exists and this process does not have it yet.

        Raises:
            OptionError: Another training has the lock.
        """
        path = os.path.realpath(self.folder)
        if fcntl is None or not self.wanted or path in self._held or not os.path.isdir(self.folder):
            return
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise OptionError(
                f"{self.folder}: another training writes to it; wait for it, or stop it (its processes may have "
                "outlived their launcher)"
            ) from None
        except OSError:  # a file system without locks
            pass
        self._path = path
        self._held[path] = descriptor

    @classmethod
    def _leave_to_parent(cls) -> None:
        for descriptor in cls._held.values():
            os.close(descriptor)  # the parent's stays open, and keeps the lock
        cls._held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=FolderLock._leave_to_parent)
