"""The checkpoints of a run: marking them as complete, finding the newest complete one, removing old ones."""

import json
import os
import re
import shutil

MARKER = "complete.json"  # the last file of a checkpoint, written when all processes are done


def mark_complete(checkpoint: str, step: int) -> None:
    """Mark a checkpoint as complete, by a file that appears whole or not at all.

    It lists the files with their sizes: a copy in cloud storage may have the marker before the rest.
    """
    path = os.path.join(checkpoint, MARKER)
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump({"step": step, "bytes": _sizes(checkpoint)}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def checkpoints(output_dir: str) -> list[str]:
    """All checkpoints of a run, by step, complete or not."""
    if not os.path.isdir(output_dir):
        return []
    steps = {int(m[1]): entry for entry in os.listdir(output_dir) if (m := re.fullmatch(r"checkpoint-(\d+)", entry))}
    return [os.path.join(output_dir, steps[step]) for step in sorted(steps)]


def checkpoint_path(output_dir: str, step: int) -> str:
    """The folder of the checkpoint of a step."""
    return os.path.join(output_dir, f"checkpoint-{step}")


def is_complete(checkpoint: str) -> bool:
    """Whether a checkpoint was marked as complete and still has all of its files."""
    try:
        with open(os.path.join(checkpoint, MARKER), encoding="utf-8") as file:
            declared = json.load(file)
    except (OSError, ValueError):
        return False
    found = _sizes(checkpoint)
    return all(found.get(name) == size for name, size in declared.get("bytes", {}).items())


def _sizes(checkpoint: str) -> dict[str, int]:
    """Path of each file, relative to the checkpoint, and its bytes."""
    paths = (os.path.join(folder, name) for folder, _, names in os.walk(checkpoint) for name in names)
    return {os.path.relpath(path, checkpoint): os.path.getsize(path) for path in paths if MARKER not in path}


def newest_complete_checkpoint(output_dir: str) -> str | None:
    """The checkpoint to resume from; half-written ones, as a kill leaves them, do not count."""
    complete = [path for path in checkpoints(output_dir) if is_complete(path)]
    return complete[-1] if complete else None


def remove_old_checkpoints(output_dir: str, limit: int | None, keep: str | None) -> None:
    """Delete all but the newest `limit` checkpoints and `keep`, the best one; half-written ones do not count."""
    if limit is None or limit <= 0:
        return
    complete = [path for path in checkpoints(output_dir) if is_complete(path)]
    best = [path for path in complete if keep is not None and os.path.basename(path) == os.path.basename(keep)]
    others = [path for path in complete if path not in best]
    kept = {*complete[-1:], *best, *others[max(len(complete) - limit, 0) :]}
    for path in checkpoints(output_dir):
        if path not in kept:
            gone = path + ".removed"  # no longer a checkpoint, even if the deletion is cut off
            shutil.rmtree(gone, ignore_errors=True)
            os.replace(path, gone)
            shutil.rmtree(gone)
