"""Batch transform: a whole file classified by instances that end by themselves."""

import json
import logging
import os
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from tqdm.auto import tqdm

from ..data.column_names import ColumnNames
from ..data.reader import read_records
from ..errors import DataError, OptionError, ProteinClassifierError
from ..inference.parts_folder import PartsFolder
from ..inference.streaming import PredictionSummary, Rejects, begun, check_table, publish
from ..inference.writers import table_for
from ..serving.client import json_lines, line_size, short_enough, split, table_answer
from ..serving.requests import JSON_LINES
from .hosting import LONGEST, create_model, provide_archive
from .images import Purpose
from .machines import Machines
from .session import PREFIX, Session, download, home, new_name, upload
from .status import delete_if_there, failure, send, watch

logger = logging.getLogger(__name__)

PROTEINS = 500  # of a part, which is a request that may take an hour
JOB = "job.json"  # beside the output, for `collect_transform`


@dataclass
class Transformer(Machines):
    """Classifies files with a model, on machines that are there for one file only, and share its parts.

    Its other arguments are those of [`Machines`]; a short file takes fewer machines than `instance_count`.

    Args:
        model: `s3://.../model.tar.gz`, or the folder of a run or of a model.
    """

    purpose: ClassVar[Purpose] = "transform"

    model: str
    job_name: str | None = field(init=False, default=None)

    def transform(
        self,
        source: str,
        output: str,
        *,
        columns: ColumnNames | None = None,
        strict: bool = False,
        overwrite: bool = False,
        wait: bool = True,
    ) -> PredictionSummary | None:
        """Classify the proteins of a file, into the table that `protbert-classify predict` writes.

        Args:
            source: FASTA or a table, here or in S3.
            output: The .csv, .tsv, .jsonl or .parquet to write.
            columns: Names of a table's columns.
            strict: Refuse the file for one record that cannot be classified; otherwise it goes to
                `<output>.rejected.csv`.
            overwrite: Remove what an interrupted prediction left beside the output.
            wait: Wait for the table; otherwise [`collect_transform`] writes it later.

        Raises:
            InputError: A model, a source or an option that cannot be used; nothing was created.
            ProteinClassifierError: AWS refused, or the job failed.
            KeyboardInterrupt: Ctrl-C; the job continues, and the message says how to fetch the table or stop the job.
        """
        parts = PartsFolder(output)
        check_table(source, output)
        parts.check(False, overwrite)
        self.job_name = new_name()
        parts.begin({"job": self.job_name}, resume=False)
        try:
            counts, rejected = self._write_parts(parts.folder, source, columns, strict)
            started = {"job": self.job_name, "counts": counts, "rejected": rejected}
            Path(parts.folder, JOB).write_text(json.dumps(started), encoding="utf-8")
            self._start(self.job_name, parts.folder, list(counts))
        except BaseException:
            parts.discard()
            raise
        return collect_transform(output, self.session) if wait else None

    def _start(self, job: str, folder: str, names: list[str]) -> None:
        """Upload the model and the parts of a file, and start the job."""
        archive, place = provide_archive(self, self.model, job), f"{home(self.session)}/{job}"
        for name in names:
            upload(self.session, os.path.join(folder, name), f"{place}/input/{name}", self.kms_key)
            os.remove(os.path.join(folder, name))
        count = min(self.instance_count, len(names))  # more would have nothing to do
        logger.info("transform job %s: %d x %s, ends by itself", job, count, self.instance_type)
        create_model(self, job, archive, LONGEST)
        try:
            send(self.session, "create_transform_job", **self._request(job, place, count))
        except ProteinClassifierError:
            delete_if_there(self.session, "Model", job)
            raise

    def _write_parts(
        self, folder: str, source: str, columns: ColumnNames | None, strict: bool
    ) -> tuple[dict[str, int], int]:
        """Write what is sent; returns the number of proteins of each part, and of rejected records."""
        counts = {}
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as temporary:
            if source.startswith("s3://"):
                local = os.path.join(temporary, os.path.basename(source))
                download(self.session, source, local)
                source = local
            with Rejects(os.path.join(folder, "rejected.csv"), strict) as rejects:
                records = rejects.keep(short_enough(begun(read_records(source, columns))))
                for number, some in enumerate(split(records, line_size, PROTEINS)):
                    name = f"part-{number:05d}.jsonl"
                    Path(folder, name).write_bytes(json_lines(some))
                    counts[name] = len(some)
        if not counts:
            raise DataError(f"{source}: none of its {rejects.count} records can be classified")
        return counts, rejects.count

    def _request(self, job: str, place: str, instance_count: int) -> dict[str, Any]:
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{place}/input/"}}
        return {
            "TransformJobName": job,
            "ModelName": job,
            "ModelClientConfig": {"InvocationsTimeoutInSeconds": LONGEST, "InvocationsMaxRetries": 2},
            "MaxPayloadInMB": 6,
            "BatchStrategy": "SingleRecord",
            "TransformInput": {"DataSource": source, "ContentType": JSON_LINES, "SplitType": "None"},
            "TransformOutput": {
                "S3OutputPath": f"{place}/output",
                "Accept": JSON_LINES,
                "AssembleWith": "None",
                "KmsKeyId": self.kms_key,
            },
            "TransformResources": {
                "InstanceType": self.instance_type,
                "InstanceCount": instance_count,
                "VolumeKmsKeyId": self.volume_key,
            },
            "Tags": self.tag_list,
        }


def collect_transform(output: str, session: Session) -> PredictionSummary:
    """Wait for a transform job, delete its model, and write its table.

    Args:
        output: That [`Transformer.transform`] was given, in this process or an earlier one.
        session: See [`open_session`].

    Raises:
        OptionError: No job makes this table.
        ProteinClassifierError: The job failed or was stopped; or AWS cannot be reached, and this can be called again.
        KeyboardInterrupt: Ctrl-C; the job continues, and this can be called again.
    """
    parts = PartsFolder(output)
    try:
        started = json.loads(Path(parts.folder, JOB).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise OptionError(f"output {output}: no transform job makes it") from None
    job, counts = started["job"], started["counts"]
    try:
        *_, found = watch(session, "TransformJob", job)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"the transform job {job} continues, and ends by itself: 'sagemaker transform --resume' with the same "
            f"output fetches the table, '{PREFIX} sagemaker delete --job {job}' stops it"
        ) from None
    delete_if_there(session, "Model", job)
    if found["TransformJobStatus"] != "Completed":
        parts.discard()
        raise failure("TransformJob", found)
    place = found["TransformOutput"]["S3OutputPath"]
    path, table = os.path.join(parts.folder, "answer"), table_for(output, [])
    for number, (name, count) in enumerate(tqdm(counts.items(), unit="part", dynamic_ncols=True)):
        download(session, f"{place}/{name}.out", path)
        predictions, columns = table_answer(Path(path).read_bytes(), count)
        table = table_for(output, columns)
        parts.write(number, "0", partial(table.write_part, predictions=predictions))
    rejects, rejected_file = Rejects(os.path.join(parts.folder, "rejected.csv"), False), f"{output}.rejected.csv"
    rejects.count = started["rejected"]
    publish(parts, table, len(counts), rejects, rejected_file)
    return PredictionSummary(sum(counts.values()), rejects.count, rejected_file, True)
