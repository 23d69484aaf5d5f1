"""Tags of what is created on AWS: the user's, and the one by which it is found again."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import OptionError
from .aws import PREFIX
from .typed import text_mapping

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session

OURS = {"created-by": PREFIX}
ALLOWED = re.compile(r"[\w\s.:/=+@-]*")


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as SageMaker takes them, ours among them."""
    return [{"Key": key, "Value": value} for key, value in {**tags, **OURS}.items()]


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that AWS would refuse.

    Raises:
        OptionError: One, and what was expected.
    """
    text_mapping("tags", tags)
    for key, value in tags.items():
        named = 0 < len(key) <= 128 and not key.lower().startswith("aws:") and ALLOWED.fullmatch(key)
        if not named or len(value) > 256 or not ALLOWED.fullmatch(value):
            raise OptionError(f"tag {key!r}: expected letters, digits, spaces and . : / = + @ - _, not 'aws:' first")


def is_ours(session: "Session", arn: str) -> bool:
    """Whether this package created what has an ARN."""
    tags = session.sagemaker_client.list_tags(ResourceArn=arn)["Tags"]
    return OURS.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items()
