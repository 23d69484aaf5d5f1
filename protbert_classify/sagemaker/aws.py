"""A session with AWS: region, credentials, bucket, role."""

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from .refusals import CREDENTIALS, told
from .s3 import check_bucket_name, split_uri
from .typed import instance_of

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

    from .dry_run import DryRun

PREFIX = "protbert-classify"  # of keys in S3 and of names
NOT_INSTALLED = "the SageMaker SDK is not installed; expected: pip install 'protbert_classify[sagemaker]'"
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # of jobs, models and endpoints, as SageMaker has it


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
        raise OptionError(NOT_INSTALLED)
    import boto3

    with told("open a session"):
        boto_session = boto3.Session(region_name=region, profile_name=profile)
        if dry_run is not None:
            dry_run.watch(boto_session)
        if boto_session.region_name is None:
            raise OptionError("no AWS region; give one (--region us-east-1) or set AWS_DEFAULT_REGION")
        if not REGION.fullmatch(boto_session.region_name):
            raise OptionError(f"region {boto_session.region_name!r}: expected the name of one, such as us-east-1")
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


def check_bucket(boto_session: Any, bucket: str, ours: bool = True) -> None:
    """Refuse a bucket that is not there: the SDK would create one of a mistyped name.

    Args:
        boto_session: With AWS.
        bucket: Its name.
        ours: Whether the caller must be let in, or a job's role alone.

    Raises:
        OptionError: It does not exist, is someone else's, or is in another region.
    """
    from botocore.exceptions import ClientError

    check_bucket_name(bucket)
    try:
        boto_session.client("s3").head_bucket(Bucket=bucket)
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        reasons = {"404": "it does not exist", "403": "no access to it", "301": "it is in another region"}
        if code == "403" and not ours:
            return
        if code not in reasons:
            raise
        raise OptionError(f"bucket {bucket!r}: {reasons[code]}; expected one of yours in this region") from None


def check_output(session: "Session", uri: str | None) -> None:
    """Refuse an address for results in a bucket that is not there; None is none of one's own.

    Raises:
        OptionError: It is not there, or no address in S3.
    """
    if uri is not None:
        with told(f"look at {uri}"):
            check_bucket(session.boto_session, split_uri(uri)[0], ours=False)


def role_arn(session: "Session", role: str | None) -> str:
    """The ARN of a role, of its name or of itself.

    Raises:
        OptionError: None was given, or there is none of this name; or no session.
    """
    if not hasattr(session, "boto_session") or not hasattr(session, "sagemaker_config"):
        raise OptionError(f"session={session!r}: expected what open_session returns")
    if not role:
        raise OptionError("no role; give the name or ARN of an IAM role that SageMaker may assume (--role)")
    instance_of("role", role, str, "a name or an ARN")
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
