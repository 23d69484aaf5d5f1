"""The options of a training as hyperparameters of a job: checked here, before a machine is paid for."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from transformers import HfArgumentParser

from ...errors import OptionError
from ...training.arguments import DataArguments
from ...training.options import check_options
from ..environment import SECRETS

# The SDK's start script writes them between single quotes into a shell file: a quote in a value would run as code.
FORBIDDEN = re.compile(r"['\"`\x00-\x1f\x7f-\x9f\u2028\u2029]")
LIMIT = 2500  # characters of a value, as the service has it
FILES = ("data", "validation_data", "test_data")  # of this machine; a job has channels
FOLDER = ("output_dir", "resume", "overwrite")  # the job has its own, and resumes from the checkpoints that it finds


def check_hyperparameters(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse what would not arrive as it was meant; None is left out.

    Args:
        hyperparameters: Options of `protbert-classify train`: text, numbers, booleans, or a mapping for an option that
            takes JSON.

    Raises:
        OptionError: An unknown option, a value that does not fit, quotes, control characters, or a secret.
    """
    given = {name: value for name, value in hyperparameters.items() if value is not None}
    for name, value in given.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise OptionError(f"hyperparameter {name!r}: not the name of an option")
        if SECRETS.search(name):
            raise OptionError(
                f"hyperparameter {name}: a secret would be recorded with the job; keep it in AWS Secrets Manager, and "
                "name it with hub_token_secret"
            )
        if name in FOLDER:
            raise OptionError(
                f"hyperparameter {name}: a job writes to a folder of its own, and resumes from the checkpoints in "
                "checkpoint_s3_uri; leave it out"
            )
        if name in FILES:
            raise OptionError(f"hyperparameter {name}: the data of a job come in as channels; give them to fit")
        for text in _texts(value):
            found = FORBIDDEN.search(text)
            if found:
                raise OptionError(
                    f"hyperparameter {name}: found {found.group()!r} in {text[:40]!r}; quotes and control characters "
                    "would run as code in the job; expected none"
                )
        if len(as_text(value)) > LIMIT:
            raise OptionError(f"hyperparameter {name}: {len(as_text(value)):,} characters; expected at most {LIMIT:,}")
    check_options([word for name, value in given.items() for word in (f"--{name}", as_text(value))])
    return given


def data_arguments(hyperparameters: Mapping[str, Any]) -> DataArguments:
    """How the job will read its proteins."""
    names = [field.name for field in dataclasses.fields(DataArguments) if field.name in hyperparameters]
    words = [word for name in names for word in (f"--{name}", as_text(hyperparameters[name]))]
    (arguments,) = HfArgumentParser(DataArguments).parse_args_into_dataclasses(words)
    return arguments


def as_text(value: Any) -> str:
    """A value as it arrives in the job."""
    return value if isinstance(value, str) else json.dumps(value)


def _texts(value: Any) -> list[str]:
    """All text in a value: of JSON the names and values, whose own quotes are the format's."""
    if isinstance(value, Mapping):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []
