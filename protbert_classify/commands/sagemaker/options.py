"""The options that several actions share: the account, and machines with their container."""

import argparse
import logging
from typing import Any

from ...errors import OptionError


def add_account(parser: argparse.ArgumentParser, *, bucket: bool = True, dry_run: bool = True) -> None:
    add = parser.add_argument_group("account").add_argument
    add("--region", help="such as us-east-1 (default: the configured one)")
    add("--profile", help="a profile of AWS' configuration")
    if bucket:
        add("--bucket", help="for data, code and models (default: sagemaker-REGION-ACCOUNT)")
    if dry_run:
        add("--dry-run", "--dry_run", action="store_true", help="print the requests; change nothing")


def add_machines(parser: argparse.ArgumentParser) -> None:
    """The account, and what protects a container; the machines themselves differ from action to action."""
    add_account(parser)
    add = parser.add_argument_group("security").add_argument
    add("--role", help="name or ARN of the IAM role of the containers")
    add("--kms_key", help="ARN of a KMS key for everything that is written (default: AWS' own keys)")
    add("--subnets", nargs="+", default=[], metavar="SUBNET", help="ids of the VPC subnets to run in")
    add("--security_group_ids", nargs="+", default=[], metavar="GROUP", help="ids of the security groups in the VPC")
    add("--network_isolation", action="store_true", help="no network; a training then requires --image_uri")
    add("--image_uri", help="an image of your own (default: the newest of AWS)")
    add("--environment", nargs="+", default=[], metavar="NAME=VALUE", help="variables of the container")
    add("--tags", nargs="+", default=[], metavar="NAME=VALUE", help="for the bill, for example")


def session_of(options: argparse.Namespace) -> Any:
    """The session that the options ask for, without the SDK's own messages."""
    for name in ("sagemaker", "botocore", "boto3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from ...sagemaker.session import open_session

    return open_session(**given(options, "bucket", "region", "profile", "dry_run"))


def arguments_of(kind: Any, options: argparse.Namespace) -> dict[str, Any]:
    """As keywords of [`Machines`], or of a dataclass with more fields."""
    return {
        **given(options, *kind.__dataclass_fields__),
        "environment": pairs(options.environment, "--environment"),
        "tags": pairs(options.tags, "--tags"),
        "session": session_of(options),
    }


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the named options that have a value: the others keep the default of the function that takes them."""
    return {name: value for name, value in vars(options).items() if name in names and value is not None}


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping."""
    for text in texts:
        if "=" not in text:
            raise OptionError(f"{option} {text!r}: expected NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)
