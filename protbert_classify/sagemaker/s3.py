"""Files to and from S3."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import OptionError, ProteinClassifierError
from .refusals import told

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session


BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check_bucket_name(name: str) -> None:
    """Refuse what cannot be the name of a bucket.

    Raises:
        OptionError: It.
    """
    if not BUCKET.fullmatch(name):
        raise OptionError(f"bucket {name!r}: not a name of a bucket; expected 3 to 63 of a-z, 0-9, . and -")


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://bucket/key`.

    Raises:
        OptionError: It is none.
    """
    match = re.fullmatch(rf"s3://({BUCKET.pattern})(?:/(.*))?", str(uri))
    if match is None:
        raise OptionError(f"{uri!r}: not an address in S3; expected s3://bucket/key")
    return match[1], match[2] or ""


def objects_at(session: "Session", uri: str, what: str) -> list[str]:
    """The first two or three keys that begin as an address does: SageMaker takes all of them for what is there.

    Args:
        session: With AWS.
        uri: The address.
        what: It is, to be named in an error.

    Raises:
        OptionError: No such bucket, or no such key.
    """
    bucket, prefix = split_uri(uri)
    with told(f"look at {what}, {uri}"):
        found = session.boto_session.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1000)
    keys = [item["Key"] for item in found.get("Contents", []) if not item["Key"].endswith("/")]  # which marks a folder
    if not keys:
        raise OptionError(f"{what}: nothing at {uri}; expected the address of a file or a folder in S3")
    return keys[:3]


def upload(session: "Session", path: str, uri: str, kms_key: str | None = None) -> None:
    """Send a file to S3, under a key of KMS if one is given; else S3 encrypts with its own."""
    bucket, key = split_uri(uri)
    extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else None
    with told(f"upload {os.path.basename(path)} to {uri}"), s3_errors():
        session.boto_session.client("s3").upload_file(path, bucket, key, ExtraArgs=extra)


def download(session: "Session", uri: str, path: str) -> None:
    """Fetch a file from S3, whole or not at all."""
    bucket, key = split_uri(uri)
    part = path + ".part"
    with told(f"download {uri}"), s3_errors():
        session.boto_session.client("s3").download_file(bucket, key, part)
    os.replace(part, path)


@contextmanager
def s3_errors() -> Iterator[None]:
    """boto3's transfers raise their own kind of error for what a client refused."""
    from boto3.exceptions import Boto3Error

    try:
        yield
    except Boto3Error as error:
        cause = error.__cause__ or error.__context__
        if cause is not None and hasattr(cause, "response"):
            raise cause from None
        raise ProteinClassifierError(" ".join(str(error).split())) from error
