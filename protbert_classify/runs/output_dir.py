"""What a training finds in its `output_dir`: a free folder, or the run of an earlier training."""

import glob
import os
import shutil

from transformers import TrainingArguments

from ..errors import OptionError
from .checkpoints import checkpoints, newest_complete_checkpoint
from .files import (
    DATA,
    FIGURES,
    MEMBERS,
    METRICS,
    MODEL,
    OUT_OF_FOLD,
    PREDICTIONS,
    RECORD,
    REJECTED,
    REPORT,
    SEARCH,
    SEARCH_PAGE,
    SETTINGS,
    STATE,
    TEST_NEIGHBOURS,
    read_json,
)

TABLES = (PREDICTIONS, OUT_OF_FOLD, TEST_NEIGHBOURS)
# what a run writes; the record, which says that it is finished, is removed first
OUTPUTS = (RECORD, MODEL, METRICS, SETTINGS, *TABLES, DATA, STATE, FIGURES, REJECTED, REPORT)
OF_SEARCH = (SEARCH, SEARCH_PAGE)


def claim_output_dir(output_dir: str, resume: bool, overwrite: bool, several: bool = False) -> str | None:
    """Check that a run may write here; nothing is changed.

    Args:
        output_dir: The folder.
        resume: Whether to continue the run that is there.
        overwrite: Whether to replace it.
        several: Whether several models are trained, in folders inside it.

    Returns:
        The checkpoint to resume from, if any.

    Raises:
        OptionError: The folder holds a run, finished or not, and neither `resume` nor `overwrite` is given; or the run
            to resume is a single one and several are trained, or the other way round.
    """
    if os.path.exists(output_dir) and not os.path.isdir(output_dir):
        raise OptionError(f"output_dir {output_dir} is a file; expected a folder, or a name that is free")
    if resume and overwrite:
        raise OptionError("resume and overwrite exclude each other")
    begun = [os.path.basename(path) for path in member_folders(output_dir) if _has_run(path)]
    if resume:
        found = newest_complete_checkpoint(output_dir)
        if begun and not several:
            raise OptionError(
                f"{output_dir} holds trainings of several models ({', '.join(begun)}); resume them with the same "
                "seeds or folds, or start again with overwrite"
            )
        if found and several:
            raise OptionError(f"{output_dir} holds a single training; expected another output_dir, or overwrite")
        return found
    if overwrite:
        return None
    if os.path.exists(os.path.join(output_dir, RECORD)):
        raise OptionError(f"{output_dir} holds a finished run; set another output_dir, overwrite or resume")
    if newest_complete_checkpoint(output_dir):
        raise OptionError(
            f"{output_dir} holds checkpoints of an earlier run; set resume to continue it, or overwrite to start again"
        )
    if begun:
        raise OptionError(
            f"{output_dir} holds trainings of several models ({', '.join(begun)}); set resume to continue them, or "
            "overwrite to start again"
        )
    return None


def check_kept(output_dir: str, **inputs: str | None) -> None:
    """Refuse an input that the outputs of a run would replace.

    Args:
        output_dir: Of the run.
        inputs: Option -> a file or a folder; names on the Hub are none, and neither is None.

    Raises:
        OptionError: Names the option.
    """
    own = [os.path.realpath(os.path.join(output_dir, name)) for name in OUTPUTS]
    own += [os.path.realpath(path) for path in checkpoints(output_dir)]
    for option, path in inputs.items():
        if path is None or not os.path.exists(path):
            continue
        found = os.path.realpath(path)
        if any(found == one or found.startswith(one + os.sep) for one in own):
            raise OptionError(f"{option} {path}: output_dir {output_dir} would replace it; expected another output_dir")


def claim_search(output_dir: str, resume: bool, overwrite: bool, searching: bool) -> None:
    """Check that a search, or a training without one, may write here; nothing is changed.

    Args:
        output_dir: The folder.
        resume: Whether to continue what is there.
        overwrite: Whether to replace it.
        searching: Whether a search is wanted.

    Raises:
        OptionError: The folder holds a search and neither `resume` nor `overwrite` is given; or a search is to be
            resumed as a single training, or the other way round.
    """
    if overwrite:
        return
    there = has_search(output_dir)
    trained = _has_run(output_dir)
    if there and not resume:
        raise OptionError(f"{output_dir} holds a search; set resume to continue it, or overwrite to start again")
    if there and not searching and not trained:
        raise OptionError(
            f"{output_dir} holds an unfinished search; resume it with the same search, or start again with overwrite"
        )
    if searching and trained and not there:
        raise OptionError(f"{output_dir} holds a training without a search; expected another output_dir, or overwrite")


def has_search(output_dir: str) -> bool:
    """Whether a search has begun there; others may have a folder of that name by chance."""
    return os.path.isfile(os.path.join(output_dir, SEARCH, SETTINGS))


def member_folders(output_dir: str) -> list[str]:
    """The folders of the trainings of an ensemble, if `output_dir` is one's: others may have such names by chance."""
    settings = os.path.join(output_dir, SETTINGS)
    if not os.path.isfile(settings) or not any(read_json(settings).get(name) for name in ("seeds", "folds")):
        return []
    found = [name for pattern in MEMBERS for name in glob.glob(pattern, root_dir=glob.escape(output_dir))]
    return [os.path.join(output_dir, name) for name in sorted(found)]


def _has_run(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, RECORD)) or newest_complete_checkpoint(folder) is not None


def is_finished(output_dir: str, arguments: TrainingArguments) -> bool:
    """Whether a run of as many epochs and steps is finished there."""
    path = os.path.join(output_dir, RECORD)
    if not os.path.isfile(path):
        return False
    done = read_json(path).get("training_arguments", {})  # baselines have none
    return all(done.get(name) == getattr(arguments, name) for name in ("num_train_epochs", "max_steps"))


def clear_output_dir(output_dir: str, keep: str | None = None) -> None:
    """Remove what an earlier run wrote, and nothing else.

    Args:
        output_dir: Of the run; of an ensemble also with the runs of its members.
        keep: The name of a member's folder that stays; or `search`, with which its page stays, too.
    """
    for member in member_folders(output_dir):
        if os.path.basename(member) != keep:
            clear_output_dir(member)
            if not os.listdir(member):
                os.rmdir(member)
    leftovers = [*glob.glob("checkpoint-*.removed", root_dir=output_dir), f"{MODEL}.part"]  # of a killed run
    searched = has_search(output_dir) and keep != SEARCH
    names = (*OUTPUTS, *(OF_SEARCH if searched else ()), *leftovers)
    marks = [os.path.join(output_dir, name) for name in (RECORD, SETTINGS)]
    if not checkpoints(output_dir) and not any(map(os.path.exists, marks)) and not has_search(output_dir):
        return  # no run: a folder that is called model, say, is somebody else's
    for path in [*(os.path.join(output_dir, name) for name in names), *checkpoints(output_dir)]:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)
