"""The folder of a training while it runs: who may write there, what it resumes from, and when it takes over."""

import logging
import os
from typing import Any

from accelerate import PartialState
from transformers import TrainingArguments

from ..errors import OptionError
from .agreement import agree, check_everywhere
from .checkpoints import MARKER, newest_complete_checkpoint
from .lock import FolderLock
from .outputs import claim_output_dir, clear_output_dir, read_json, write_json
from .resume import FILE, FOUND_TOKENS, check_unchanged

logger = logging.getLogger(__name__)


class OutputDir:
    """Claims `output_dir` for a training.

    Args:
        args: Of the training; without `resume` and `overwrite` (plain `TrainingArguments`), nothing is refused.
        settings: What a resumed run must share with the one that began.
        lock: Held by the training.
        began: Whether this trainer has trained here before.
    """

    def __init__(self, args: TrainingArguments, settings: dict[str, Any], lock: FolderLock, began: bool) -> None:
        self.args, self.settings, self.lock, self.began = args, settings, lock, began
        self.path = str(args.output_dir)
        self.is_first = PartialState().is_main_process

    def checkpoint(self, given: str | bool | None) -> str | None:
        """The checkpoint to resume from, the same on all processes; None to start from the beginning.

        Args:
            given: A checkpoint; True for the newest complete one.

        Raises:
            OptionError: The folder holds another run, or one that began with other settings; or not every machine has
                the checkpoint.
        """
        if isinstance(given, str):
            found: str | None = given
        else:
            name = agree(lambda: self._claim(bool(given)), self.is_first)
            found = None if name is None else os.path.join(self.path, name)
        if found is not None:
            is_there = os.path.isdir(found) if isinstance(given, str) else os.path.isfile(os.path.join(found, MARKER))
            advice = "several machines need one folder that all of them see, or --save_on_each_node"
            check_everywhere(is_there, found, advice)
            if self.is_first:
                logger.info("resuming from %s", found)
        return found

    def found_tokens(self) -> int | None:
        """What `tokens_per_batch="auto"` came to when the run began."""

        def read() -> int | None:
            path = os.path.join(self.path, FILE)
            return read_json(path).get(FOUND_TOKENS) if os.path.isfile(path) else None

        return agree(read, self.is_first)

    def begin(self, tokens_per_batch: int | None) -> None:
        """Take the folder over: by now options, data and memory have been tried."""
        os.makedirs(self.path, exist_ok=True)
        self.lock.take()
        if getattr(self.args, "overwrite", False) and not self.began:
            clear_output_dir(self.path)
        write_json(os.path.join(self.path, FILE), {**self.settings, FOUND_TOKENS: tokens_per_batch})

    def _claim(self, wanted: bool) -> str | None:
        """The name of the checkpoint to resume from."""
        resume = wanted or bool(getattr(self.args, "resume", False))
        if not hasattr(self.args, "resume") or (self.began and not resume):
            found = newest_complete_checkpoint(self.path) if wanted else None
        else:
            found = claim_output_dir(self.path, resume, bool(getattr(self.args, "overwrite", False)))
        if found is not None:
            check_unchanged(self.path, self.settings)
        elif wanted:
            raise OptionError(f"{self.path} has no complete checkpoint to resume from")
        elif resume:
            logger.info("no complete checkpoint in %s: starting from the beginning", self.path)
        return None if found is None else os.path.basename(found)
