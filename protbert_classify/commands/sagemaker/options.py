"""The options that several actions share: the account, security, and tables of predictions."""

import argparse
import logging
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ..parsing import OneLineParser

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

    from ...sagemaker.dry_run import DryRun


def new_parser(action: str, description: str) -> OneLineParser:
    return OneLineParser(
        prog=f"protbert-classify sagemaker {action}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_account(parser: argparse.ArgumentParser, *, bucket: bool = True, dry_run: bool = True) -> None:
    account = parser.add_argument_group("account")
    account.add_argument("--region", help="such as us-east-1 (default: the configured one)")
    account.add_argument("--profile", help="a profile of AWS' configuration")
    if bucket:
        account.add_argument("--bucket", help="for data, code and models (default: sagemaker-REGION-ACCOUNT)")
    if dry_run:
        account.add_argument("--dry-run", "--dry_run", action="store_true", help="print the requests; change nothing")


def add_security(parser: argparse.ArgumentParser) -> None:
    security = parser.add_argument_group("security")
    security.add_argument("--role", help="name or ARN of the IAM role of the containers")
    security.add_argument("--kms_key", help="ARN of a KMS key for everything that is written (default: AWS' own keys)")
    security.add_argument("--subnets", nargs="+", default=[], metavar="SUBNET", help="ids of the VPC subnets to run in")
    security.add_argument(
        "--security_group_ids", nargs="+", default=[], metavar="GROUP", help="ids of the security groups in the VPC"
    )
    security.add_argument(
        "--network_isolation", action="store_true", help="no network; a training then requires --image_uri"
    )
    security.add_argument("--image_uri", help="an image of your own (default: the newest of AWS)")
    security.add_argument(
        "--environment", nargs="+", default=[], metavar="NAME=VALUE", help="variables of the container"
    )
    security.add_argument("--tags", nargs="+", default=[], metavar="NAME=VALUE", help="for the bill, for example")


def add_table(parser: argparse.ArgumentParser, source: str, resume: str) -> None:
    parser.add_argument("--input", required=True, help=source)
    parser.add_argument("--output", required=True, help="the .csv, .tsv, .jsonl or .parquet to write")
    parser.add_argument("--resume", action="store_true", help=resume)
    parser.add_argument("--overwrite", action="store_true", help="discard an interrupted prediction and start again")
    parser.add_argument("--strict", action="store_true", help="stop at the first record that cannot be classified")
    parser.add_argument("--id_column", default="id", help="column of a table with the accession")
    parser.add_argument("--sequence_column", default="sequence", help="column of a table with the sequence")


def table_options(options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `predict_file` and `transform`."""
    from ...data.column_names import ColumnNames

    columns = ColumnNames(id=options.id_column, sequence=options.sequence_column)
    return {"columns": columns, "strict": options.strict, "overwrite": options.overwrite}


def session_of(options: argparse.Namespace, dry_run: "DryRun | None" = None) -> "Session":
    """The session that the options ask for, without the SDK's own messages."""
    for name in ("sagemaker", "botocore", "boto3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from ...sagemaker.session import open_session

    bucket = getattr(options, "bucket", None)
    return open_session(bucket, region=options.region, profile=options.profile, dry_run=dry_run)


def security_of(options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `HuggingFaceEstimator`, `deploy` and `Transformer`."""
    from ...sagemaker.security import Protection

    names = ("kms_key", "subnets", "security_group_ids", "network_isolation")
    return {
        "role": options.role,
        "image_uri": options.image_uri,
        "protection": Protection(**{name: getattr(options, name) for name in names}),
        "environment": pairs(options.environment, "--environment"),
        "tags": pairs(options.tags, "--tags"),
    }


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping."""
    for text in texts:
        if "=" not in text:
            raise OptionError(f"{option} {text!r}: expected NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)
