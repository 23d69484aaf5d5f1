"""IAM policies that allow what this package does on SageMaker, and nothing else: `policies/*.json`, filled in.

A statement with a placeholder for which there is no value is left out, and a list of values makes a list.
"""

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import product
from string import Template
from typing import Any, Literal

from ..errors import OptionError
from .machines import KMS_KEY
from .session import PREFIX, split_uri

REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
PARTITIONS = {  # by the beginning of a region's name; all others are of the partition aws
    **{"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc", "us-iso-": "aws-iso"},
    **{"us-isob-": "aws-iso-b", "eu-isoe-": "aws-iso-e", "us-isof-": "aws-iso-f"},
}
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[a-z.]+/([a-z0-9._/-]+)([:@]\S+)?")


def policy(
    kind: Literal["training", "serving", "user", "trust"],
    account: str,
    region: str | None = None,
    bucket: str | None = None,
    *,
    prefix: str = PREFIX,
    inputs: Sequence[str] = (),
    kms_key: str | None = None,
    secret: str | None = None,
    images: Sequence[str] = (),
    vpc: bool = False,
    roles: Sequence[str] = (),
) -> dict[str, Any]:
    """A policy document; the help of `protbert-classify sagemaker policy` describes the arguments."""
    if not re.fullmatch(r"\d{12}", account):
        raise OptionError(f"account {account!r}: expected 12 digits; 'aws sts get-caller-identity' shows yours")
    values: dict[str, Any] = {"account": account}
    if kind != "trust":
        if region is None or bucket is None or (kind == "user" and not roles):
            raise OptionError(f"a {kind} policy requires a region and a bucket{', and roles' * (kind == 'user')}")
        if not REGION.fullmatch(region):
            raise OptionError(f"region {region!r}: expected one such as us-east-1")
        wild = [text for text in (prefix, *inputs, *roles, secret or "") if re.search(r"[*?$\s]", text)]
        if wild:
            raise OptionError(f"{wild[0]!r}: *, ? and $ would stand for other names in a policy; expected none of them")
        if kms_key is not None and not KMS_KEY.fullmatch(kms_key):
            raise OptionError(f"kms_key {kms_key!r}: expected the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID")
        split_uri(f"s3://{bucket}")
        read = [split_uri(uri) for uri in inputs]
        partition = next((name for start, name in PARTITIONS.items() if region.startswith(start)), "aws")
        values |= {
            "region": region,
            "partition": partition,
            "bucket": bucket,
            "prefix": prefix.strip("/"),
            "buckets": sorted({bucket, *(name for name, _ in read)}),
            "inputs": [f"{name}/{key}" for name, key in read],
            "input_buckets": sorted({name for name, _ in read}),
            "input_keys": [key for _, key in read],
            "kms_key": kms_key,
            "secret": secret,
            "images": [_repository(uri, partition) for uri in images],
            "vpc": region if vpc else None,
            "roles": [role.rpartition(":role/")[2] for role in roles],
        }
    given = {name: value for name, value in values.items() if value}
    document = json.loads(files(__package__).joinpath(f"policies/{kind}.json").read_text())
    statements = [part for part in document["Statement"] if set(PLACEHOLDER.findall(json.dumps(part))) <= given.keys()]
    return {**document, "Statement": [_filled(statement, given) for statement in statements]}


def _filled(part: Any, values: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        return {name: _filled(value, values) for name, value in part.items()}
    if isinstance(part, list):
        return [item for value in part for item in _listed(_filled(value, values))]
    names = PLACEHOLDER.findall(part)
    choices = product(*(_listed(values[name]) for name in names))
    texts = [Template(part).safe_substitute(dict(zip(names, chosen))) for chosen in choices]
    return texts if any(isinstance(values[name], list) for name in names) else texts[0]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _repository(uri: str, partition: str) -> str:
    match = IMAGE.fullmatch(uri)
    if match is None:
        raise OptionError(f"image_uri {uri!r}: expected ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG")
    return f"arn:{partition}:ecr:{match[2]}:{match[1]}:repository/{match[3]}"
