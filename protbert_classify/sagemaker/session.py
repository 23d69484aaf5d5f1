"""A session with AWS: credentials, bucket and role; files in S3; and what AWS refuses, in one line."""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, ProteinClassifierError

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

    from .dry_run import DryRun
else:
    Session = Any  # importing the SDK takes seconds

PREFIX = "protbert-classify"  # of keys in S3, and of the names of jobs and endpoints
CREDENTIALS = "no AWS credentials; run 'aws configure' or 'aws sso login', or set AWS_PROFILE"
S3_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
# errors that another request avoids; all others are the account's, and exit with 1
INPUT_CODES = ("ValidationException", "ValidationError", "NoSuchBucket", "NoSuchKey", "404", "ResourceNotFound")
MISSING = ("ResourceNotFound", "ResourceNotFoundException", "404", "NoSuchKey", "NoSuchBucket", "NoSuchEntity")
ADVICE = {  # codes of errors -> what to do
    "AccessDenied.*|403": "; {} is not allowed: 'protbert-classify sagemaker policy' prints the permissions",
    "ExpiredToken.*|InvalidClientTokenId|UnrecognizedClientException": "; sign in to AWS again",
    "ResourceLimitExceeded": "; ask for more at Service Quotas, or choose another instance",
}


@contextmanager
def require_sdk() -> Iterator[None]:
    """Say how to install the SDK where an import fails for lack of it, or because version 2 has other modules."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("boto3", "botocore", "sagemaker"):
            raise
        raise OptionError(f"no module {error.name}; run: pip install 'protbert_classify[sagemaker]'") from None


def open_session(
    bucket: str | None = None,
    *,
    region: str | None = None,
    profile: str | None = None,
    dry_run: "DryRun | None" = None,
) -> Session:
    """Open a session of the SageMaker SDK, with the credentials that AWS' own tools find.

    Args:
        bucket: For data, code and models; it must exist. If None, SageMaker's default, `sagemaker-REGION-ACCOUNT`.
        region: Such as `us-east-1`; the configured one if None.
        profile: A profile of AWS' configuration.
        dry_run: Records every change instead of sending it.

    Raises:
        OptionError: No SDK, region, profile or bucket.
    """
    with require_sdk():
        import boto3
        from sagemaker.core.config.config import load_sagemaker_config
        from sagemaker.core.helper.session_helper import Session as SdkSession

    with translate_errors("open a session"):
        boto_session = boto3.Session(region_name=region, profile_name=profile)
        if dry_run is not None:
            dry_run.watch(boto_session)
        if boto_session.region_name is None:
            raise OptionError("no AWS region; give one (--region us-east-1) or set AWS_DEFAULT_REGION")
        config = load_sagemaker_config() or {"SchemaVersion": "1.0"}
        modules = config.setdefault("SageMaker", {}).setdefault("PythonSDK", {}).setdefault("Modules", {})
        modules.setdefault("TelemetryOptOut", True)  # the SDK would report accounts and errors to AWS
        session = SdkSession(boto_session=boto_session, default_bucket=bucket, sagemaker_config=config)
    if bucket is not None:
        check_bucket(session, f"s3://{bucket}")
    return session


def new_name(base: str = PREFIX) -> str:
    """A name that nothing has yet: `base-251231-235959-0a1b`."""
    return f"{base}-{time.strftime('%y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def home(session: Session) -> str:
    """Where everything goes, `s3://bucket/protbert-classify`; SageMaker's own bucket is created if it is not there."""
    with translate_errors("find SageMaker's bucket (--bucket names one of yours)"):
        return f"s3://{session.default_bucket()}/{PREFIX}"


def check_bucket(session: Session, uri: str | None) -> None:
    """Refuse an address in a bucket that does not exist: the SDK would create one under a mistyped name."""
    from botocore.exceptions import ClientError

    if uri is None:
        return
    bucket, reasons = split_uri(uri)[0], {"404": "it does not exist", "301": "it is in another region"}
    with translate_errors(f"look at {uri}"):
        try:
            session.boto_session.client("s3").head_bucket(Bucket=bucket)
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code == "403":  # a job's role may have access where the caller has none
                return
            if code not in reasons:
                raise
            raise OptionError(f"bucket {bucket!r}: {reasons[code]}; expected one of yours in this region") from None


def role_arn(session: Session, role: str | None) -> str:
    """The ARN of a role, given its name or its ARN."""
    if not role:
        raise OptionError("no role; give the name or ARN of an IAM role that SageMaker may assume (--role)")
    if role.startswith("arn:"):
        return role
    with translate_errors(f"look up the role {role}"):
        found = if_there(session.boto_session.client("iam").get_role, RoleName=role)
    if found is None:
        raise OptionError(f"role {role!r}: the account has no role of this name")
    return str(found["Role"]["Arn"])


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://bucket/key`."""
    match = S3_URI.fullmatch(str(uri))
    if match is None:
        raise OptionError(f"{uri!r} is not a valid address in S3; expected s3://bucket/key")
    return match[1], match[2] or ""


def list_keys(session: Session, uri: str, what: str) -> list[str]:
    """Up to three keys that begin as an address does: SageMaker reads all of them. An error names `what` it is."""
    bucket, prefix = split_uri(uri)
    with translate_errors(f"look at {what}, {uri}"):
        found = session.boto_session.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1000)
    keys = [item["Key"] for item in found.get("Contents", []) if not item["Key"].endswith("/")]  # which marks a folder
    if not keys:
        raise OptionError(f"{what}: nothing at {uri}; expected the address of a file or a folder in S3")
    return keys[:3]


def upload(session: Session, path: str, uri: str, kms_key: str | None = None) -> None:
    """Upload a file to S3, encrypted with a KMS key if one is given, and else with S3's own."""
    bucket, key = split_uri(uri)
    extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else None
    with translate_errors(f"upload {os.path.basename(path)} to {uri}"):
        session.boto_session.client("s3").upload_file(path, bucket, key, ExtraArgs=extra)


def download(session: Session, uri: str, path: str) -> None:
    """Download a file from S3."""
    bucket, key = split_uri(uri)
    with translate_errors(f"download {uri}"):
        session.boto_session.client("s3").download_file(bucket, key, path)


@contextmanager
def translate_errors(action: str) -> Iterator[None]:
    """Turn what AWS refuses into one line; `action` says what was tried, such as `create the endpoint`.

    The error is an OptionError if the request was wrong; permissions, quotas and the network are the environment's.
    """
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as aws

    try:
        yield
    except (aws.BotoCoreError, aws.ClientError, Boto3Error) as error:
        cause: Any = error.__context__ if isinstance(error, Boto3Error) and error.__context__ else error
        text, kind = str(cause), ProteinClassifierError
        if isinstance(cause, aws.ClientError):
            code = str(cause.response["Error"]["Code"])
            advice = "".join(text for codes, text in ADVICE.items() if re.fullmatch(codes, code))
            text = (cause.response["Error"].get("Message") or code) + advice.format(cause.operation_name)
            kind = OptionError if code in INPUT_CODES else kind
        elif isinstance(cause, aws.NoCredentialsError | aws.PartialCredentialsError):
            text, kind = CREDENTIALS, OptionError
        elif isinstance(cause, aws.ProfileNotFound | aws.ParamValidationError):
            kind = OptionError
        raise kind(f"could not {action}: {' '.join(text.split())}") from error


def if_there(request: Callable[..., Any], **parameters: str) -> Any:
    """The answer to a request of boto3; None if there is nothing of the name that it asks for."""
    from botocore.exceptions import ClientError

    try:
        return request(**parameters)
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def is_missing(error: Exception) -> bool:
    """Whether AWS refused because nothing has this name; SageMaker has no error code of its own for it."""
    details = getattr(error, "response", {}).get("Error", {})
    code, text = str(details.get("Code")), str(details.get("Message", "")).lower()
    return code in MISSING or (code.startswith("Validation") and ("could not find" in text or "not found" in text))
