"""A file appears whole or not at all."""

import os
from collections.abc import Callable


def write_atomically(path: str | os.PathLike[str], write: Callable[[str], object]) -> None:
    """Write beside the file and move it into place; a reader, or a full disk, never leaves half of it.

    Args:
        path: Of the file.
        write: Given a path, writes there.
    """
    path = os.fspath(path)
    part = path + ".part"
    try:
        write(part)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
