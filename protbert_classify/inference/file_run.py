"""One pass of a model over a source of proteins, to one output: in parts, resumed, and shared by several processes."""

from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm

from ..data.column_names import ColumnNames
from ..data.records import Record
from .parts_folder import PartsFolder
from .processes import Processes
from .streaming import PredictionSummary, finished_before, predict_parts, records_from
from .writers import Prediction, Table


class FileRun:
    """A run over a source; see [`predict_file`] for the arguments.

    Attributes:
        before: How an earlier run ended whose output is whole; None if there is something to do.
        processes: This process, among those that share the work.

    Raises:
        InputError: A source that cannot be used, with `strict` for one bad record; or parts of an interrupted run that
            neither `resume` nor `overwrite` says what to do with.
    """

    def __init__(
        self, source: str, output: str, columns: ColumnNames | None, *, strict: bool, resume: bool, overwrite: bool
    ) -> None:
        self.source = source
        self.strict = strict
        self.resume = resume
        self.parts = PartsFolder(output)
        self.processes = Processes()
        if self.is_main:
            self.parts.check(resume, overwrite)
        self.before = finished_before(self.parts, self.is_main) if resume else None
        self.records = records_from(source, columns, strict) if self.before is None else iter(())

    @property
    def is_main(self) -> bool:
        """Whether this process tells of the run."""
        return self.processes.is_main

    def begin(self, settings: dict[str, Any]) -> None:
        """Make the folder of the parts, or continue in it, and wait for the other processes.

        Args:
            settings: See [`PartsFolder.begin`].
        """
        if self.is_main:
            self.parts.begin(settings, self.resume)
        self.processes.wait()

    def finish(
        self, table: Table, compute: Callable[[list[Record], tqdm], list[Prediction]], size: int
    ) -> PredictionSummary:
        """Compute the parts of this process and, on the main one, publish the output when all are there.

        Args:
            table: The format of the output.
            compute: Returns the rows for the records of a part, and moves the bar.
            size: Records of a part.
        """
        return predict_parts(
            self.parts,
            self.records,
            table,
            compute,
            size=size,
            source=self.source,
            strict=self.strict,
            main=self.is_main,
            is_mine=self.processes.is_mine,
        )
