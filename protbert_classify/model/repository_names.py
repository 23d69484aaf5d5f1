"""Which names of models are paths, and which are repositories of the Hub."""

import os
import re

_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")  # name or owner/name


def is_path(name: str) -> bool:
    """Whether a name is meant as a path: it cannot be a repository, or there is a folder of the owner's name here."""
    return _ID.fullmatch(name) is None or os.path.isdir(os.path.dirname(name) or os.devnull)
