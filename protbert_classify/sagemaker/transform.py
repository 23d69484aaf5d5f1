"""Batch transform: a whole file classified by instances that end by themselves."""

import json
import logging
import os
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm.auto import tqdm

from ..data.column_names import ColumnNames
from ..data.reader import read_records
from ..errors import DataError, OptionError, ProteinClassifierError
from ..inference.parts_folder import PartsFolder
from ..inference.streaming import PredictionSummary, Rejects, begun, check_table, publish
from ..inference.writers import table_for
from ..serving.client import json_lines, line_size, short_enough, split, table_answer
from ..serving.requests import JSON_LINES
from . import hosting
from .hosting import LONGEST, delete_if_there
from .images import check_instance
from .machines import Machines
from .session import PREFIX, Session, default_bucket, download, translate_errors, upload

logger = logging.getLogger(__name__)

POLL = 30.0  # seconds between two requests for a job's status
PROTEINS = 500  # of a part, which is a request that may take an hour
JOB = "job.json"  # beside the output, for `collect_transform`


@dataclass
class Transformer(Machines):
    """Classifies files with a model, on machines that are there for one file only, and share its parts.

    Its other arguments are those of [`Machines`]; a short file takes fewer machines than `instance_count`.

    Args:
        model: `s3://.../model.tar.gz`, or the folder of a run or of a model.
    """

    model: str

    def __post_init__(self) -> None:
        check_instance(self.instance_type, "transform")
        super().__post_init__()

    def transform(self, source: str, output: str, *, poll: float = POLL, **options: Any) -> PredictionSummary:
        """Classify the proteins of a file, into the table that `protbert-classify predict` writes.

        Args:
            source: FASTA or a table, here or in S3.
            output: The .csv, .tsv, .jsonl or .parquet to write.
            poll: Seconds between two requests for the job's status.
            options: See `start`.

        Raises:
            InputError: A model, a source or an option that cannot be used; nothing was created.
            ProteinClassifierError: AWS refused, or the job failed.
            KeyboardInterrupt: Ctrl-C; the job continues, and the message says how to fetch the table or stop the job.
        """
        self.start(source, output, **options)
        return collect_transform(output, self.session, poll)

    def start(
        self,
        source: str,
        output: str,
        *,
        columns: ColumnNames | None = None,
        strict: bool = False,
        overwrite: bool = False,
    ) -> str:
        """Start the job of `transform`; [`collect_transform`] writes the table.

        Args:
            source: FASTA or a table, here or in S3.
            output: The .csv, .tsv, .jsonl or .parquet that will be written.
            columns: Names of a table's columns.
            strict: Refuse the file for one record that cannot be classified; otherwise it goes to
                `<output>.rejected.csv`.
            overwrite: Remove what an interrupted prediction left beside the output.

        Returns:
            The name of the job.
        """
        parts = PartsFolder(output)
        check_table(source, output)
        parts.check(False, overwrite)
        job, key = f"{PREFIX}-{hosting.new_stamp()}", self.protection.kms_key
        place = f"s3://{default_bucket(self.session)}/{PREFIX}/{job}"
        archive = hosting.archive_uri(self.model, place)
        model = hosting.model_request(self, job, archive, LONGEST, "transform")
        parts.begin({"job": job}, resume=False)
        try:
            counts, rejected = self._write_parts(parts.folder, source, columns, strict)
            with open(os.path.join(parts.folder, JOB), "w", encoding="utf-8") as file:
                json.dump({"job": job, "counts": counts, "rejected": rejected}, file)
            hosting.provide_archive(self.session, self.model, archive, key)
            for name in map(_part_name, range(len(counts))):
                path = os.path.join(parts.folder, name)
                upload(self.session, path, f"{place}/input/{name}", key)
                os.remove(path)
            count = min(self.instance_count, len(counts))  # more would have nothing to do
            logger.info("transform job %s: %d x %s, ends by itself", job, count, self.instance_type)
            hosting.send(self.session, [model])
            try:
                hosting.send(self.session, [("CreateTransformJob", self._request(job, place, count))])
            except ProteinClassifierError:
                delete_if_there(self.session, "Model", job)
                raise
        except BaseException:
            parts.discard()
            raise
        return job

    def _write_parts(
        self, folder: str, source: str, columns: ColumnNames | None, strict: bool
    ) -> tuple[list[int], int]:
        """Write what is sent; returns the number of proteins of each part, and of rejected records."""
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as temporary:
            if source.startswith("s3://"):
                local = os.path.join(temporary, os.path.basename(source))
                download(self.session, source, local)
                source = local
            counts = []
            with Rejects(os.path.join(folder, "rejected.csv"), strict) as rejects:
                records = rejects.keep(short_enough(begun(read_records(source, columns))))
                for number, some in enumerate(split(records, line_size, PROTEINS)):
                    with open(os.path.join(folder, _part_name(number)), "wb") as file:
                        file.write(json_lines(some))
                    counts.append(len(some))
        if not counts:
            raise DataError(f"{source}: none of its {rejects.count} records can be classified")
        return counts, rejects.count

    def _request(self, job: str, place: str, instance_count: int) -> dict[str, Any]:
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{place}/input/"}}
        output = {"S3OutputPath": f"{place}/output", "Accept": JSON_LINES, "AssembleWith": "None"}
        machines: dict[str, Any] = {"InstanceType": self.instance_type, "InstanceCount": instance_count}
        if self.protection.kms_key is not None:
            output["KmsKeyId"] = self.protection.kms_key
        if self.volume_key is not None:
            machines["VolumeKmsKeyId"] = self.volume_key
        return {
            "TransformJobName": job,
            "ModelName": job,
            "ModelClientConfig": {"InvocationsTimeoutInSeconds": LONGEST, "InvocationsMaxRetries": 2},
            "MaxPayloadInMB": 6,
            "BatchStrategy": "SingleRecord",
            "TransformInput": {"DataSource": source, "ContentType": JSON_LINES, "SplitType": "None"},
            "TransformOutput": output,
            "TransformResources": machines,
            "Tags": self.tag_list,
        }


def collect_transform(output: str, session: Session, poll: float = POLL) -> PredictionSummary:
    """Wait for a transform job, delete its model, and write its table.

    Args:
        output: That [`Transformer.start`] was given, in this process or an earlier one.
        session: See [`open_session`].
        poll: Seconds between two requests for the job's status.

    Raises:
        OptionError: No job makes this table.
        ProteinClassifierError: The job failed or was stopped; or AWS cannot be reached, and this can be called again.
        KeyboardInterrupt: Ctrl-C; the job continues, and this can be called again.
    """
    parts = PartsFolder(output)
    try:
        with open(os.path.join(parts.folder, JOB), encoding="utf-8") as file:
            started = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        raise OptionError(f"output {output}: no transform job makes it") from None
    job, counts = started["job"], started["counts"]
    try:
        place = _wait(job, parts, session, poll)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"the transform job {job} continues, and ends by itself: 'sagemaker transform --resume' with the same "
            f"output fetches the table, '{PREFIX} sagemaker delete --job {job}' stops it"
        ) from None
    delete_if_there(session, "Model", job)
    path, table = os.path.join(parts.folder, "answer"), table_for(output, [])
    for number, count in enumerate(tqdm(counts, unit="part", dynamic_ncols=True)):
        download(session, f"{place}/{_part_name(number)}.out", path)
        with open(path, "rb") as file:
            predictions, columns = table_answer(file.read(), count)
        table = table_for(output, columns)
        parts.write(number, "0", partial(table.write_part, predictions=predictions))
    rejects, rejected_file = Rejects(os.path.join(parts.folder, "rejected.csv"), False), f"{output}.rejected.csv"
    rejects.count = started["rejected"]
    publish(parts, table, len(counts), rejects, rejected_file)
    return PredictionSummary(sum(counts), rejects.count, rejected_file, True)


def _wait(job: str, parts: PartsFolder, session: Session, poll: float) -> str:
    """Wait for the end of a job; returns where its answers are."""
    while True:
        with translate_errors(f"look up the transform job {job}, which continues"):
            found = session.sagemaker_client.describe_transform_job(TransformJobName=job)
        status = found["TransformJobStatus"]
        if status == "Completed":
            return str(found["TransformOutput"]["S3OutputPath"])
        if status in ("Failed", "Stopped"):
            delete_if_there(session, "Model", job)
            parts.discard()
            reason = " ".join(str(found.get("FailureReason") or f"it is {status}").split())
            log = "its log: CloudWatch, /aws/sagemaker/TransformJobs"
            raise ProteinClassifierError(f"transform job {job}: {reason}; {log}")
        time.sleep(poll)


def _part_name(number: int) -> str:
    return f"part-{number:05d}.jsonl"
