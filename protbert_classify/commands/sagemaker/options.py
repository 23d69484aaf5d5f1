"""The options that several actions share: the account, and what an organisation demands of everything it runs."""

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
    account.add_argument("--profile", help="of AWS' configuration")
    if bucket:
        account.add_argument(
            "--bucket", help="in S3, for data, code and models (default: SageMaker's, sagemaker-REGION-ACCOUNT)"
        )
    if dry_run:
        account.add_argument(
            "--dry-run", "--dry_run", action="store_true", help="change nothing; print the exact requests"
        )


def add_security(parser: argparse.ArgumentParser) -> None:
    security = parser.add_argument_group("security")
    security.add_argument("--role", help="name or ARN of the IAM role that SageMaker works with")
    security.add_argument("--kms_key", help="ARN of a KMS key for all that is written (default: AWS' own keys)")
    security.add_argument("--subnets", nargs="+", default=[], metavar="SUBNET", help="of a VPC; with its groups")
    security.add_argument("--security_group_ids", nargs="+", default=[], metavar="GROUP", help="of the VPC")
    security.add_argument("--network_isolation", action="store_true", help="no network for the container")
    security.add_argument("--wheels", help="folder of 'sagemaker wheels', for containers without a network")
    security.add_argument("--tags", nargs="+", default=[], metavar="NAME=VALUE", help="for the bill, say")


def session_of(options: argparse.Namespace, dry_run: "DryRun | None" = None) -> "Session":
    """The session that the options of the account ask for; the SDK's own chatter is left out."""
    for name in ("sagemaker", "botocore", "boto3", "wheel"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from ...sagemaker.aws import open_session

    bucket = getattr(options, "bucket", None)
    return open_session(bucket, region=options.region, profile=options.profile, dry_run=dry_run)


def security_of(options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `HuggingFaceEstimator`, `deploy` and `Transformer`."""
    from ...sagemaker.protection import Protection

    protection = Protection(
        kms_key=options.kms_key,
        subnets=options.subnets,
        security_group_ids=options.security_group_ids,
        network_isolation=options.network_isolation,
    )
    tags = pairs(options.tags, "--tags")
    return {"role": options.role, "protection": protection, "wheels": options.wheels, "tags": tags}


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping."""
    for text in texts:
        if "=" not in text:
            raise OptionError(f"{option} {text!r}: expected NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)
