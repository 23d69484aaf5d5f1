"""The finished parts of a prediction, in a folder beside its output, which a resumed prediction continues from."""

import functools
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from typing import Any

from ..errors import OptionError, ProteinClassifierError

SETTINGS = "settings.json"
MODEL, WEIGHTS = "model", "weights"  # among the settings: where they are from, and their digest
PART = re.compile(r"part-(\d+)-([0-9a-f]+)")
WAIT = 0.2  # seconds between two looks for the parts of other processes
PATIENCE = 1800  # seconds without a new part, after which the others are given up


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs, in words; empty if nothing does."""
    changed = [name for name in {**before, **now} if name != MODEL and before.get(name) != now.get(name)]
    if "format" in changed:
        return "the version of protbert_classify is another one"
    # another precision rounds the weights, too
    named = [f"{name} was {before.get(name)} and is now {now.get(name)}" for name in changed if name != WEIGHTS]
    if named or not changed:
        return ", ".join(named)
    if before.get(MODEL) != now.get(MODEL):
        return f"the model was {before.get(MODEL)} and is now {now.get(MODEL)}"
    return f"the weights or the configuration in {now.get(MODEL)} have changed"


class PartsFolder:
    """Parts are numbered from 0 in the order of the input. Each file appears whole, and its name has a digest.

    Args:
        output: The file that the parts will make.
    """

    def __init__(self, output: str) -> None:
        self.output = output
        self.folder = output + ".parts"

    def check(self, resume: bool, overwrite: bool) -> None:
        """Whether a prediction may begin here; nothing is touched.

        Raises:
            OptionError: An unfinished one is there, and neither `resume` nor `overwrite` says what to do.
        """
        if resume and overwrite:
            raise OptionError("resume and overwrite exclude each other")
        if os.path.isdir(self.output):
            raise OptionError(f"output {self.output} is a folder; expected the name of a file")
        if os.path.isdir(self.folder) and not (resume or overwrite):
            raise OptionError(
                f"{self.output} was begun before, its parts are in {self.folder}; set resume to continue, or overwrite "
                "to start again"
            )

    def begin(self, settings: dict[str, Any], resume: bool) -> None:
        """Make the folder, or continue in it.

        Args:
            settings: What shapes the predictions, for JSON. All must be the same but `model`, the place of the
                weights.
            resume: Keep the parts that are there; else they are removed.

        Raises:
            OptionError: The parts that are there were made with other settings.
        """
        path = os.path.join(self.folder, SETTINGS)
        if not resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                before = json.load(file)
            if difference := _difference(before, settings):
                raise OptionError(
                    f"resume: {difference}, since {self.output} was begun; continue with the same, or start again "
                    "with overwrite"
                )
            return
        os.makedirs(self.folder, exist_ok=True)
        with open(path + ".tmp", "w", encoding="utf-8") as file:
            json.dump(settings, file)
        os.replace(path + ".tmp", path)

    def has(self, number: int, digest: str) -> bool:
        """Whether a part is there.

        Raises:
            OptionError: It was made of other proteins: the input is not what it was.
        """
        found = self._there.get(number)
        if found is not None and found[0] != digest:
            raise OptionError(
                f"resume: the input is not the one that {self.output} was begun with (part {number + 1} differs); "
                "continue with the same file, or start again with overwrite"
            )
        return found is not None

    def write(self, number: int, digest: str, write: Callable[[str], None]) -> None:
        """Let `write` write a part to the path it is given; it counts once that is done."""
        path = os.path.join(self.folder, f"part-{number:06d}-{digest}")
        write(path + ".tmp")
        os.replace(path + ".tmp", path)

    def await_all(self, count: int) -> list[str]:
        """The paths of all parts, in order, once other processes have written theirs.

        Raises:
            ProteinClassifierError: No new part for half an hour.
        """
        missing, since = count, time.monotonic()
        while True:
            # more of them may be there: the input was longer
            found = {number: part for number, part in self._found().items() if number < count}
            left = count - len(found)
            if not left:
                return [found[number][1] for number in range(count)]
            if left < missing:
                missing, since = left, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                raise ProteinClassifierError(
                    f"{missing} parts of {self.output} are missing; do all machines see the folder {self.folder}?"
                )
            time.sleep(WAIT)

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def count(self) -> int:
        """Parts that are there."""
        return len(self._found())

    @functools.cached_property
    def _there(self) -> dict[int, tuple[str, str]]:
        """What a former run left: looked up once, as thousands of parts are asked for."""
        return self._found()

    def _found(self) -> dict[int, tuple[str, str]]:
        """Number -> digest and path of each part."""
        found = {}
        for name in os.listdir(self.folder) if os.path.isdir(self.folder) else []:
            match = PART.fullmatch(name)
            if match:
                found[int(match[1])] = (match[2], os.path.join(self.folder, name))
        return found
