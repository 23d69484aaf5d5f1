"""Batch transform: a whole file classified by instances that end by themselves."""

import logging
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..data.column_names import ColumnNames
from ..data.reader import read_records
from ..errors import DataError, OptionError
from ..inference.parts_folder import PartsFolder
from ..inference.streaming import PredictionSummary, Rejects, begun, check_paths
from ..inference.writers import table_for
from .archives import provide_archive
from .aws import PREFIX, default_bucket, role_arn
from .calls import Request, send
from .hosting import CPU_INSTANCE, Hosting, new_stamp
from .images import check_instance
from .payloads import sized
from .protection import Protection
from .s3 import download, upload
from .transform.requests import transform_requests
from .transform.spool import Spool, part_name
from .transform.transformation import MAX_WAIT, POLL, Transformation
from .typed import whole

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

logger = logging.getLogger(__name__)


class Transformer:
    """Classifies files with a model, on instances that are there for one file only.

    Args:
        model: `s3://.../model.tar.gz`, or the folder of a run or of a model.
        role: Name or ARN of the role that the container has.
        session: With AWS.
        instance_type: `ml.m5.xlarge`, `ml.g5.xlarge`, ...
        instance_count: Of them, at most; they share the parts of the file, and none is started without one.
        image_uri: A container of one's own; AWS' newest of Hugging Face if None.
        environment: More variables for the container.
        protection: Key, VPC and isolation; the key is for what is uploaded, too.
        wheels: As `deploy` takes them.
        tags: Of all that is created.
        poll: Seconds between two looks.

    Raises:
        InputError: A role or an option that cannot be.
    """

    def __init__(
        self,
        model: str,
        *,
        role: str,
        session: "Session",
        instance_type: str = CPU_INSTANCE,
        instance_count: int = 1,
        image_uri: str | None = None,
        environment: Mapping[str, str] | None = None,
        protection: Protection = Protection(),
        wheels: str | None = None,
        tags: Mapping[str, str] | None = None,
        poll: float = POLL,
    ) -> None:
        check_instance(instance_type, "transform")
        whole("instance_count", instance_count)
        self.model, self.session, self.poll = model, session, poll
        self.instance_type, self.instance_count = instance_type, instance_count
        self.hosting = Hosting(
            role=role_arn(session, role),
            region=session.boto_region_name,
            image_uri=image_uri,
            environment=environment or {},
            protection=protection,
            wheels=wheels,
            tags=tags or {},
        )

    def requests(self, job: str) -> list[Request]:
        """What a job of this name asks of SageMaker; nothing is created.

        Raises:
            InputError: A combination of options that cannot be.
        """
        return transform_requests(
            self.model,
            job,
            hosting=self.hosting,
            bucket=default_bucket(self.session),
            instance_type=self.instance_type,
            instance_count=self.instance_count,
        )

    def transform(
        self,
        source: str,
        output: str,
        *,
        columns: ColumnNames | None = None,
        strict: bool = False,
        overwrite: bool = False,
        max_wait: float = MAX_WAIT,
    ) -> PredictionSummary:
        """Classify the proteins of a source, to the table that `protbert-classify predict` writes.

        Args:
            source: See [`read_records`]; or a file of the same kinds in S3.
            output: The .csv, .tsv, .jsonl or .parquet to write.
            columns: Names of a table's columns.
            strict: Refuse the whole file for one record that cannot be classified; else that goes to
                `<output>.rejected.csv`.
            overwrite: Forget what an interrupted prediction left beside the output.
            max_wait: Seconds after which the job is stopped.

        Raises:
            InputError: A model, a source or an option that cannot be used; nothing was created.
            ProteinClassifierError: AWS refused, or the job failed; its model is deleted. Or AWS cannot be reached; then
                the job continues, and [`attach_transform`] fetches the table.
            KeyboardInterrupt: Ctrl-C; the job is stopped, and its model deleted.
        """
        started = self.start(source, output, columns=columns, strict=strict, overwrite=overwrite)
        return started.collect(max_wait)

    def start(
        self,
        source: str,
        output: str,
        *,
        columns: ColumnNames | None = None,
        strict: bool = False,
        overwrite: bool = False,
    ) -> Transformation:
        """Begin what `transform` does; what is returned, or [`attach_transform`] later, fetches the table."""
        parts = PartsFolder(output)
        table_for(output, [])  # the ending first
        check_paths(source, output)
        if os.path.isdir(parts.folder) and not overwrite:
            raise OptionError(
                f"{output} was begun before: attach_transform({output!r}, session), or 'sagemaker transform --resume', "
                "fetches what a job makes of it; overwrite forgets it"
            )
        parts.check(False, overwrite)
        job = f"{PREFIX}-{new_stamp()}"
        requests = self.requests(job)
        os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
        try:
            parts.begin({"job": job}, resume=False)
            counts, rejected = self._spool(Spool(parts.folder), source, columns, strict)
            started = Transformation(self.session, job, output, counts, rejected, self.poll)
            started.remember()
            archive = requests[0][1]["PrimaryContainer"]["ModelDataUrl"]
            provide_archive(self.session, self.model, archive, self.hosting.protection.kms_key, self.hosting.wheels)
            self._upload(started.spool, len(counts), f"s3://{default_bucket(self.session)}/{PREFIX}/{job}/input")
            machines = requests[1][1]["TransformResources"]
            machines["InstanceCount"] = min(self.instance_count, len(counts))  # more would have nothing to do
            logger.info("transform job %s: %d x %s, ends by itself", job, machines["InstanceCount"], self.instance_type)
            with started.ended_if_it_fails():
                send(self.session, requests)
        except BaseException:
            parts.discard()
            raise
        return started

    def _spool(self, spool: Spool, source: str, columns: ColumnNames | None, strict: bool) -> tuple[list[int], int]:
        """Write what is to be sent; returns the proteins of each part, and how many records were rejected."""
        with tempfile.TemporaryDirectory(prefix="protbert-classify-") as folder:
            if source.startswith("s3://"):
                local = os.path.join(folder, os.path.basename(source))
                download(self.session, source, local)
                source = local
            rejects = Rejects(os.path.join(spool.folder, "rejected.csv"), strict)
            with rejects:
                counts = spool.write(rejects.keep(sized(begun(read_records(source, columns)))))
        if not counts:
            raise DataError(f"{source}: none of its {rejects.count} records can be classified")
        return counts, rejects.count

    def _upload(self, spool: Spool, count: int, prefix: str) -> None:
        for number in range(count):
            upload(self.session, spool.fasta(number), f"{prefix}/{part_name(number)}", self.hosting.protection.kms_key)
            os.remove(spool.fasta(number))
