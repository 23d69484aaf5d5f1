"""IAM policies that allow what this package does on SageMaker, and nothing else: `policies/*.json`, filled in.

A statement with a placeholder for which there is no value is left out, and a list of values makes a list.
"""

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Literal

import botocore.session

from ..errors import OptionError
from .security import KMS_KEY
from .session import PREFIX, split_uri, translate_errors

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
    """A policy document.

    Args:
        kind: For the role of training jobs, the role of endpoints and transform jobs, the user who starts them, or the
            trust that lets SageMaker assume the two roles.
        account: 12 digits.
        region: Such as `us-east-1`; like `bucket`, not needed for `trust`.
        bucket: For data, code, checkpoints and models.
        prefix: Of its keys; nothing else in the bucket is written.
        inputs: Further addresses that are read, `s3://bucket/key`; each stands for all keys that begin so.
        kms_key: ARN of the KMS key, if one is used.
        secret: Name in Secrets Manager of the Hub's token, if a job publishes its model.
        images: Images of your own, ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG.
        vpc: Whether jobs and endpoints run in a VPC.
        roles: Names of the roles that a user may give to SageMaker.

    Raises:
        OptionError: A value that cannot stand in a policy.
    """
    if not re.fullmatch(r"\d{12}", account):
        raise OptionError(f"account {account!r}: expected 12 digits; 'aws sts get-caller-identity' shows yours")
    values: dict[str, Any] = {"account": account}
    if kind != "trust":
        if region is None or bucket is None or (kind == "user" and not roles):
            raise OptionError(f"a {kind} policy requires a region and a bucket{', and roles' * (kind == 'user')}")
        wild = [text for text in (prefix, *inputs, *roles, secret or "") if re.search(r"[*?$\s]", text)]
        if wild:
            raise OptionError(f"{wild[0]!r}: *, ? and $ would stand for other names in a policy; expected none of them")
        if kms_key is not None and not KMS_KEY.fullmatch(kms_key):
            raise OptionError(f"kms_key {kms_key!r}: expected the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID")
        read = [split_uri(uri) for uri in (f"s3://{bucket}", *inputs)]
        with translate_errors(f"find the region {region}"):
            partition = botocore.session.get_session().get_partition_for_region(region)
        values |= {
            "region": region,
            "partition": partition,
            "bucket": bucket,
            "prefix": prefix.strip("/"),
            "buckets": sorted({name for name, _ in read}),
            "inputs": [f"{name}/{key}" for name, key in read[1:]],
            "input_buckets": sorted({name for name, _ in read[1:]}),
            "input_keys": [key for _, key in read[1:]],
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
    filled = part
    for name in PLACEHOLDER.findall(part):
        texts = [text.replace(f"${{{name}}}", value) for text in _listed(filled) for value in _listed(values[name])]
        filled = texts if isinstance(values[name], list) else texts[0] if isinstance(filled, str) else texts
    return filled


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _repository(uri: str, partition: str) -> str:
    match = IMAGE.fullmatch(uri)
    if match is None:
        raise OptionError(f"image_uri {uri!r}: expected ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG")
    return f"arn:{partition}:ecr:{match[2]}:{match[1]}:repository/{match[3]}"
