"""A session with AWS, files to and from S3, and what went wrong in one line."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, ProteinClassifierError

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

    from .dry_run import DryRun

PREFIX = "protbert-classify"  # of keys in S3 and of names
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # of jobs, models and endpoints, as SageMaker has it
SECRETS = re.compile(r"(^|_)(token|secret|password|api_key)$", re.IGNORECASE)  # names of what nobody may read
CREDENTIALS = "no AWS credentials; run 'aws configure' or 'aws sso login', or set AWS_PROFILE"
# what the caller can put right by asking for something else; all other refusals are the account's
INPUT_CODES = ("ValidationException", "ValidationError", "NoSuchBucket", "NoSuchKey", "404", "ResourceNotFound")


def open_session(
    bucket: str | None = None,
    *,
    region: str | None = None,
    profile: str | None = None,
    dry_run: "DryRun | None" = None,
) -> "Session":
    """A session of the SageMaker SDK on the credentials that AWS' tools find; none are read by us.

    Args:
        bucket: Where data, code and models go; it must exist. None for SageMaker's own, `sagemaker-REGION-ACCOUNT`.
        region: Such as `us-east-1`; None for the configured one.
        profile: Of AWS' configuration.
        dry_run: Is told every change, in place of AWS.

    Raises:
        OptionError: No SDK, region, credentials, profile or bucket.
    """
    if find_spec("sagemaker") is None or find_spec("boto3") is None:
        raise OptionError("the SageMaker SDK is not installed; expected: pip install 'protbert_classify[sagemaker]'")
    import boto3

    with told("open a session"):
        boto_session = boto3.Session(region_name=region, profile_name=profile)
        if dry_run is not None:
            dry_run.watch(boto_session)
        if boto_session.region_name is None:
            raise OptionError("no AWS region; give one (--region us-east-1) or set AWS_DEFAULT_REGION")
        if boto_session.get_credentials() is None:
            raise OptionError(CREDENTIALS)
        if bucket is not None:
            check_bucket(boto_session, bucket)
        from sagemaker.core.config.config import load_sagemaker_config
        from sagemaker.core.helper.session_helper import Session

        config = load_sagemaker_config() or {"SchemaVersion": "1.0"}
        modules = config.setdefault("SageMaker", {}).setdefault("PythonSDK", {}).setdefault("Modules", {})
        modules.setdefault("TelemetryOptOut", True)  # it would tell of account and errors; nothing leaves unasked
        return Session(boto_session=boto_session, default_bucket=bucket, sagemaker_config=config)


def default_bucket(session: "Session") -> str:
    """The bucket of a session; SageMaker's own is made if it is not there yet.

    Raises:
        ProteinClassifierError: It cannot be asked for, or made.
    """
    with told("find SageMaker's bucket (--bucket names one of yours)"):
        return str(session.default_bucket())


def check_kms_key(key: str | None) -> None:
    """Refuse what is no ARN of a key: only an ARN can stand in a policy.

    Raises:
        OptionError: What was found.
    """
    if key is not None and not re.fullmatch(r"arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", key):
        raise OptionError(f"KMS key {key!r}: expected the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID")


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse secrets among the variables of a container: they would be recorded, and shown to all who may look.

    Raises:
        OptionError: The name of one.
    """
    for name in environment:
        if SECRETS.search(name):
            raise OptionError(
                f"environment {name}: a secret would be recorded in the request; keep it in AWS Secrets Manager, and "
                "let the container read it (for the Hub's token: hub_token_secret)"
            )


def check_bucket(boto_session: Any, bucket: str) -> None:
    """Refuse a bucket that is not there: the SDK would create one of a mistyped name.

    Raises:
        OptionError: It does not exist, is someone else's, or is in another region.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    try:
        boto_session.client("s3").head_bucket(Bucket=bucket)
    except ParamValidationError:
        raise OptionError(f"bucket {bucket!r}: not a name of a bucket; expected 3 to 63 of a-z, 0-9, . and -") from None
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        reasons = {"404": "it does not exist", "403": "no access to it", "301": "it is in another region"}
        if code not in reasons:
            raise
        raise OptionError(f"bucket {bucket!r}: {reasons[code]}; expected one of yours in this region") from None


@contextmanager
def told(action: str) -> Iterator[None]:
    """Turn what AWS refuses into one line.

    Args:
        action: What was tried, such as `create the endpoint`.

    Raises:
        OptionError: The request was wrong.
        ProteinClassifierError: Permissions, quotas, the network.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
        ProfileNotFound,
    )

    try:
        yield
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        text = " ".join(str(error.response["Error"].get("Message") or code).split())
        kind = OptionError if code in INPUT_CODES else ProteinClassifierError
        raise kind(f"could not {action}: {text}{_advice(code, error.operation_name)}") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise OptionError(f"could not {action}: {CREDENTIALS}") from error
    except (ProfileNotFound, ParamValidationError) as error:
        raise OptionError(f"could not {action}: {' '.join(str(error).split())}") from error
    except BotoCoreError as error:
        raise ProteinClassifierError(f"could not {action}: {' '.join(str(error).split())}") from error


def _advice(code: str, operation: str) -> str:
    if code in ("AccessDenied", "AccessDeniedException", "403"):
        return f"; {operation} is not allowed: 'protbert-classify sagemaker policy' prints what is needed"
    if code == "ResourceLimitExceeded":
        return "; ask for more at Service Quotas, or choose another instance"
    if code in ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"):
        return "; sign in to AWS anew"
    return ""


def role_arn(session: "Session", role: str | None) -> str:
    """The ARN of a role, of its name or of itself.

    Raises:
        OptionError: None was given, or there is none of this name.
    """
    if not role:
        raise OptionError("no role; give the name or ARN of an IAM role that SageMaker may assume (--role)")
    if role.startswith("arn:"):
        if not re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+", role):
            raise OptionError(f"role {role!r}: not the ARN of a role; expected arn:aws:iam::ACCOUNT:role/NAME")
        return role
    from botocore.exceptions import ClientError

    with told(f"look up the role {role}"):
        try:
            return str(session.boto_session.client("iam").get_role(RoleName=role)["Role"]["Arn"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                raise OptionError(f"role {role!r}: there is none of this name in the account") from None
            raise


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://bucket/key`.

    Raises:
        OptionError: It is none.
    """
    match = re.fullmatch(r"s3://([a-z0-9.-]{3,63})(?:/(.*))?", uri)
    if match is None:
        raise OptionError(f"{uri!r}: not an address in S3; expected s3://bucket/key")
    return match[1], match[2] or ""


def check_objects(session: "Session", uri: str, what: str) -> None:
    """Refuse an address in S3 with nothing there.

    Raises:
        OptionError: No such bucket, or no object whose key begins so.
    """
    bucket, prefix = split_uri(uri)
    with told(f"look at {what}, {uri}"):
        found = session.boto_session.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    if not found.get("KeyCount", len(found.get("Contents", []))):
        raise OptionError(f"{what}: nothing at {uri}; expected the address of a file or a folder in S3")


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
