"""Tables of proteins: how their files are called, and what is wrong with one, in a line."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import DataError
from .records import plain_errors

SEPARATORS = {".csv": ",", ".tsv": "\t"}
BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}
TABLE_ENDINGS = (*SEPARATORS, *BUILDERS)
SPREADSHEETS = (".xlsx", ".xls", ".ods")
FIELDS = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")  # what pandas says of a row that is too long


def ending_of(source: str) -> str:
    """The ending that tells the format, lower case: `.csv` of `T.CSV.gz`."""
    return os.path.splitext(source.removesuffix(".gz"))[1].lower()


def no_column(needed: str, found: Sequence[str], option: str) -> str:
    """What is wrong with a table that lacks a column, and what to do."""
    for separator, name in ((";", "';'"), ("\t", "tabs"), (",", "commas")):
        if len(found) == 1 and separator in found[0]:
            return (
                f"no column {needed!r}, but one called {found[0]!r}: is it separated by {name}? expected commas (.csv) "
                "or tabs (.tsv)"
            )
    return f"no column {needed!r}; found {', '.join(found)}: name it with {option}"


@contextmanager
def table_errors(source: str) -> Iterator[None]:
    """What readers raise for a file that is no table, in one line."""
    try:
        with plain_errors(source):
            yield
    except DataError:
        raise
    except UnicodeDecodeError as error:
        found = f"found the byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{source}: no text in UTF-8 ({found}); save it as UTF-8, in Excel as 'CSV UTF-8'") from None
    except (ValueError, EOFError, StopIteration, gzip.BadGzipFile, zlib.error) as error:
        if cells := FIELDS.search(str(error)):
            expected, line, found = cells.groups()
            raise DataError(f"{source}, line {line}: found {found} fields, expected {expected}") from None
        cause = (str(error).strip() or "it is empty").splitlines()[0]
        raise DataError(f"{source}: cannot be read as a table: {cause}") from error
