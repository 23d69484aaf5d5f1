"""Variables of a container, which all who may look at a job or an endpoint can read."""

import re
from collections.abc import Mapping

from ..errors import OptionError
from .typed import text_mapping

SECRETS = re.compile(r"(^|_)(token|secret|password|api_key)$", re.IGNORECASE)  # names of what nobody may read
VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,1023}")
LONGEST = 1024  # characters of a value that a model's container has; a training's has fewer


def check_environment(environment: Mapping[str, str], longest: int = LONGEST) -> None:
    """Refuse what is no variable, and secrets: they would be recorded, and shown to all who may look.

    Args:
        environment: Name to value.
        longest: Characters that the service takes of a value.

    Raises:
        OptionError: The name of one.
    """
    text_mapping("environment", environment)
    for name, value in environment.items():
        if SECRETS.search(name):
            raise OptionError(
                f"environment {name}: a secret would be recorded in the request; keep it in AWS Secrets Manager, and "
                "let the container read it (for the Hub's token: hub_token_secret)"
            )
        if not VARIABLE.fullmatch(name) or len(value) > longest:
            raise OptionError(f"environment {name!r}: expected the name of a variable and up to {longest} characters")
