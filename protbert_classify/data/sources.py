"""Where proteins come from: a file, a URL, standard input, a folder or a Hub dataset, and what cannot be read."""

import gzip
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from ..errors import DataError, ProteinClassifierError

STANDARD_INPUT = "-"
FASTA_ENDINGS = (".fasta", ".fa", ".faa", ".fas", ".seq")
TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".jsonl", ".json")
SPREADSHEETS = (".xlsx", ".xls", ".ods")
WRITTEN_TABLES = ("test_predictions.csv", "test_neighbours.csv")  # by a training, whose folder is no dataset
GZIP = b"\x1f\x8b"  # the first bytes of a gzip file
# names of splits in headers, columns, files and Hub datasets
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "true": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "new_test_set": "test",
    "false": "test",
}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class SourceType(Enum):
    """What a source holds."""

    FASTA = "fasta"
    TABLE = "table"
    DATASET = "dataset"  # of the Hub, or a folder laid out like one


def source_type(source: str) -> SourceType:
    """What a source holds, by its name and what is there.

    Raises:
        DataError: There is no such source, or it cannot be proteins.
    """
    check_readable(source)
    ending = ending_of(source)
    if os.path.isdir(source):
        return SourceType.DATASET
    if ending in TABLE_ENDINGS:
        return SourceType.TABLE
    if os.path.isfile(source) or "://" in source or ending in FASTA_ENDINGS:
        return SourceType.FASTA
    # with a folder of the owner's name here, a path is meant
    if _HUB_ID.fullmatch(source) and not os.path.isdir(os.path.dirname(source)):
        return SourceType.DATASET
    raise _no_such_file(source)


def ending_of(source: str) -> str:
    """The ending that tells the format, in lower case: `.csv` of `T.CSV.gz`."""
    return os.path.splitext(source.removesuffix(".gz"))[1].lower()


def check_there(source: str | None) -> None:
    """Refuse a file that is missing or cannot be proteins, before anything is downloaded or read.

    Raises:
        DataError: No such file, or [`check_readable`] refuses it.
    """
    if source is None or "://" in source:
        return
    check_readable(source)
    if not os.path.exists(source) and ending_of(source) in (*FASTA_ENDINGS, *TABLE_ENDINGS):
        raise _no_such_file(source)


def check_readable(source: str) -> None:
    """Refuse a folder that is not a dataset, and a spreadsheet.

    Raises:
        DataError: It is one of these.
    """
    if os.path.isdir(source) and not is_dataset_folder(source):
        raise DataError(
            f"{source}: is a folder; expected a file of proteins, or a dataset with train.csv, test.parquet or the like"
        )
    if ending_of(source) in SPREADSHEETS:
        raise DataError(f"{source}: a spreadsheet; export it as CSV")


def is_dataset_folder(folder: str) -> bool:
    """Whether a folder is laid out like a Hub dataset: it has tables whose path names a split, and is not a run's."""
    if os.path.isfile(os.path.join(folder, "run.json")) or os.path.isfile(os.path.join(folder, "config.json")):
        return False
    tables = (
        os.path.relpath(os.path.join(place, name), folder).lower()
        for place, _, names in os.walk(folder)
        for name in names
        if ending_of(name) in TABLE_ENDINGS and name not in WRITTEN_TABLES
    )
    return any(word in SPLIT_NAMES for path in tables for word in re.split("[^a-z]+", path))


def local_path(source: str) -> str:
    """The path of a file here, downloaded if `source` is a URL.

    Raises:
        DataError: There is no such file.
        ProteinClassifierError: The download failed.
    """
    if "://" in source:
        import datasets  # half a second, and local files do without

        with dataset_errors(source):
            return datasets.DownloadManager().download(source)
    if not os.path.isfile(source):
        raise _no_such_file(source)
    return source


def _no_such_file(source: str) -> DataError:
    return DataError(
        f"{source}: no such file; expected FASTA, {', '.join(TABLE_ENDINGS)} or the id of a Hub dataset (owner/name)"
    )


def open_plain_or_gzip(path: str, mode: str = "rb") -> Any:
    """Like `open`, for binary reading; a gzip file is known by its first bytes, whatever its name."""
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP
    return gzip.open(path, mode) if compressed else open(path, mode)


@contextmanager
def dataset_errors(source: str) -> Iterator[None]:
    """Raise the errors of `datasets` as one line: no data, or a failed download; a wrapped cause is raised as itself.

    Raises:
        DataError: There is no such dataset, or it is empty.
        ProteinClassifierError: The download failed.
    """
    try:
        yield
    except _failed_builders() as error:  # a full disk, for example
        raise (error.__cause__ or error) from None
    except _no_data() as error:
        raise DataError(f"{source}: {str(error).splitlines()[0]}") from None
    except _no_network() as error:
        raise ProteinClassifierError(
            f"{source}: could not be downloaded ({' '.join(str(error).split())}); "
            "check the network, or download the file elsewhere and give its path"
        ) from error


# the exceptions of `datasets`, imported only once something was raised: the import takes half a second


def _failed_builders() -> tuple[type[Exception], ...]:
    from datasets.exceptions import DatasetGenerationError

    return (DatasetGenerationError,)


def _no_data() -> tuple[type[Exception], ...]:
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import FileNotFoundDatasetsError

    return FileNotFoundDatasetsError, EmptyDatasetError


def _no_network() -> tuple[type[Exception], ...]:
    from aiohttp import ClientError

    return ConnectionError, TimeoutError, ClientError, FileNotFoundError  # local files exist
