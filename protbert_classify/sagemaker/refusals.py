"""What AWS refuses, in one line with what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import OptionError, ProteinClassifierError

CREDENTIALS = "no AWS credentials; run 'aws configure' or 'aws sso login', or set AWS_PROFILE"
# what the caller can put right by asking for something else; all other refusals are the account's
INPUT_CODES = ("ValidationException", "ValidationError", "NoSuchBucket", "NoSuchKey", "404", "ResourceNotFound")


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
        return "; sign in to AWS again"
    return ""
