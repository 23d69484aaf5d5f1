"""Which names of models are paths, which are repositories of the Hub, and of which commit."""

import os
import re

_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")  # name or owner/name


def is_path(name: str) -> bool:
    """Whether a name is meant as a path: it cannot be a repository, or there is a folder of the owner's name here."""
    return _ID.fullmatch(name) is None or os.path.isdir(os.path.dirname(name) or os.devnull)


def cached_commit(name: str, revision: str) -> str | None:
    """The commit of a repository that was loaded by its branch or tag, from the cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache  # its import takes time, and most need the other function only

    config = try_to_load_from_cache(name, "config.json", revision=revision)
    return os.path.basename(os.path.dirname(config)) if isinstance(config, str) else None
