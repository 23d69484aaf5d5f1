"""The options of actions that make a table of calls."""

import argparse
from typing import Any


def add_table(parser: argparse.ArgumentParser, source: str) -> None:
    parser.add_argument("--input", required=True, help=source)
    parser.add_argument("--output", required=True, help="the .csv, .tsv, .jsonl or .parquet to write")
    parser.add_argument("--overwrite", action="store_true", help="forget what an interrupted prediction left")
    parser.add_argument("--strict", action="store_true", help="stop at the first record that cannot be classified")
    parser.add_argument("--id_column", default="id", help="column of a table with the accession (default %(default)s)")
    parser.add_argument(
        "--sequence_column", default="sequence", help="column of a table with the sequence (default %(default)s)"
    )


def table_options(options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `predict_file` and `transform`."""
    from ...data.column_names import ColumnNames

    return {
        "columns": ColumnNames(id=options.id_column, sequence=options.sequence_column),
        "strict": options.strict,
        "overwrite": options.overwrite,
    }
