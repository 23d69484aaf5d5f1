"""The model.tar.gz of a model in S3: there already, or packed and uploaded."""

import os
import tempfile
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ..errors import ModelError, OptionError
from .packaging import pack_model
from .refusals import told
from .s3 import split_uri, upload

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

ARCHIVE = "model.tar.gz"


def in_s3(model: str) -> bool:
    """Whether a model is an address in S3, rather than a folder.

    Raises:
        OptionError: An address of something else.
    """
    if not model.startswith("s3://"):
        return False
    if not split_uri(model)[1].endswith(".tar.gz"):
        raise OptionError(f"model {model}: expected a model.tar.gz, or a local folder")
    return True


def check_model(model: str, wheels: str | None, isolated: bool) -> None:
    """Refuse a model that could not start.

    Args:
        model: `s3://.../model.tar.gz`, or a folder, which is packed.
        wheels: That it would take along.
        isolated: Whether its container installs this package, and reaches no index.

    Raises:
        OptionError: No wheels for a folder that needs them, or wheels for what is packed already.
    """
    if in_s3(model):
        if wheels is not None:
            raise OptionError(f"wheels: {model} is packed already; they are for a model that is a folder here")
    elif isolated and wheels is None:
        raise OptionError(
            "network isolation: AWS' container could not install this package; give wheels, the folder that "
            "'protbert-classify sagemaker wheels' writes, or an image of your own"
        )


def provide_archive(
    session: "Session", model: str, uri: str, kms_key: str | None = None, wheels: str | None = None
) -> None:
    """See to it that a model's archive is in S3.

    Args:
        session: With AWS.
        model: What the user named: `uri` itself, or the folder of a run or of a model.
        uri: Where the archive is, or is to be.
        kms_key: Key that encrypts it.
        wheels: That a packed one takes along.

    Raises:
        ModelError: There is no model.
        ProteinClassifierError: S3 does not let us.
    """
    if model == uri:
        _check_there(session, uri)
        return
    with tempfile.TemporaryDirectory(prefix="protbert-classify-") as folder:
        archive = os.path.join(folder, ARCHIVE)
        pack_model(model, archive, wheels)
        upload(session, archive, uri, kms_key)


def archive_key(session: "Session", uri: str) -> str | None:
    """The key of KMS that encrypts an archive in S3; None if it is S3's own, or the archive is gone."""
    described = _described(session, uri)
    return None if described is None else described.get("SSEKMSKeyId")


def _check_there(session: "Session", uri: str) -> None:
    if _described(session, uri) is None:
        raise ModelError(f"model {uri}: there is no such object in S3")


def _described(session: "Session", uri: str) -> dict[str, Any] | None:
    bucket, key = split_uri(uri)
    with told(f"look for {uri}"):
        try:
            return session.boto_session.client("s3").head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchBucket"):
                return None
            raise
